package trace_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/pkg/trace"
)

// The ranks agree with those from singular values of states formed token by token.
func TestRanksAreThoseOfTheStates(t *testing.T) {
	dev := devices(t)[0]
	w := small(t)
	p := sentence("one", 37)
	for _, c := range []trace.Config{{Bucket: 8, Columns: []string{"effective_rank", "norm", "stable_rank", "numerical_rank"}},
		{Bucket: 37, Columns: []string{"absmax", "numerical_rank", "stable_rank", "effective_rank"}, Entries: []trace.Entry{{Head: 1, Channel: 2, State: 3}}}} {
		r := lm.NewRunner(dev, w)
		r.Piece = 16
		got, err := trace.Collect(context.Background(), r, []prompt.Probe{p}, c)
		if err != nil {
			t.Fatal(err)
		}
		have, want := cells(t, got[trace.States], p.Name), naive(t, lm.NewRunner(dev, w), p, c)
		for key, v := range stateRanks(t, lm.NewRunner(dev, w), p.IDs, c.Bucket) {
			if g, ok := have[key]; !ok || math.Abs(g-v) > 1e-6*v {
				t.Errorf("bucket %d: %s is %g (%v), want %g", c.Bucket, key, g, ok, v)
			}
		}
		if e := got[trace.Entries]; e != nil { // entries and magnitudes sit next to the Gram matrices
			for key, v := range cells(t, e, p.Name) {
				if math.Abs(v-want[trace.Entries][key]) > 1e-9 {
					t.Errorf("entry %s is %g, want %g", key, v, want[trace.Entries][key])
				}
			}
			if g, v := have["0/0/0 absmax"], want[trace.States]["0/0/0 absmax"]; math.Abs(g-v) > 1e-9 {
				t.Errorf("absmax is %g, want %g", g, v)
			}
		}
	}
}

// stateRanks computes ranks from a singular value decomposition of the states of the plain recurrence.
func stateRanks(t *testing.T, r *lm.Runner, ids []int32, bucket int) map[string]float64 {
	v, dims, _ := seen(t, r, ids, "x", "B", "C", "delta", "log_alpha")
	x, b := dims["x"], dims["B"]
	d := recurrence.Dims{Batch: 1, Tokens: len(ids), Heads: x[3], HeadDim: x[4], Groups: b[3], State: b[4]}
	out := map[string]float64{}
	for l := range x[0] {
		at := func(name string, rest int) []float64 { return v[name][l*x[2]*rest:][:d.Tokens*rest] }
		s := recurrence.Sequence{Dims: d, X: at("x", d.Heads*d.HeadDim), Delta: at("delta", d.Heads), A: make([]float64, d.Heads), B: at("B", d.Groups*d.State), C: at("C", d.Groups*d.State)}
		for h := range s.A {
			s.A[h] = at("log_alpha", d.Heads)[h] / s.Delta[h]
		}
		recurrence.Naive(s, func(_, tok, h int, state []float64) {
			if (tok+1)%bucket != 0 && tok+1 != d.Tokens {
				return
			}
			var svd mat.SVD
			if !svd.Factorize(mat.NewDense(d.HeadDim, d.State, append([]float64{}, state...)), mat.SVDNone) {
				t.Fatal("no singular values")
			}
			values, sum, squares, entropy, above := svd.Values(nil), 0.0, 0.0, 0.0, 0.0
			for _, v := range values {
				sum, squares = sum+v, squares+v*v
				if v > values[0]/100 {
					above++
				}
			}
			for _, v := range values {
				if v > 0 {
					entropy -= v / sum * math.Log(v/sum)
				}
			}
			key := fmt.Sprintf("%d/%d/%d ", tok/bucket*bucket, l, h)
			out[key+"effective_rank"], out[key+"stable_rank"], out[key+"numerical_rank"] = math.Exp(entropy), squares/(values[0]*values[0]), above
		})
	}
	return out
}
