package task_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
	"stuffed/xla"
)

// runner holds small models with random weights.
func runner(t testing.TB, vocab int, seeds ...uint64) *lm.Runner {
	t.Helper()
	c := mamba2.Default(16, 2, vocab)
	c.HeadDim, c.State = 16, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, seeds...)
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	return lm.NewRunner(d, w)
}

// likeliest is the most likely id after ids and the log-probability of another one, read anew from the start.
func likeliest(t *testing.T, r *lm.Runner, ids []int32, of int32) (best int32, log float64) {
	t.Helper()
	var last []float32
	_, err := r.Run(context.Background(), [][]int32{ids}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		last = p.Logits[len(p.Logits)-r.Weights.Model.Vocab():]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, v := range last {
		sum += math.Exp(float64(v))
		if v > last[best] {
			best = int32(i)
		}
	}
	return best, float64(last[of]) - math.Log(sum)
}

func open(t *testing.T, name string, length int, params map[string]any) *task.Task {
	t.Helper()
	one, err := task.Open(name, length, params, tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func floats(t *testing.T, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRunAgainstReadingAnew compares the scores of two members with what each predicts when it reads every question from
// the start, for answers apart, answers inside and an answer at the end, given and written.
func TestRunAgainstReadingAnew(t *testing.T) {
	r := runner(t, 272, 1, 2)
	r.Piece = 32
	tasks := []*task.Task{open(t, "mqar", 48, map[string]any{"pairs": 3, "vocab": 20}), open(t, "retrieval", 40, map[string]any{"vocab": 24, "keys": 4, "queries": 2, "values": 2}),
		open(t, "passkey", 64, nil)}
	const count = 3
	got, err := task.Test{Tasks: tasks, Count: count, Seed: 4, Batch: 2, Generate: true}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows() != len(tasks)*count*2 {
		t.Fatalf("%d rows", got.Rows())
	}
	members, err := got.Int("member")
	if err != nil {
		t.Fatal(err)
	}
	names, _ := got.Text("task")
	index, _ := got.Int("index")
	for row := range got.Rows() {
		w, err := r.Weights.Select(int(members[row]))
		if err != nil {
			t.Fatal(err)
		}
		own := lm.NewRunner(r.Device, w)
		var one *task.Task
		for _, k := range tasks {
			if k.Name == names[row] {
				one = k
			}
		}
		q, err := one.Record(4, index[row])
		if err != nil {
			t.Fatal(err)
		}
		loss, right := 0.0, 0.0
		for i, at := range q.Positions {
			best, log := likeliest(t, own, q.IDs[:at+1], q.Answers[i])
			loss -= log
			if best == q.Answers[i] {
				right++
			}
		}
		n := float64(len(q.Answers))
		if l, a := floats(t, got, "loss")[row], floats(t, got, "accuracy")[row]; math.Abs(l-loss/n) > 2e-5 || math.Abs(a-right/n) > 1e-9 {
			t.Errorf("%s %d, member %d: loss %g, accuracy %g, want %g, %g", names[row], index[row], members[row], l, a, loss/n, right/n)
		}
		if !q.Spoken() {
			if w := floats(t, got, "written_accuracy")[row]; math.Abs(w-right/n) > 1e-9 {
				t.Errorf("%s: written accuracy %g, want that given, %g", names[row], w, right/n)
			}
			continue
		}
		ids := append([]int32{}, q.IDs[:len(q.IDs)-len(q.Answers)]...)
		for range q.Answers {
			best, _ := likeliest(t, own, ids, 0)
			ids = append(ids, best)
		}
		var wrote []int
		for _, id := range ids[len(ids)-len(q.Answers):] {
			if id < 257 {
				wrote = append(wrote, int(id))
			}
		}
		want, err := tokenizer.Bytes().Decode(wrote)
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := got.Text("output"); names[row] == "passkey" && out[row] != strings.ToValidUTF8(want, "\uFFFD") {
			t.Errorf("wrote %q, want %q", out[row], want)
		}
	}
	sum, err := task.Summary(got)
	if err != nil || sum.Rows() < 6 {
		t.Fatal(sum, err)
	}
}

func TestRunRefuses(t *testing.T) {
	r := runner(t, 20, 1)
	for want, test := range map[string]task.Test{
		"0 tasks":                        {Count: 1},
		"count 0":                        {Tasks: []*task.Task{open(t, "parity", 64, nil)}},
		"the model's vocabulary only 20": {Tasks: []*task.Task{open(t, "mqar", 64, nil)}, Count: 1},
	} {
		if _, err := test.Run(context.Background(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := task.Summary(table.New()); err == nil {
		t.Error("summed up nothing")
	}
}

func ExampleTest_Run() {
	parity, err := task.Open("parity", 64, nil, nil)
	if err != nil {
		panic(err)
	}
	c := mamba2.Default(16, 1, 2)
	c.HeadDim, c.State = 16, 8
	m, err := mamba2.New(c)
	if err != nil {
		panic(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		panic(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	t, err := task.Test{Tasks: []*task.Task{parity}, Count: 4}.Run(context.Background(), lm.NewRunner(d, w))
	if err != nil {
		panic(err)
	}
	fmt.Println(t.Rows(), t.Names()[:4])
	// Output: 4 [member task version length]
}

// TestGoesOnWhereItStopped: a run after the first sequences gives the rows that one run has of the rest, wherever batches are cut, and
// counts the tokens that are left.
func TestGoesOnWhereItStopped(t *testing.T) {
	r := runner(t, 272, 1, 2)
	test := task.Test{Tasks: []*task.Task{open(t, "mqar", 24, map[string]any{"pairs": 2, "vocab": 20}), open(t, "passkey", 64, nil)}, Count: 5, Batch: 2, Generate: true}
	whole, err := test.Run(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	text := func(tab *table.Table) string {
		tab, err := tab.Sort("task", "index", "member")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%.4v", tab.Columns)
	}
	for _, done := range []int{1, 2, 6} { // sequences
		left := int64(0)
		again := test
		again.Skip, again.Progress = task.SkipFirst(done), func(_, total int64) { left = total }
		rest, err := again.Run(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		want := int64(max(5-done, 0)*24 + min(10-done, 5)*64)
		if rest.Rows() != 2*(10-done) || left != want {
			t.Errorf("%d rows and %d tokens left after %d sequences, want %d and %d", rest.Rows(), left, done, 2*(10-done), want)
		}
		i, _ := whole.Int("index")
		n, _ := whole.Text("task")
		kept := whole.Filter(func(row int) bool {
			at := int(i[row])
			if n[row] == "passkey" {
				at += 5
			}
			return at >= done
		})
		if a, b := text(rest), text(kept); a != b {
			t.Errorf("after %d sequences:\n%s\nwant\n%s", done, a, b)
		}
	}
}
