package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

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

// full adds to an error of a full disk how to go on, if the command saves as it goes.
func full(err error, saves bool) error {
	if saves && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fmt.Errorf("%w; what was finished before is kept: make room and start the command again with the same flags (training: add --resume)", err)
	}
	return err
}

// grace is how long a command that was told to stop may take to come to an end.
const grace = 5 * time.Second

// savesAtTheEnd marks commands that keep what they have when they are told to stop, which takes as long as it takes.
const savesAtTheEnd = "saves at the end"

// untilStopped runs a command. One that was told to stop is abandoned after so long (0: never), since a computation on a
// device cannot be interrupted and some commands never check: files appear complete or not at all, as after a kill.
func untilStopped(ctx context.Context, grace time.Duration, run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	if grace == 0 {
		return <-done
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return ctx.Err()
	}
}
