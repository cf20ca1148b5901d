package eval_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/xla"
)

func small(vocab int) mamba2.Config {
	c := mamba2.Default(16, 2, vocab)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	return c
}

func runner(t testing.TB, backend string, c mamba2.Config, seeds ...uint64) *lm.Runner {
	t.Helper()
	d, err := xla.Open(backend)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, seeds...)
	if err != nil {
		t.Fatal(err)
	}
	r := lm.NewRunner(d, w)
	r.Piece = 16
	return r
}

// predictions computes, from member k's logits of each row in one piece, the loss and whether the next token is the most likely one.
func predictions(t testing.TB, r *lm.Runner, k int, rows ...[]int32) (loss [][]float64, hit [][]bool) {
	t.Helper()
	w, err := r.Weights.Select(k)
	if err != nil {
		t.Fatal(err)
	}
	one := lm.NewRunner(r.Device, w)
	one.Piece = 64
	padded := make([][]int32, len(rows))
	for i, row := range rows {
		padded[i] = append(slices.Clip(row), make([]int32, one.Piece-len(row))...)
	}
	vocab := w.Model.Vocab()
	loss, hit = make([][]float64, len(rows)), make([][]bool, len(rows))
	_, err = one.Run(context.Background(), padded, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		for i, row := range rows {
			for at := range len(row) - 1 {
				logits, next := p.Logits[(i*p.Tokens+at)*vocab:][:vocab], row[at+1]
				sum, best := 0.0, 0
				for id, v := range logits {
					sum += math.Exp(float64(v))
					if v > logits[best] {
						best = id
					}
				}
				loss[i], hit[i] = append(loss[i], math.Log(sum)-float64(logits[next])), append(hit[i], best == int(next))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return loss, hit
}

// TestRecallAgainstLogits compares tables of two members, with several pieces and an incomplete last batch, with sums computed on the host
// from the logits of one sequence and one member at a time.
func TestRecallAgainstLogits(t *testing.T) {
	for _, backend := range []string{"go", "cpu"} {
		q := eval.Recall{Stream: datasets.RecallStream{Keys: 5, Values: 3, Gap: 8, Seed: 1}, Sequences: 5, Batch: 2, Length: 41, TrainLength: 8}
		r := runner(t, backend, small(8), 1, 2)
		got, err := q.Run(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		type sum struct{ loss, hits, n float64 }
		byPosition, byAge := map[[2]int]sum{}, map[[3]int]sum{}
		edges := []int{0, 4, 8, 16, 32}
		for member := range 2 {
			var rows [5][]int32
			for s := range rows {
				rows[s], _, _ = q.Stream.Sequence(eval.HeldOut+int64(s), q.Length)
			}
			losses, hits := predictions(t, r, member, rows[:]...)
			for s := range rows {
				_, repeat, age := q.Stream.Sequence(eval.HeldOut+int64(s), q.Length)
				loss, hit := losses[s], hits[s]
				for at, again := range repeat {
					if !again {
						continue
					}
					bucket := 0
					for i, e := range edges {
						if at-1 >= e {
							bucket = i
						}
					}
					h := 0.0
					if hit[at-1] {
						h = 1
					}
					first := 0
					for _, e := range []int{1, 2, 3, 5} {
						if int(age[at]) >= e {
							first = e
						}
					}
					a, b := byPosition[[2]int{member, edges[bucket]}], byAge[[3]int{member, edges[bucket], first}]
					byPosition[[2]int{member, edges[bucket]}] = sum{a.loss + loss[at-1], a.hits + h, a.n + 1}
					byAge[[3]int{member, edges[bucket], first}] = sum{b.loss + loss[at-1], b.hits + h, b.n + 1}
				}
			}
		}
		check := func(name string, tab *table.Table, row int, want sum) {
			t.Helper()
			n := ints(t, tab, "repeats")[row]
			loss, accuracy := floats(t, tab, "loss")[row], floats(t, tab, "accuracy")[row]
			if float64(n) != want.n || math.Abs(loss-want.loss/want.n) > 2e-5 || math.Abs(accuracy-want.hits/want.n) > 1e-12 {
				t.Errorf("%s, %s: loss %g, accuracy %g of %d, want %g, %g of %g", backend, name, loss, accuracy, n, want.loss/want.n, want.hits/want.n, want.n)
			}
		}
		if got.ByPosition.Rows() != 10 || got.ByAge.Rows() != len(byAge) {
			t.Errorf("%d and %d rows, want 10 and %d", got.ByPosition.Rows(), got.ByAge.Rows(), len(byAge))
		}
		for row := range got.ByPosition.Rows() {
			key := [2]int{int(ints(t, got.ByPosition, "replica")[row]), int(ints(t, got.ByPosition, "position")[row])}
			check(fmt.Sprint(key), got.ByPosition, row, byPosition[key])
			low, high, mean := floats(t, got.ByPosition, "loss_low")[row], floats(t, got.ByPosition, "loss_high")[row], floats(t, got.ByPosition, "loss")[row]
			if !(low <= mean && mean <= high && low < high) {
				t.Errorf("interval %g … %g around %g", low, high, mean)
			}
		}
		for row := range got.ByAge.Rows() {
			key := [3]int{int(ints(t, got.ByAge, "replica")[row]), int(ints(t, got.ByAge, "position")[row]), int(ints(t, got.ByAge, "age")[row])}
			check(fmt.Sprint(key), got.ByAge, row, byAge[key])
		}
	}
}

func TestRecallRefuses(t *testing.T) {
	r := runner(t, "go", small(8), 1)
	stream := datasets.RecallStream{Keys: 5, Values: 3, Gap: 8}
	for name, q := range map[string]eval.Recall{
		"the model's vocabulary": {Stream: datasets.NewRecallStream(8, 1), Sequences: 1, Length: 8, TrainLength: 4},
		"sequences is 0":         {Stream: stream, Length: 8, TrainLength: 4},
		"length is 1":            {Stream: stream, Sequences: 1, Length: 1, TrainLength: 4},
		"neither edges":          {Stream: stream, Sequences: 1, Length: 8},
		"edges are":              {Stream: stream, Sequences: 1, Length: 8, Edges: []int{0, 3, 3}},
		"edges: 8 is not below":  {Stream: stream, Sequences: 1, Length: 8, Edges: []int{0, 8}},
		"ages are":               {Stream: stream, Sequences: 1, Length: 8, TrainLength: 4, Ages: []int{0, 1}},
	} {
		_, err := q.Run(context.Background(), r)
		wantError(t, err, name)
	}
}

// ExampleRecall_Run evaluates an untrained model, which performs at chance.
func ExampleRecall_Run() {
	device, err := xla.Open("go")
	if err != nil {
		panic(err)
	}
	model, err := mamba2.New(small(8))
	if err != nil {
		panic(err)
	}
	weights, err := lm.InitialWeights(model, 1)
	if err != nil {
		panic(err)
	}
	test := eval.Recall{Stream: datasets.RecallStream{Keys: 5, Values: 3, Gap: 4}, Sequences: 8, Length: 128, TrainLength: 32}
	out, err := test.Run(context.Background(), lm.NewRunner(device, weights))
	if err != nil {
		panic(err)
	}
	for i, loss := range out.ByPosition.Columns[3].Floats {
		fmt.Printf("from %d: %.1f nats\n", out.ByPosition.Columns[1].Ints[i], loss)
	}
	// Output:
	// from 0: 2.1 nats
	// from 16: 2.1 nats
	// from 32: 2.1 nats
	// from 64: 2.1 nats
}
