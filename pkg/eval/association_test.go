package eval_test

import (
	"context"
	"math"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
)

// TestAssociationAgainstLogits compares the scores of two replicas with sums made on the host from logits.
func TestAssociationAgainstLogits(t *testing.T) {
	r := runner(t, "go", small(20), 1, 2)
	task := datasets.NewMQAR(20, 1, 8, 5)
	got, err := eval.Association{Task: task, Pairs: []int{2, 4}, Room: 5, Sequences: 3}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	row := 0
	for _, pairs := range []int{2, 4} {
		task.Pairs, task.Length = pairs, 5*pairs
		for k := range 2 {
			w, err := r.Weights.Select(k)
			if err != nil {
				t.Fatal(err)
			}
			loss, hits, n := 0.0, 0.0, 0.0
			for s := range int64(3) {
				tokens, labels := task.Sequence(s)
				for at, label := range labels {
					if label < 0 {
						continue
					}
					logits := logitsAfter(t, lm.NewRunner(r.Device, w), tokens[:at+1])
					best, sum := likeliest(logits)
					loss += sum - float64(logits[label])
					n++
					if best == int(label) {
						hits++
					}
				}
			}
			if ints(t, got, "pairs")[row] != int64(pairs) || ints(t, got, "replica")[row] != int64(k) || ints(t, got, "queries")[row] != int64(n) {
				t.Errorf("row %d is that of another task", row)
			}
			if l, a := floats(t, got, "loss")[row], floats(t, got, "accuracy")[row]; math.Abs(l-loss/n) > 2e-5 || math.Abs(a-hits/n) > 1e-9 {
				t.Errorf("%d pairs, replica %d: loss %g, accuracy %g, want %g, %g", pairs, k, l, a, loss/n, hits/n)
			}
			row++
		}
	}
	_, err = eval.Association{Task: datasets.NewMQAR(64, 1, 8, 5), Pairs: []int{2}, Sequences: 1}.Run(context.Background(), r)
	wantError(t, err, "the model's vocabulary only 20")
	_, err = eval.Association{Task: task, Pairs: []int{2}}.Run(context.Background(), r)
	wantError(t, err, "0 sequences")
	_, err = eval.Association{Task: task, Pairs: []int{2}, Room: 3, Sequences: 1}.Run(context.Background(), r)
	wantError(t, err, "length is 6")
}
