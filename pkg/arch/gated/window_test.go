package gated_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/gla"
	"stuffed/pkg/arch/hgrn2"
	"stuffed/pkg/arch/retnet"
	"stuffed/pkg/arch/rwkv5"
	"stuffed/pkg/arch/rwkv6"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

const window, tokens = 4, 13

// TestWindow holds models of one layer with a sliding window to the definition: the state without one, begun anew at zeros a window
// before each token.
func TestWindow(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs() {
		m, err := c.config.New()
		if err != nil {
			t.Fatal(err)
		}
		k := windowed{t, d, archtest.Wide(t, m, 3), c.before, [][]int32{nil, nil}}
		for i := range tokens {
			k.rows[0], k.rows[1] = append(k.rows[0], int32(i*i%13)), append(k.rows[1], int32((5*i+2)%13))
		}
		t.Run(m.Name(), func(t *testing.T) {
			k.t = t
			k.check()
		})
	}
}

type config struct {
	config lm.Config
	before bool // it reads before it writes
}

func configs() []config {
	g := gla.Default(16, 1, 13)
	g.Heads, g.KVHeads, g.Intermediate, g.Chunk, g.Convolve = 4, 2, 8, 4, true
	h := hgrn2.Default(16, 1, 13)
	h.Expand, h.Intermediate, h.Chunk = 8, 8, 4
	r := retnet.Default(16, 1, 13)
	r.Heads, r.Intermediate, r.Chunk = 2, 8, 4
	five, six := rwkv5.Default(16, 1, 13), rwkv6.Default(16, 1, 13)
	five.Head, five.Chunk = 8, 4
	six.Head, six.Chunk, six.MixRank, six.DecayRank = 8, 4, 3, 3
	return []config{{g, false}, {h, false}, {r, false}, {five, true}, {six, true}}
}

type windowed struct {
	t       *testing.T
	device  *xla.Device
	weights *lm.Weights
	before  bool
	rows    [][]int32
}

func (k windowed) check() {
	w := *k.weights
	var err error
	if w.Model, err = lm.VariantOf(k.weights.Model, lm.Variant{Window: window}); err != nil {
		k.t.Fatal(err)
	}
	ends := []int{0, 1, 3, 4, 5, 9, 12}
	got := k.pass(&w, lm.PassInput{Rows: k.rows, Ends: ends, Probes: []string{lm.States, lm.Squares}})
	logits, states, squares := k.values(got.Logits), k.values(got.Probes[lm.States]), k.values(got.Probes[lm.Squares])
	vocab := w.Model.Vocab()
	for i, end := range ends {
		start := max(0, end-window+1)
		want := k.anew(start, end)
		state := k.values(want.State["state"])
		k.near(fmt.Sprint("state after token ", end), states[i*len(state):][:len(state)], state)
		k.near(fmt.Sprint("squares after token ", end), k.at(squares, end, len(squares)/tokens/2), sums(state, len(squares)/tokens))
		if end > 0 {
			k.near(fmt.Sprint("logits of token ", end), k.at(logits, end, vocab), k.values(k.one(&w, end).Logits))
		}
	}
	cut := k.pass(&w, lm.PassInput{Rows: k.rows, Cuts: []int{1, 2, 8}})
	k.near("cut", k.values(cut.Logits), logits)
	for _, piece := range []int{1, 3, 16} { // the last is padded
		r := lm.NewRunner(k.device, &w)
		r.Piece = piece
		var last []float64
		_, err := r.Run(context.Background(), k.rows, nil, lm.Request{Last: true}, func(p lm.Piece) error {
			last = nil
			for _, x := range p.Last {
				last = append(last, float64(x))
			}
			return nil
		})
		if err != nil {
			k.t.Fatal(err)
		}
		for i, x := range k.last(logits, vocab) {
			if math.Abs(last[i]-x) > 1e-5*(1+math.Abs(x)) {
				k.t.Fatalf("pieces of %d: last logit %d is %g, want %g", piece, i, last[i], x)
			}
		}
	}
}

// anew is the model without a window from zeros at start, with all but the recurrent state as it was there, over start … end.
func (k windowed) anew(start, end int) lm.PassOutput {
	var state lm.State
	if start > 0 {
		state = k.pass(k.weights, lm.PassInput{Rows: k.part(0, start)}).State
		for _, s := range k.weights.Model.State(2) {
			if s.Role == lm.Recurrent {
				state[s.Name] = tensors.FromFlatDataAndDimensions(make([]float64, s.Size()), s.Dims...)
			}
		}
	}
	return k.pass(k.weights, lm.PassInput{Rows: k.part(start, end+1), State: state})
}

// one is the model without a window over one token, from the state that the window before it leaves.
func (k windowed) one(w *lm.Weights, at int) lm.PassOutput {
	first := at - window + 1
	if k.before {
		first--
	}
	state, carried := lm.State{}, k.pass(w, lm.PassInput{Rows: k.part(0, at)}).State
	for _, s := range k.weights.Model.State(2) {
		state[s.Name] = carried[s.Name]
	}
	state["state"] = k.anew(max(0, first), at-1).State["state"]
	return k.pass(k.weights, lm.PassInput{Rows: k.part(at, at+1), State: state})
}

func (k windowed) part(from, to int) [][]int32 {
	return [][]int32{k.rows[0][from:to], k.rows[1][from:to]}
}

func (k windowed) pass(w *lm.Weights, in lm.PassInput) lm.PassOutput {
	k.t.Helper()
	out, err := lm.NewPass(k.device, w).Run(in)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k windowed) values(t *tensors.Tensor) []float64 {
	k.t.Helper()
	if t.DType() != dtypes.Float64 {
		k.t.Fatalf("is %s", t.DType())
	}
	v, err := lm.Float64s(t)
	if err != nil {
		k.t.Fatal(err)
	}
	return v
}

// at are the entries of a token of [2, tokens, width].
func (k windowed) at(v []float64, token, width int) []float64 {
	return append(append([]float64{}, v[token*width:][:width]...), v[(tokens+token)*width:][:width]...)
}

// last are those of the last token of [2, …, width].
func (k windowed) last(v []float64, width int) []float64 {
	half := len(v) / 2
	return append(append([]float64{}, v[half-width:half]...), v[len(v)-width:]...)
}

// sums of squares of n equal parts.
func sums(v []float64, n int) []float64 {
	out := make([]float64, n)
	for i, x := range v {
		out[i/(len(v)/n)] += x * x
	}
	return out
}

func (k windowed) near(label string, got, want []float64) {
	k.t.Helper()
	if len(got) != len(want) {
		k.t.Fatalf("%s: %d values, want %d", label, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-9*(1+math.Abs(want[i]))) {
			k.t.Fatalf("%s: entry %d is %g, want %g", label, i, got[i], want[i])
		}
	}
}
