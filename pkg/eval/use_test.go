package eval_test

import (
	"context"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/task"
)

// rankOf is the effective rank of a matrix.
func rankOf(m mat.Matrix) float64 {
	var svd mat.SVD
	svd.Factorize(m, mat.SVDNone)
	sum, entropy := 0.0, 0.0
	for _, s := range svd.Values(nil) {
		sum += s
	}
	for _, s := range svd.Values(nil) {
		if s > 0 {
			entropy -= s / sum * math.Log(s/sum)
		}
	}
	return math.Exp(entropy)
}

// TestUseAgainstTheWholeMap compares the ranks with those of explicit matrices: the map from every token before a position to every token
// after it.
func TestUseAgainstTheWholeMap(t *testing.T) {
	r := runner(t, "go", small(40), 3, 4)
	r.Piece = 8
	tokens := make([]int32, 30)
	for i := range tokens {
		tokens[i] = int32((7*i + i*i) % 40)
	}
	got, err := eval.Use{Positions: []int{5, 16}}.Run(context.Background(), r, tokens)
	if err != nil {
		t.Fatal(err)
	}
	c := small(40)
	heads, keys := c.Heads(), c.State
	if got.Rows() != 2*2*c.Layers*heads {
		t.Fatalf("%d rows", got.Rows())
	}
	for row := range got.Rows() {
		member, position := ints(t, got, "member")[row], int(ints(t, got, "position")[row])
		layer, head := int(ints(t, got, "layer")[row]), int(ints(t, got, "head")[row])
		w, err := r.Weights.Select(int(member))
		if err != nil {
			t.Fatal(err)
		}
		own := lm.NewRunner(r.Device, w)
		probes := map[string][]float64{}
		_, err = own.Run(context.Background(), [][]int32{tokens}, nil, lm.Request{Probes: []string{lm.Keys, lm.Queries, lm.LogAlpha, lm.Delta}}, func(p lm.Piece) error {
			for name, v := range p.Probes {
				all, err := lm.Float64s(v)
				if err != nil {
					return err
				}
				size := len(all) / c.Layers
				probes[name] = all[layer*size:][:size]
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		whole := mat.NewDense(len(tokens)-position, position, nil)
		for i := position; i < len(tokens); i++ {
			for j := range position {
				log, dot := 0.0, 0.0
				for k := j + 1; k <= i; k++ {
					log += probes[lm.LogAlpha][k*heads+head]
				}
				for k := range keys {
					dot += probes[lm.Queries][i*keys+k] * probes[lm.Keys][j*keys+k]
				}
				whole.Set(i-position, j, dot*math.Exp(log)*probes[lm.Delta][j*heads+head])
			}
		}
		if want, is := rankOf(whole), floats(t, got, "memory_rank")[row]; math.Abs(is-want) > 1e-3*want {
			t.Errorf("member %d, position %d, layer %d, head %d: memory rank %g, want %g", member, position, layer, head, is, want)
		}
		if is := floats(t, got, "state_rank")[row]; !(is >= 1 && is <= float64(min(keys, position))+1e-6) {
			t.Errorf("state rank %g of %d keys after %d tokens", is, keys, position)
		}
	}
	_, err = eval.Use{Positions: []int{5, 30}}.Run(context.Background(), r, tokens)
	wantError(t, err, "positions are [5 30]")
}

// TestNoise: at σ = 0 the answers equal the scorer's; noise changes them; the bits follow from σ.
func TestNoise(t *testing.T) {
	r := runner(t, "go", small(20), 1, 2)
	r.Piece = 16
	one, err := task.Open("mqar", 32, map[string]any{"vocab": 20, "pairs": 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Noise{Task: one, Count: 6, Levels: []float64{0, 1e-6, 1}}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	want, err := task.Test{Tasks: []*task.Task{one}, Count: 6}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	sums := [2]float64{}
	for i, l := range floats(t, want, "loss") {
		sums[ints(t, want, "member")[i]] += l / 6
	}
	loss := floats(t, got, "loss")
	for k := range 2 {
		if math.Abs(loss[k]-sums[k]) > 1e-5 {
			t.Errorf("member %d: loss %g without noise, the scorer says %g", k, loss[k], sums[k])
		}
		if math.Abs(loss[2+k]-loss[k]) > 1e-4 || math.Abs(loss[4+k]-loss[k]) < 1e-5 {
			t.Errorf("member %d: losses %g, %g, %g without, with hardly any and with much noise", k, loss[k], loss[2+k], loss[4+k])
		}
	}
	if b := floats(t, got, "bits"); !math.IsNaN(b[0]) || math.Abs(b[4]-0.5) > 1e-12 {
		t.Errorf("bits %v", b)
	}
	// going from 0.9 to 0.3, half of 0.9 is reached three quarters of the way
	half := eval.BitsUnder(0.1) + 0.75*(eval.BitsUnder(1)-eval.BitsUnder(0.1))
	if b := eval.BitsNeeded([]float64{0, 0.1, 1}, []float64{0.9, 0.9, 0.3}, 0.5); math.Abs(b-half) > 1e-9 {
		t.Errorf("bits needed %g, want %g", b, half)
	}
	if b := eval.BitsNeeded([]float64{0, 0.1}, []float64{0.9, 0.9}, 0.5); b != 0 {
		t.Errorf("bits needed %g although accuracy never falls", b)
	}
	parity, err := task.Open("parity", 32, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = eval.Noise{Task: parity, Count: 1, Levels: []float64{0}}.Run(context.Background(), r)
	wantError(t, err, "asks from its first token on")
	_, err = eval.Noise{Task: one, Count: 1, Levels: []float64{-1}}.Run(context.Background(), r)
	wantError(t, err, "level -1")
}

// TestChannels: with no channel removed the loss equals the scorer's, with all removed that of a zero state; in between the weakest go
// first.
func TestChannels(t *testing.T) {
	r := runner(t, "go", small(20), 1, 2)
	r.Piece = 16
	one, err := task.Open("mqar", 32, map[string]any{"vocab": 20, "pairs": 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Channels{Task: one, Count: 6, Shares: []float64{0, 0.25, 1}}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := eval.Noise{Task: one, Count: 6, Levels: []float64{0}}.Run(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	loss, rise, removed, all := floats(t, got, "loss"), floats(t, got, "rise"), ints(t, got, "removed"), ints(t, got, "channels")
	for k := range 2 {
		if want := floats(t, plain, "loss")[k]; loss[k] != want || rise[k] != 0 {
			t.Errorf("member %d: loss %g with nothing removed, want %g", k, loss[k], want)
		}
		if math.Abs(rise[4+k]-(loss[4+k]-loss[k])) > 1e-9 || loss[4+k] == loss[k] || loss[2+k] == loss[4+k] {
			t.Errorf("member %d: losses %g, %g, %g, rise %g", k, loss[k], loss[2+k], loss[4+k], rise[4+k])
		}
	}
	if removed[0] != 0 || removed[2] != int64(float64(all[0])/4+0.5) || removed[4] != all[0] {
		t.Errorf("removed %v of %v", removed, all)
	}
	if s := eval.Removable([]float64{0, 0.25, 0.5, 0.75}, []float64{0, 0.001, 0.2, 0}, 0.01); s != 0.25 {
		t.Errorf("removable %g", s)
	}
	_, err = eval.Channels{Task: one, Count: 1, Shares: []float64{2}}.Run(context.Background(), r)
	wantError(t, err, "share is 2")
}
