package study

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Launch runs n worker processes side by side with the given arguments of this program and waits for them. On one GPU
// the compilations of some rows overlap with the computing of others. A worker stops in good order when its standard
// input closes, so none outlives this process.
func Launch(ctx context.Context, n int, args []string, grace time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	results := make(chan error, n)
	for i := range n {
		c := exec.Command(program, args...)
		c.Stderr = os.Stderr
		input, err := c.StdinPipe()
		if err != nil {
			return err
		}
		if err := c.Start(); err != nil {
			return fmt.Errorf("worker %d: %w", i+1, err)
		}
		go func() {
			over := make(chan error, 1)
			go func() { over <- c.Wait() }()
			var err error
			select {
			case err = <-over:
			case <-ctx.Done():
				input.Close()
				select {
				case err = <-over:
				case <-time.After(grace):
					_ = c.Process.Kill()
					err = <-over
				}
			}
			if err != nil {
				err = fmt.Errorf("worker %d: %w", i+1, err)
			}
			results <- err
		}()
	}
	var all error
	for range n {
		all = errors.Join(all, <-results)
	}
	return all
}

// UntilClosed ends the context when f closes: the other end of [Launch].
func UntilClosed(ctx context.Context, f *os.File) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		var b [1]byte
		for {
			if _, err := f.Read(b[:]); err != nil {
				cancel()
				return
			}
		}
	}()
	return ctx
}
