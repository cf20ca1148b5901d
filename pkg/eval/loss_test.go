package eval_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

func probes(t testing.TB, lengths ...int) (all []prompt.Probe) {
	t.Helper()
	for i, n := range lengths {
		made, err := prompt.Texts{Kind: "recall", Length: n, Count: i + 1, Recall: datasets.RecallStream{Keys: 5, Values: 3, Gap: 4}}.Make(nil)
		if err != nil {
			t.Fatal(err)
		}
		made[i].Name = fmt.Sprint("p", i)
		all = append(all, made[i])
	}
	return all
}

// TestLossAgainstLogits: no loss is dropped or counted twice at the boundaries of pieces, buckets and batches, for rows of unequal length
// and two members.
func TestLossAgainstLogits(t *testing.T) {
	some := probes(t, 50, 2, 33, 16, 17)
	for _, backend := range []string{"go", "cpu"} {
		r := runner(t, backend, small(8), 3, 4)
		var want [2]map[string][]float64
		for k := range want {
			want[k] = map[string][]float64{}
			var rows [][]int32
			for _, p := range some {
				rows = append(rows, p.IDs)
			}
			losses, _ := predictions(t, r, k, rows...)
			for i, p := range some {
				want[k][p.Name] = losses[i]
			}
		}
		for _, bucket := range []int{1, 7} {
			got, err := eval.Loss{Bucket: bucket, Batch: 3}.Table(context.Background(), r, some)
			if err != nil {
				t.Fatal(err)
			}
			member, name, position := ints(t, got, "replica"), texts(t, got, "prompt"), ints(t, got, "position")
			loss, tokens := floats(t, got, "loss"), ints(t, got, "tokens")
			next := [2]map[string]int{{}, {}}
			for row, n := range name {
				k := member[row]
				if int(position[row]) != next[k][n] {
					t.Fatalf("%s: row at %d, want %d", n, position[row], next[k][n])
				}
				mean := 0.0
				for i := range tokens[row] {
					mean += want[k][n][next[k][n]+int(i)] / float64(tokens[row])
				}
				next[k][n] += int(tokens[row])
				if math.Abs(mean-loss[row]) > 2e-5 {
					t.Errorf("%s, %s, member %d, position %d: loss %g, want %g", backend, n, k, position[row], loss[row], mean)
				}
			}
			for _, p := range some {
				if next[0][p.Name] != len(p.IDs)-1 || next[1][p.Name] != len(p.IDs)-1 {
					t.Errorf("%s has %d and %d losses, want %d", p.Name, next[0][p.Name], next[1][p.Name], len(p.IDs)-1)
				}
			}
		}
	}
}

// ExampleLoss_Table reads two documents of unequal length.
func ExampleLoss_Table() {
	m, err := models.Open("preset:byte", "go", "")
	if err != nil {
		panic(err)
	}
	texts := []prompt.Probe{{Name: "long", IDs: slices.Repeat([]int32{'a', 'b'}, 20)}, {Name: "short", IDs: []int32("some text")}}
	losses, err := eval.Loss{Bucket: 32}.Table(context.Background(), m.Runner, texts)
	if err != nil {
		panic(err)
	}
	fmt.Println(losses.Names())
	for i, name := range losses.Columns[0].Texts {
		fmt.Println(name, losses.Columns[1].Ints[i], losses.Columns[3].Ints[i])
	}
	// Output:
	// [prompt position loss tokens]
	// long 0 32
	// long 32 7
	// short 0 8
}

func TestWriteGoesOnWhereItStopped(t *testing.T) {
	some := probes(t, 20, 30, 40)
	r := runner(t, "go", small(8), 3)
	whole := filepath.Join(t.TempDir(), "whole.csv")
	if err := (eval.Loss{Batch: 1}).Write(context.Background(), r, some, whole); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".csv", ".parquet"} {
		path := filepath.Join(t.TempDir(), "cut"+ending)
		ctx, cancel := context.WithCancel(context.Background())
		stop := eval.Loss{Batch: 1, Progress: func(done, total int64) {
			if total != 90 {
				t.Errorf("total %d", total)
			}
			if done > 50 {
				cancel()
			}
		}}
		if err := stop.Write(ctx, r, some, path); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		part, err := table.Read(path)
		if err != nil || part.Rows() != 39 {
			t.Fatalf("an interrupted file has %d rows, %v", part.Rows(), err)
		}
		left := int64(0)
		if err := (eval.Loss{Batch: 1, Progress: func(_, total int64) { left = total }}).Write(context.Background(), r, some, path); err != nil {
			t.Fatal(err)
		}
		if left != 50 {
			t.Errorf("%d tokens were left to do, want 50", left)
		}
		a, err := table.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := table.Read(whole)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(a.Columns) != fmt.Sprint(b.Columns) {
			t.Error("the continued file is not that of a run in one go")
		}
	}
}

func TestMeanLoss(t *testing.T) {
	tab := table.New().AddText("prompt", []string{"a", "a", "b", "b", "c"}).AddInt("position", []int64{0, 4, 0, 4, 0}).
		AddFloat("loss", []float64{1, 2, 3, 6, 100}).AddInt("tokens", []int64{4, 3, 4, 3, 2})
	mean, err := eval.MeanLoss(tab, 8)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(floats(t, mean, "loss"), ints(t, mean, "prompts"), ints(t, mean, "tokens"), ints(t, mean, "position")) != "[2 4] [2 2] [8 6] [0 4]" {
		t.Error(mean.Columns)
	}
	if low, high := floats(t, mean, "loss_low"), floats(t, mean, "loss_high"); low[0] != 1 || high[0] != 3 || low[1] != 2 || high[1] != 6 {
		t.Error(low, high)
	}
	shortest, err := eval.MeanLoss(tab, 0)
	if err != nil || fmt.Sprint(ints(t, shortest, "prompts")) != "[3]" {
		t.Error(shortest, err)
	}
	_, err = eval.MeanLoss(tab, 9)
	wantError(t, err, "no prompt has 9 tokens")
}

func TestLossRefuses(t *testing.T) {
	r := runner(t, "go", small(8), 3)
	_, err := eval.Loss{Bucket: -1}.Table(context.Background(), r, probes(t, 4))
	wantError(t, err, "bucket is -1")
	_, err = eval.Loss{}.Table(context.Background(), r, append(probes(t, 4), probes(t, 4)...))
	wantError(t, err, `two prompts are called "p0"`)
	_, err = eval.Loss{}.Table(context.Background(), r, []prompt.Probe{{Name: "x", IDs: []int32{1}}})
	wantError(t, err, `"x" has 1 tokens`)
	_, err = eval.Loss{}.Table(context.Background(), r, []prompt.Probe{{Name: "x", IDs: []int32{1, 900}}})
	wantError(t, err, "id 900")
}
