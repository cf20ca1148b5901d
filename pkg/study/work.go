package study

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"stuffed/pkg/table"
)

// Tables are what a row yields, by name.
type Tables map[string]*table.Table

// Runner makes the tables of a row. Files that it leaves in dir (checkpoints) belong to the row. It returns soon after
// the context ends.
type Runner interface {
	Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error)
	// About is what the manifest says of how the row is made: command, revision, options, device; nothing personal.
	About(row Row) (any, error)
}

// Worker makes rows of a plan until none is left, the context ends or the deadline comes.
type Worker struct {
	Store    *Store
	Runner   Runner
	Retry    bool          // rows that failed before
	Deadline time.Time     // zero: none; the row in work is given up and can be taken up again
	Save     time.Duration // between snapshots of a row in work; zero: ten minutes
	Log      func(format string, args ...any)
}

// Summary of a run.
type Summary struct{ Done, Failed, Left int }

// Run works on the rows in order. Rows that other workers hold are waited for and taken over if those fall silent. A
// row that fails is recorded and does not stop the others.
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
			case <-time.After(w.Store.Beat / 5): // the last rows of others end soon
			}
		}
	}
}

// pass goes over the rows once; left counts those that others are making.
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
		if open, err = w.open(row, tried); err != nil || !open { // made while the claim was won
			c.release(true)
			if err != nil {
				return left, worked, err
			}
			continue
		}
		worked = true
		if err := w.make(ctx, row, c); err != nil {
			if ctx.Err() != nil {
				return left, worked, ctx.Err()
			}
			if errors.Is(err, errLost) {
				left++
				continue
			}
			w.log("row %s (%s) failed: %v", row.Hash, row.Label, err)
			tried[row.Hash] = true
			w.Store.forget(row.Hash)
			if err := w.Store.fail(row, err); err != nil {
				return left, worked, err
			}
		}
	}
	return left, worked, nil
}

// open tells whether a row is still to be made.
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

// make runs one row in a folder of its own and publishes it. Whatever goes wrong once another worker has taken the row over is
// [errLost], for that one removes this one's folder.
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
	if c.lost() { // before it was out of the reach of sweep
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

// run turns a panic of the runner into an error: one row must not end the worker.
func (w *Worker) run(ctx context.Context, row Row, dir string, report func(Progress)) (tables Tables, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.Runner.Run(ctx, row, dir, report)
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
