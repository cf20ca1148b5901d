package notebook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
)

// Main runs the body of a cell, or of a small program, in the project's folder, so that paths are relative to it as on the
// command line. An error or a panic ends the program with one line on standard error and exit status 1, which stops a headless
// run; goroutine traces are not printed.
func Main(body func() error) {
	code := run(body, os.Stderr)
	gonbui.Sync()
	if code != 0 {
		os.Exit(code)
	}
}

func run(body func() error, errout io.Writer) int {
	os.Args = append(command(), os.Args[1:]...)
	root, err := Root()
	if err == nil {
		err = os.Chdir(root)
	}
	if err == nil {
		err = guarded(body)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(errout, "error:", oneLine(err))
	return 1
}

// command returns the command that reproduces the notebook; manifests of results name it instead of the cell's program.
func command() []string {
	name := os.Getenv(nameVariable)
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(os.Getenv("JPY_SESSION_NAME")), ".ipynb") // JupyterLab
	}
	if name == "" || name == "." {
		return []string{"cell"}
	}
	return []string{"make", "notebooks", "NB=" + name}
}

// guarded turns a panic into an error that names the line of the project where it arose.
func guarded(body func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v%s", r, origin())
		}
	}()
	return body()
}

// origin returns the innermost function of this project, or of the cell, on the stack of a panic.
func origin() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers)])
	for {
		f, more := frames.Next()
		switch {
		case strings.HasPrefix(f.Function, "main."):
			return " (in this cell)"
		case strings.HasPrefix(f.Function, "stuffed/") && !strings.HasPrefix(f.Function, "stuffed/pkg/notebook.guarded"):
			return fmt.Sprintf(" (in %s, line %d)", f.Function, f.Line)
		case !more:
			return ""
		}
	}
}

// oneLine drops the stack traces that some libraries print with their errors.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\ngoroutine ")
	return strings.TrimSpace(text)
}

// ErrTimeout is the error of a cell that exceeds its time limit.
var ErrTimeout = errors.New("out of time")

// Within runs body and returns its error, or ErrTimeout if it takes longer than limit: the context passed to body is then
// cancelled, and Within returns without waiting. An interrupt also cancels the context.
func Within(limit time.Duration, body func(ctx context.Context) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- guarded(func() error { return body(ctx) }) }()
	select {
	case err := <-done:
		if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), ErrTimeout) {
			return tooLong(limit)
		}
		return err
	case <-ctx.Done():
	}
	if errors.Is(context.Cause(ctx), ErrTimeout) {
		return tooLong(limit)
	}
	return context.Cause(ctx)
}

func tooLong(limit time.Duration) error {
	return fmt.Errorf("%w: the cell may take %v; set %s=smoke or give it longer", ErrTimeout, limit, ScaleVariable)
}
