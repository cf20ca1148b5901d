package study

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"stuffed/pkg/table"
	"stuffed/xla"
)

// Tables holds the tables of a row by name.
type Tables map[string]*table.Table

// Runner produces the tables of a row. Files that it writes to dir (checkpoints) become part of the row. It must return soon after the
// context is cancelled.
type Runner interface {
	Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error)
	// About returns what the manifest records about the row's origin: command, revision, options, device; nothing personal.
	About(row Row) (any, error)
}

// Worker works on the rows of a plan until none is left, the context is cancelled or the deadline passes.
type Worker struct {
	Store    *Store
	Runner   Runner
	Retry    bool          // also rows that failed before
	Deadline time.Time     // zero: none; at the deadline the current row is released and can be resumed
	Save     time.Duration // snapshot interval; zero: ten minutes
	Others   func() int    // number of other workers on the device, nil for none; see package share
	Answers  func() error  // tells, after a row has failed, whether the device still computes; nil for yes
	Log      func(format string, args ...any)
}

// Summary counts the rows of a run.
type Summary struct{ Done, Failed, Left int }

// Run works on the rows in order. It waits for rows held by other workers and takes them over if their heartbeat stops. A failed row is
// recorded and does not stop the others. What may pass is no failure: the row is handed back with its progress, and Run ends with
// [ErrCrowded] if device memory ran out beside other workers, or with what this machine lacks ([Passing]). A row that failed for good may leave
// a device on which every later one would fail, too: Run ends with [ErrFault] then, and the others stay as they are.
func (w *Worker) Run(ctx context.Context, rows []Row) (Summary, error) {
	if !w.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, w.Deadline)
		defer cancel()
	}
	tried := map[string]bool{}
	for {
		left, worked, err := w.pass(ctx, rows, tried)
		if err != nil || left == 0 || ctx.Err() != nil {
			w.Store.tidy()
			summary, countErr := w.count(rows)
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = nil // stopped, not failed; the summary tells what is left
			}
			return summary, errors.Join(err, countErr)
		}
		if !worked {
			select {
			case <-ctx.Done():
			case <-time.After(w.Store.Beat / 5): // the last rows of others will finish soon
			}
		}
	}
}

// pass goes through the rows once; left counts those that other workers hold.
func (w *Worker) pass(ctx context.Context, rows []Row, tried map[string]bool) (left int, worked bool, err error) {
	for _, row := range rows {
		if ctx.Err() != nil {
			return left, worked, ctx.Err()
		}
		open, err := w.open(row, tried)
		if err != nil {
			return left, worked, err
		}
		if !open {
			continue
		}
		c, err := w.Store.claim(row.Hash)
		if err != nil {
			return left, worked, err
		}
		if c == nil {
			left++
			continue
		}
		if open, err = w.open(row, tried); err != nil || !open { // finished while we were claiming it
			c.release(true)
			if err != nil {
				return left, worked, err
			}
			continue
		}
		worked = true
		before := w.others()
		if err := w.make(ctx, row, c); err != nil {
			if ctx.Err() != nil {
				return left, worked, ctx.Err()
			}
			if errors.Is(err, errLost) {
				left++
				continue
			}
			if passing := w.passing(row, err, max(before, w.others())); passing != nil {
				return left, worked, passing
			}
			if size, out := xla.OutOfMemory(err); out {
				err = fmt.Errorf("alone on its device the row ran out of memory, asking for %s: %w", cmp.Or(size, "an unknown size"), err)
			}
			w.log("row %s (%s) failed: %v", row.Hash, row.Label, err)
			tried[row.Hash] = true
			if err := w.Store.fail(row, err); err != nil {
				return left, worked, err
			}
			if w.Answers != nil {
				if err := w.Answers(); err != nil {
					return left, worked, fmt.Errorf("%w: %w", ErrFault, err)
				}
			}
		}
	}
	return left, worked, nil
}

// open reports whether a row still has to be done.
func (w *Worker) open(row Row, tried map[string]bool) (bool, error) {
	done, err := w.Store.done()
	if err != nil || done[row.Hash] || tried[row.Hash] {
		return false, err
	}
	if w.Retry {
		return true, nil
	}
	failed, err := w.Store.failures()
	return !failed[row.Hash], err
}

// make runs one row in its own folder and publishes it. Any error after another worker has taken over the row becomes [errLost], since that
// worker removes this folder.
func (w *Worker) make(ctx context.Context, row Row, c *claim) (err error) {
	name := fmt.Sprintf("%s.%d-%s", row.Hash, c.number, token())
	dir := w.Store.path("tmp", name)
	w.Store.sweep(row.Hash, c.number)
	kept := c.keep(ctx)
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
			if errors.Is(context.Cause(kept), errLost) || ctx.Err() == nil && c.lost() {
				err = errLost
			}
		}
		c.release(err == nil)
	}()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	row.kept = w.kept(c)
	about, err := w.Runner.About(row)
	if err != nil {
		return err
	}
	w.log("row %s (%s) begins", row.Hash, row.Label)
	tables, err := w.run(kept, row, dir, c.report)
	if err == nil {
		err = kept.Err()
	}
	if err != nil {
		return err
	}
	for name, t := range tables {
		if err := t.Write(dir + "/" + name + ".parquet"); err != nil {
			return err
		}
	}
	made := dir
	dir = w.Store.path("tmp", readyPrefix+name)
	if err := errors.Join(os.Rename(made, dir), os.RemoveAll(made)); err != nil {
		return err
	}
	if c.lost() { // lost before the folder was out of sweep's reach
		return errLost
	}
	seconds := row.kept.seconds()
	if err := w.Store.publish(dir, row, seconds, about); err != nil {
		return err
	}
	w.Store.forget(row.Hash)
	w.log("row %s (%s) done in %.1f s", row.Hash, row.Label, seconds)
	return nil
}

// run turns a panic of the runner into an error, so that one row cannot end the worker.
func (w *Worker) run(ctx context.Context, row Row, dir string, report func(Progress)) (tables Tables, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			if cause, is := p.(error); is {
				err = fmt.Errorf("panic: %w", cause)
			}
		}
	}()
	return w.Runner.Run(ctx, row, dir, report)
}

// passing explains an error for which the row must not be marked as failed; nil for any other error. others is the number of workers with
// which the device was shared.
func (w *Worker) passing(row Row, err error, others int) error {
	if size, out := xla.OutOfMemory(err); out && others > 0 {
		w.log("row %s (%s): no device memory left for %s beside %d other workers; handed back with its progress, to go on when one of them has ended. Give fewer --workers",
			row.Hash, row.Label, cmp.Or(size, "it"), others)
		return ErrCrowded
	}
	if Passing(err) {
		return fmt.Errorf("row %s (%s) is handed back with its progress: %w; run the same command again once that has passed", row.Hash, row.Label, err)
	}
	return nil
}

func (w *Worker) others() int {
	if w.Others == nil {
		return 0
	}
	return w.Others()
}

func (w *Worker) count(rows []Row) (s Summary, err error) {
	done, err := w.Store.done()
	if err != nil {
		return s, err
	}
	failed, err := w.Store.failures()
	for _, row := range rows {
		switch {
		case done[row.Hash]:
			s.Done++
		case failed[row.Hash]:
			s.Failed++
		default:
			s.Left++
		}
	}
	return s, err
}

func (w *Worker) log(format string, args ...any) {
	if w.Log != nil {
		w.Log(format, args...)
	}
}
