package eval_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
	"stuffed/pkg/trace"
)

// Sharing sequences among several devices gives bit-identical tables to a single device: losses, passkeys with the model's own answers,
// tasks, and traces, both collected and written. The CPU stands in for four devices.
func TestDevicesShareSequences(t *testing.T) {
	ctx, enc := t.Context(), tokenizer.Bytes()
	text := func(tab *table.Table, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(tab.Names(), tab.Columns)
	}
	mqar, err := task.Open("mqar", 24, map[string]any{"pairs": 2, "vocab": 64}, enc)
	if err != nil {
		t.Fatal(err)
	}
	some := probes(t, 40, 40, 40, 33, 33, 16, 16, 9)
	for name, measure := range map[string]func(r *lm.Runner) string{
		"loss": func(r *lm.Runner) string { return text(eval.Loss{Batch: 2, Bucket: 3}.Table(ctx, r, some)) },
		"passkey": func(r *lm.Runner) string {
			q := eval.Passkey{Variant: "paper", Lengths: []int{190, 200}, Depths: []float64{0, 0.5, 1}, Trials: 2, Batch: 2, Generate: 3}
			return text(q.Table(ctx, r, enc))
		},
		"task": func(r *lm.Runner) string {
			return text(task.Test{Tasks: []*task.Task{mqar}, Count: 9, Batch: 2, Seed: 1}.Run(ctx, r))
		},
		"trace": func(r *lm.Runner) string {
			tables, err := trace.Collect(ctx, r, some, trace.Config{Bucket: 4, Batch: 1})
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "t.parquet")
			if err := trace.Write(ctx, r, some, trace.Config{Bucket: 4, Batch: 1}, path); err != nil {
				t.Fatal(err)
			}
			written := text(table.Read(path))
			if written != text(tables[trace.States], nil) {
				t.Error("a trace that is written differs from one that is collected")
			}
			return written + text(tables[trace.Losses], nil)
		},
	} {
		r := runner(t, "cpu", small(272), 5)
		want := measure(r)
		if err := r.Spread(4); err != nil {
			t.Fatal(err)
		}
		if got := measure(r); got != want {
			t.Errorf("%s: four devices give another table than one", name)
		}
	}
}

// Devices work concurrently, results arrive in order, an error on either side stops the rest, and requests for no device or too many fail.
func TestEach(t *testing.T) {
	r := runner(t, "cpu", small(8), 1)
	for _, n := range []int{0, 5} {
		if err := r.Spread(n); err == nil || !strings.Contains(err.Error(), "cpu has 4") {
			t.Errorf("%d devices: %v", n, err)
		}
	}
	if err := r.Spread(3); err != nil {
		t.Fatal(err)
	}
	var meet sync.WaitGroup
	meet.Add(3)
	var taken []int
	err := lm.Each(t.Context(), r, 10, func(_ context.Context, _ *lm.Runner, i int) (int, error) {
		if i < 3 {
			meet.Done()
			meet.Wait()
		}
		return i, nil
	}, func(i int) error { taken = append(taken, i); return nil })
	if err != nil || fmt.Sprint(taken) != "[0 1 2 3 4 5 6 7 8 9]" {
		t.Error(taken, err)
	}
	bad := errors.New("bad")
	for _, side := range []string{"do", "take"} {
		taken = nil
		err := lm.Each(t.Context(), r, 50, func(_ context.Context, _ *lm.Runner, i int) (int, error) {
			if i == 4 && side == "do" {
				return 0, bad
			}
			return i, nil
		}, func(i int) error {
			if i == 4 && side == "take" {
				return bad
			}
			taken = append(taken, i)
			return nil
		})
		if !errors.Is(err, bad) || len(taken) != 4 {
			t.Errorf("%s: %v after %v", side, err, taken)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := lm.Each(ctx, r, 50, func(ctx context.Context, _ *lm.Runner, _ int) (int, error) { return 0, ctx.Err() }, func(int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
