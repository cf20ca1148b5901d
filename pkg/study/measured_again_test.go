//go:build !race

// The pure-Go backend, see train_test.go.

package study

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// A row whose measurement fails, during training or after it, goes on there and not at the beginning of its training, whether it was handed
// back or has failed and is tried again.
func TestFailedMeasurementGoesOn(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		plan, what string
		after      int // measurements of the kind that succeed
		step       int // from which the row goes on, of 8
	}{{resumePlan, "losses", 0, 4}, {resumePlan, "states", 0, 8}, {resumeTasks, "answers", 1, 4}, {resumeTasks, "answers", 2, 8}} {
		row := resumable(t, c.plan)
		whole := testStore(t, t.TempDir())
		if _, err := (&Worker{Store: whole, Runner: &Trainer{Device: d}}).Run(t.Context(), []Row{row}); err != nil {
			t.Fatal(err)
		}
		want := made(t, whole, row)
		for _, others := range []int{0, 1} {
			s := testStore(t, t.TempDir())
			s.Expiry = time.Minute
			short, n := &Trainer{Device: d}, 0
			short.fault = func(what string) error {
				if n++; what != c.what || n <= c.after {
					return nil
				}
				return errors.New("tokens 2864 … 2880: PJRT error (code=8): Out of memory while trying to allocate 340.98MiB with allocator GPU_0_bfc on device 0.")
			}
			if c.what == "states" {
				n = -1 // after the losses halfway
			}
			sum, err := (&Worker{Store: s, Runner: short, Others: func() int { return others }}).Run(t.Context(), []Row{row})
			if wants := (Summary{Failed: 1 - others, Left: others}); sum != wants || errors.Is(err, ErrCrowded) != (others > 0) {
				t.Fatalf("%s: %+v, %v; want %+v", c.what, sum, err, wants)
			}
			var said []string
			w := &Worker{Store: s, Runner: &Trainer{Device: d}, Retry: true, Log: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
			sum, err = w.Run(t.Context(), []Row{row})
			if err != nil || sum.Done != 1 || !strings.Contains(strings.Join(said, "\n"), fmt.Sprintf("resumes after step %d of 8", c.step)) {
				t.Fatalf("%s: %+v, %v, %q", c.what, sum, err, said)
			}
			same(t, made(t, s, row), want)
		}
	}
}

// After a step that failed, the weights are gone: no snapshot is made of them, and the last one stays.
func TestFailedStepLeavesTheLastSnapshot(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	row := resumable(t, resumePlan)
	trainer, err := train.Open(d, row.Config.Train)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Data.Close()
	s := &saving{kept: &kept{own: t.TempDir(), log: t.Errorf}, trainer: trainer, state: &rowState{Curve: newCurve(row.Config)}}
	step := func(want error) {
		t.Helper()
		_, err := trainer.Step()
		if (err != nil) != (want != nil) {
			t.Fatal(err)
		}
		s.state.Step = trainer.Steps()
		if got := stopped(want, s); got != want {
			t.Fatal(got)
		}
		if list, err := checkpoint.Snapshots(s.own); err != nil || !slices.Equal(list, []int64{1}) {
			t.Fatalf("snapshots %v, %v; want that of step 1", list, err)
		}
	}
	step(nil)
	if err := trainer.Weights().Values[0].FinalizeAll(); err != nil {
		t.Fatal(err)
	}
	step(errors.New("no memory"))
}
