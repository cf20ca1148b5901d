package study

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stuffed/xla/share"
)

const noMemory = "step 3: PJRT error (code=8): Out of memory while trying to allocate 6.85GiB with allocator GPU_0_bfc on device 0."

// ends is a runner whose rows end with an error.
type ends struct {
	slow
	err error
}

func (e ends) Run(context.Context, Row, string, func(Progress)) (Tables, error) { return nil, e.err }

// A row that runs out of device memory beside other workers is handed back and one line says what to do; alone on its device it has failed, with
// the memory that it asked for.
func TestOutOfMemoryBesideOthers(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 1)
	s.Expiry = time.Minute // the claim has to be released
	others, said := []int{2, 0}, ""
	w := &Worker{Store: s, Runner: ends{err: errors.New(noMemory)}, Log: func(format string, args ...any) { said += fmt.Sprintf(format, args...) + "\n" },
		Others: func() int { // those before the row; by its end they have left
			n := others[0]
			others = others[1:]
			return n
		}}
	sum, err := w.Run(t.Context(), rows)
	if !errors.Is(err, ErrCrowded) || sum.Left != 1 || sum.Failed != 0 {
		t.Fatalf("%+v, %v; want the row left", sum, err)
	}
	for _, want := range []string{"6.85GiB", "2 other workers", "fewer --workers"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q lacks %q", said, want)
		}
	}
	others = []int{0, 0}
	if sum, err = w.Run(t.Context(), rows); err != nil || sum.Failed != 1 { // at once, since the claim was released
		t.Fatalf("%+v, %v; want the row failed", sum, err)
	}
	status, err := s.Status(rows)
	if err != nil || !strings.Contains(status[0].Error, "alone on its device") || !strings.Contains(status[0].Error, "6.85GiB") {
		t.Errorf("%+v, %v", status[0], err)
	}
}

// What this machine lacks for a while fails no row: the worker says so and ends.
func TestPassingLacks(t *testing.T) {
	for _, cause := range []error{&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, syscall.EMFILE, syscall.EDQUOT, syscall.ENOMEM, syscall.ESTALE,
		errors.New("child: open x: too many open files"), errors.New("PJRT error (code=13): CUDA_ERROR_DEVICE_UNAVAILABLE: CUDA-capable device(s) is/are busy or unavailable")} {
		s, rows := testStore(t, t.TempDir()), testRows(t, 2)
		sum, err := (&Worker{Store: s, Runner: ends{err: fmt.Errorf("progress of the row: %w", cause)}}).Run(t.Context(), rows)
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "handed back") || sum.Left != 2 || sum.Failed != 0 {
			t.Errorf("%v: %+v, %v; want both rows left", cause, sum, err)
		}
	}
	for _, lasting := range []error{nil, errors.New("the loss is NaN"), errors.New(noMemory), syscall.EACCES, os.ErrNotExist} {
		if Passing(lasting) {
			t.Errorf("%v passes", lasting)
		}
	}
}

// TestCrowdedWorker is the worker of TestCrowdedWorkersComeBack: it takes a seat and ends crowded while others have one, otherwise well.
func TestCrowdedWorker(t *testing.T) {
	dir := os.Getenv("STUFFED_TEST_CROWD")
	if dir == "" {
		return
	}
	seat, err := share.Enter(Place(os.Getenv(visible)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("try-", os.Getpid())), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if seat.Others() > 0 {
		os.Exit(Crowded)
	}
}

// A worker that was crowded out is started again once another one on its device has ended, so that all end well.
func TestCrowdedWorkersComeBack(t *testing.T) {
	defer func(d time.Duration) { pause = d }(pause)
	pause = 30 * time.Second // a poll each 0.1 s; the pause itself would be too long for the test
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("STUFFED_TEST_CROWD", dir)
	other, err := share.Enter(Place("7"))
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() {
		over <- Launch(t.Context(), 1, []string{"7"}, []string{"-test.run=^TestCrowdedWorker$"}, time.Second)
	}()
	tries := func() int {
		files, _ := filepath.Glob(filepath.Join(dir, "try-*")) // the pattern is well formed
		return len(files)
	}
	for begin := time.Now(); tries() == 0 && time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	select {
	case err := <-over:
		t.Fatalf("ended beside another worker: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if n := tries(); n != 1 {
		t.Errorf("%d tries while nothing changed, want 1", n)
	}
	other.Leave()
	if err := <-over; err != nil || tries() != 2 {
		t.Errorf("%v after %d tries, want success at the second", err, tries())
	}
}
