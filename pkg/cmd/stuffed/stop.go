package main

import (
	"context"
	"errors"

	"stuffed/pkg/study"
)

// exitUnfinished is the exit status of a command that was told to stop before its work was done.
const exitUnfinished = 3

// unfinished tells whether a command ended because it was told to, and what to say then.
func unfinished(ctx context.Context, err error) (text string, left bool) {
	switch {
	case errors.Is(err, study.ErrLeft):
		return err.Error(), true
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return "stopped before the end; to continue, start the command again with the same flags (training: add --resume)", true
	}
	return "", false
}
