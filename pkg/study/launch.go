package study

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"stuffed/xla"
	"stuffed/xla/share"
)

// Launch runs n worker processes with the given arguments of this program and waits for them. Worker i sees only GPU i mod the number of
// GPUs; with several workers on a GPU, compilation of some rows overlaps with training of others. A worker shuts down cleanly when its
// standard input closes, so none outlives this process. One that ends with [Crowded] has given its memory back; it is started again when
// another worker on its device has ended, or after a pause, and those that were crowded out of a device work there one at a time. One that ends
// with [Faulty] is started again at once: one row has failed each time.
func Launch(ctx context.Context, n int, gpus []string, args []string, grace time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	results := make(chan error, n)
	for i := range n {
		l := launched{program: program, args: args, grace: grace, gpus: os.Getenv(visible)}
		if len(gpus) > 0 {
			l.gpus = gpus[i%len(gpus)]
			l.env = append(os.Environ(), visible+"="+l.gpus)
		}
		go func() {
			err := l.work(ctx)
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

// visible is the environment variable that names the GPUs of a process.
const visible = "CUDA_VISIBLE_DEVICES"

// Crowded is the exit status of a worker whose device has too little memory for all of its workers.
const Crowded = 4

// Faulty is the exit status of a worker whose device does not answer any more.
const Faulty = 5

// pause is how long a worker that was crowded out waits if no other one ends.
var pause = 5 * time.Minute

// Place is the name, for package share, of the GPUs that a process with the given CUDA_VISIBLE_DEVICES works on.
func Place(gpus string) string { return "gpus " + gpus }

// launched is a worker process that is started again whenever it was crowded out of its device.
type launched struct {
	program   string
	args, env []string
	gpus      string
	grace     time.Duration
}

func (l launched) work(ctx context.Context) error {
	end := func() {}
	for {
		err := l.once(ctx)
		end()
		end = func() {}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != Crowded && exit.ExitCode() != Faulty {
			return err
		}
		if exit.ExitCode() == Faulty {
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		place := Place(l.gpus)
		others := share.Workers(place)
		for until := time.Now().Add(pause); share.Workers(place) >= others && others > 0 && time.Now().Before(until) && ctx.Err() == nil; {
			time.Sleep(pause / 300)
		}
		if end = share.Turn(ctx, "crowded "+place, 1); ctx.Err() != nil {
			end()
			return nil
		}
	}
}

func (l launched) once(ctx context.Context) error {
	c := exec.Command(l.program, l.args...)
	c.Stderr, c.Env = os.Stderr, l.env
	input, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- c.Wait() }()
	select {
	case err = <-over:
	case <-ctx.Done():
		input.Close()
		select {
		case err = <-over:
		case <-time.After(l.grace):
			_ = c.Process.Kill()
			err = <-over
		}
	}
	return err
}

// GPUs lists the machine's NVIDIA GPUs in the form of CUDA_VISIBLE_DEVICES, restricted to that variable if it is set.
func GPUs() []string {
	if some, set := os.LookupEnv(visible); set {
		return strings.FieldsFunc(some, func(r rune) bool { return r == ',' || r == ' ' })
	}
	devices, _ := filepath.Glob("/dev/nvidia[0-9]*") // the pattern is well formed
	var names []string
	for i := range devices {
		names = append(names, strconv.Itoa(i))
	}
	return names
}

// Supervise prints estimates of the time that the rows of a store will take on a kind of device and of the memory of a worker, with a warning
// if its workers take more than the device has, launches workers on the GPUs (none: the workers choose their device), calls show once a second with the work done by all of them (in units of 1e9
// operations, with the total), and prints a report at the end.
func Supervise(ctx context.Context, s *Store, rows []Row, workers int, gpus []string, kind string, args []string, out io.Writer, show func(done, total int64)) error {
	status, err := s.Status(rows)
	if err != nil {
		return err
	}
	left, measured := Estimate(status, Speed(kind), 1)
	if len(gpus) > 0 {
		fmt.Fprintf(out, "%d workers on GPU %s in turn\n", workers, strings.Join(gpus, ", "))
	}
	fmt.Fprintf(out, "%d rows, about %s of computing left on one device (%s)\n", len(rows), left.Round(time.Second),
		map[bool]string{true: "at the speed of the rows done", false: "a rough guess until a row is done"}[measured])
	if text := Share(Largest(status, kind), xla.Memory(kind), (workers+max(len(gpus), 1)-1)/max(len(gpus), 1)); text != "" {
		fmt.Fprintln(out, text)
	}
	over := make(chan error, 1)
	go func() { over <- Launch(ctx, workers, gpus, args, 30*time.Second) }()
	total := 0.0
	for _, r := range rows {
		total += r.Config.Work()
	}
	const scale = 1e9
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			sum, countErr := (&Worker{Store: s}).count(rows)
			return errors.Join(err, countErr, sum.Report(out))
		case <-tick.C:
			status, err := s.Status(rows)
			if err != nil {
				continue // a row may be moving at this moment
			}
			made := total
			for _, r := range status {
				switch w := r.Config.Work(); {
				case r.State == "running" && r.Progress.Total > 0:
					made -= w * (1 - float64(r.Progress.Done)/float64(r.Progress.Total))
				case r.State != "done":
					made -= w
				}
			}
			show(int64(made/scale), int64(total/scale))
		}
	}
}

// Report prints the outcome of a run.
func (s Summary) Report(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d rows done, %d failed, %d left\n", s.Done, s.Failed, s.Left)
	switch {
	case err != nil:
	case s.Failed > 0:
		return fmt.Errorf("%d rows failed; see stuffed study status, and run with --retry after the cause is gone", s.Failed)
	case s.Left > 0:
		return fmt.Errorf("%w: %d; run the same command again to continue", ErrLeft, s.Left)
	}
	return err
}

// ErrLeft means that a run was stopped before all its rows were done.
var ErrLeft = errors.New("rows are left")

// UntilClosed cancels the context when f closes: the worker's side of [Launch].
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
