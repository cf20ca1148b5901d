// Command stuffed trains, runs, watches and analyses recurrent language models.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"stuffed/pkg/manifest"
	"stuffed/pkg/study"
)

// commands is filled by the files beside this one, one per command.
var commands []func() *cobra.Command

func main() {
	root := &cobra.Command{
		Use:           "stuffed",
		Short:         "Train recurrent language models, watch their state, find where it collapses",
		Long:          "stuffed reruns, tests and extends “Stuffed Mamba” (arXiv 2410.07145): it trains recurrent language\nmodels, traces the state of every head far beyond the training length, judges collapse and fits the laws.",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	for _, c := range commands {
		root.AddCommand(c())
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	wait := grace
	if c, _, err := root.Find(os.Args[1:]); err == nil && c.Annotations[savesAtTheEnd] != "" {
		wait = 0
	}
	err := untilStopped(ctx, wait, func() error { return root.ExecuteContext(ctx) })
	if err == nil {
		return
	}
	if text, left := unfinished(ctx, err); left {
		fmt.Fprintln(os.Stderr, "stuffed:", text)
		os.Exit(exitUnfinished)
	}
	if errors.Is(err, study.ErrCrowded) { // said by the worker, read by study.Launch
		os.Exit(study.Crowded)
	}
	fmt.Fprintln(os.Stderr, "stuffed:", full(err, wait == 0))
	if errors.Is(err, study.ErrFault) {
		os.Exit(study.Faulty)
	}
	os.Exit(1)
}

// version is what stuffed --version prints: the commit and whether the sources differed from it.
func version() string {
	hash, changed := manifest.Revision()
	if hash == "" {
		hash = "of unknown revision"
	}
	if changed {
		hash += " with changes"
	}
	return hash
}
