// Package archtest tests any architecture against reference tensors and for self-consistency.
package archtest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Consistent checks in float64 that a model computes the same in chunks of any length, token by token, split anywhere, unrolled, without a
// gradient, in packed documents, beside another member and piece by piece; that its gradients, for parameters and for the initial state,
// match finite differences; that all its probes exist and agree with each other; and that neutral controls change nothing.
func Consistent(t *testing.T, d *xla.Device, c lm.Config) {
	t.Helper()
	m, err := c.New()
	if err != nil {
		t.Fatal(err)
	}
	k := checker{t: t, model: m, weights: Wide(t, m, 3), device: d}
	for name, check := range map[string]func(){"cuts": k.cuts, "documents": k.documents, "members": k.members, "pieces": k.pieces,
		"gradients": k.gradients, "probes": k.probes, "controls": k.controls, "lengths": k.lengths, "partitions": k.partitions,
		"initial": k.initial} {
		t.Run(name, func(t *testing.T) {
			k.t = t
			check()
		})
	}
}

type checker struct {
	t       *testing.T
	model   lm.Model
	weights *lm.Weights
	device  *xla.Device
}

// Wide returns initial weights in float64, perturbed away from values that would hide dependencies.
func Wide(t testing.TB, m lm.Model, seed uint64) *lm.Weights {
	t.Helper()
	r, values := rand.New(rand.NewPCG(seed, 1)), m.Initial(seed)
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
		v := make([]float64, s.Size())
		for i, x := range values[s.Name] {
			v[i] = float64(x) + 0.1*r.NormFloat64()
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (k checker) rows(seed uint64, batch, tokens int) (rows [][]int32) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range batch {
		row := make([]int32, tokens)
		for i := range row {
			row[i] = int32(r.IntN(k.model.Vocab()))
		}
		rows = append(rows, row)
	}
	return rows
}

func (k checker) pass(in lm.PassInput, options lm.Options) lm.PassOutput {
	k.t.Helper()
	p := lm.NewPass(k.device, k.weights)
	p.Options = options
	out, err := p.Run(in)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

func (k checker) near(label string, got, want *tensors.Tensor) {
	k.t.Helper()
	a, err := lm.Float64s(got)
	if err != nil {
		k.t.Fatal(err)
	}
	b, err := lm.Float64s(want)
	if err != nil {
		k.t.Fatal(err)
	}
	nearly(k.t, label, a, b, 1e-9)
}

func nearly(t *testing.T, label string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", label, len(got), len(want))
	}
	largest := 1e-6
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance*largest) {
			t.Errorf("%s: value %d is %g, want %g", label, i, got[i], want[i])
			return
		}
	}
}

// states compares every carried tensor, up to the shorter of both caches.
func (k checker) states(label string, got, want lm.State) {
	k.t.Helper()
	for _, s := range k.model.State(1) {
		if s.Grows && !slices.Equal(got[s.Name].Shape().Dimensions, want[s.Name].Shape().Dimensions) {
			continue
		}
		k.near(label+", state "+s.Name, got[s.Name], want[s.Name])
	}
}

func (k checker) cuts() {
	rows := k.rows(1, 2, 13)
	whole := k.pass(lm.PassInput{Rows: rows}, lm.Options{})
	for label, options := range map[string]lm.Options{"cut": {}, "cut without gradient": {Infer: true}, "unrolled": {Unroll: true}} {
		out := k.pass(lm.PassInput{Rows: rows, Cuts: []int{1, 2, 7}}, options)
		k.near(label+", logits", out.Logits, whole.Logits)
		k.states(label, out.State, whole.State)
	}
}

func (k checker) documents() {
	row := k.rows(2, 1, 12)[0]
	ends := []int{0, 5, 6, 12}
	packed := k.pass(lm.PassInput{Rows: [][]int32{row}, Documents: ends}, lm.Options{})
	cut := k.pass(lm.PassInput{Rows: [][]int32{row}, Documents: ends, Cuts: []int{3, 8}}, lm.Options{})
	k.near("packed and cut, logits", cut.Logits, packed.Logits)
	all, err := lm.Float64s(packed.Logits)
	if err != nil {
		k.t.Fatal(err)
	}
	for i := range len(ends) - 1 {
		alone := k.pass(lm.PassInput{Rows: [][]int32{row[ends[i]:ends[i+1]]}}, lm.Options{})
		want, err := lm.Float64s(alone.Logits)
		if err != nil {
			k.t.Fatal(err)
		}
		nearly(k.t, fmt.Sprint("document ", i), all[ends[i]*k.model.Vocab():ends[i+1]*k.model.Vocab()], want, 1e-9)
	}
}

func (k checker) members() {
	w, err := lm.InitialWeights(k.model, 1, 2)
	if err != nil {
		k.t.Fatal(err)
	}
	rows := k.rows(3, 2, 9)
	run := func(w *lm.Weights, rows [][]int32) (loss []float64) {
		_, err := lm.NewRunner(k.device, w).Run(context.Background(), rows, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
			for _, v := range p.Logits {
				loss = append(loss, float64(v))
			}
			return nil
		})
		if err != nil {
			k.t.Fatal(err)
		}
		return loss
	}
	both := run(w, rows)
	for r := range 2 {
		one, err := w.Select(r)
		if err != nil {
			k.t.Fatal(err)
		}
		nearly(k.t, fmt.Sprint("member ", r), both[r*len(both)/2:(r+1)*len(both)/2], run(one, rows[r:r+1]), 1e-4)
	}
}

// pieces compares a runner's padded pieces with a single pass.
func (k checker) pieces() {
	rows := k.rows(4, 2, 11)
	whole := k.pass(lm.PassInput{Rows: rows}, lm.Options{})
	want, err := lm.Float64s(whole.Loss)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, piece := range []int{1, 4, 16} {
		r := lm.NewRunner(k.device, k.weights)
		r.Piece = piece
		got := make([]float64, len(want))
		state, err := r.Run(context.Background(), rows, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
			for b := range rows {
				for i := range min(p.Tokens, 10-p.Start) {
					got[b*10+p.Start+i] = float64(p.Loss[b*p.Tokens+i])
				}
			}
			return nil
		})
		if err != nil {
			k.t.Fatal(err)
		}
		nearly(k.t, fmt.Sprint("pieces of ", piece), got, want, 1e-6)
		k.states(fmt.Sprint("pieces of ", piece), state, whole.State)
	}
}

// gradients compares the derivative along a random direction of all parameters, and of the initial state, with differences.
func (k checker) gradients() {
	rows, r := k.rows(5, 2, 6), rand.New(rand.NewPCG(9, 9))
	state := lm.ZeroState(k.model, 2, dtypes.Float64)
	out := k.pass(lm.PassInput{Rows: rows, State: state, Gradient: true}, lm.Options{})
	for _, s := range k.weights.Specs {
		direction, slope := along(k.t, r, out.Gradient[s.Name])
		loss := func(by float64) float64 {
			w := *k.weights
			w.Values = slices.Clone(w.Values)
			for i, other := range k.weights.Specs {
				if other.Name == s.Name {
					w.Values[i] = moved(k.t, w.Values[i], direction, by)
				}
			}
			changed := k
			changed.weights = &w
			return changed.mean(rows, state)
		}
		difference := (loss(1e-5) - loss(-1e-5)) / 2e-5
		if math.Abs(difference-slope) > 1e-5*max(1e-2, math.Abs(slope)) {
			k.t.Errorf("parameter %s: gradient %g along a direction, differences give %g", s.Name, slope, difference)
		}
	}
}

func (k checker) mean(rows [][]int32, state lm.State) float64 {
	v, err := lm.Float64s(k.pass(lm.PassInput{Rows: rows, State: state}, lm.Options{Infer: true}).Objective)
	if err != nil {
		k.t.Fatal(err)
	}
	return v[0]
}

func along(t *testing.T, r *rand.Rand, gradient *tensors.Tensor) (direction []float64, slope float64) {
	t.Helper()
	g, err := lm.Float64s(gradient)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range g {
		x := r.NormFloat64()
		direction, slope = append(direction, x), slope+x*v
	}
	return direction, slope
}

func moved(t *testing.T, x *tensors.Tensor, direction []float64, by float64) *tensors.Tensor {
	t.Helper()
	v, err := lm.Float64s(x)
	if err != nil {
		t.Fatal(err)
	}
	v = slices.Clone(v)
	for i := range v {
		v[i] += by * direction[i]
	}
	out, err := lm.FromFloat64s(v, dtypes.Float64, x.Shape().Dimensions...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// probes requests every probe and compares the sums of states with the states.
func (k checker) probes() {
	rows, ends := k.rows(6, 2, 5), []int{0, 1, 2, 3, 4}
	var names []string
	for _, p := range k.model.Probes() {
		names = append(names, p.Name)
	}
	out := k.pass(lm.PassInput{Rows: rows, Probes: names, Ends: ends}, lm.Options{Infer: true})
	for _, p := range k.model.Probes() {
		if got := out.Probes[p.Name].Shape(); got.Rank() != len(p.Axes)+1 || got.Dim(0) != k.model.Layers() {
			k.t.Errorf("probe %s is %s, must have the layers and axes %v", p.Name, got, p.Axes)
		}
	}
	for _, s := range k.model.State(1) {
		sum, at := lm.Of(lm.Sum, k.model, s.Name), lm.Of(lm.States, k.model, s.Name)
		if s.Role != lm.Recurrent || out.Probes[sum] == nil || out.Probes[at] == nil {
			continue
		}
		if summary := out.Probes[lm.Summary]; summary != nil {
			k.summary(summary, out.Probes[sum])
			continue
		}
		k.sums(s, out.Probes[at], out.Probes[sum], out.Probes[lm.Of(lm.Squares, k.model, s.Name)])
	}
}

// sums compares [layers, batch, tokens, heads] with states [layers, tokens, batch, …] of all tokens.
func (k checker) sums(s lm.Spec, states, sum, squares *tensors.Tensor) {
	k.t.Helper()
	d := states.Shape().Dimensions
	flat, err := lm.Float64s(states)
	if err != nil {
		k.t.Fatal(err)
	}
	joined, err := lm.FromFloat64s(flat, dtypes.Float64, append([]int{d[0], d[1] * d[2]}, d[3:]...)...) // tokens and rows as one axis
	if err != nil {
		k.t.Fatal(err)
	}
	v, err := s.OnHost(joined)
	if err != nil {
		k.t.Fatal(err)
	}
	heads, values, keys := s.Matrices()
	for i, t := range []*tensors.Tensor{sum, squares} {
		var want []float64
		for l := range d[0] {
			for b := range d[2] {
				for tok := range d[1] {
					for h := range heads {
						total := 0.0
						for _, x := range v[(((l*d[1]+tok)*d[2]+b)*heads+h)*values*keys:][:values*keys] {
							if i == 1 {
								x *= x
							}
							total += x
						}
						want = append(want, total)
					}
				}
			}
		}
		got, err := lm.Float64s(t)
		if err != nil {
			k.t.Fatal(err)
		}
		nearly(k.t, fmt.Sprint(s.Name, " moment ", i+1), got, want, 1e-9)
	}
}

// summary compares [layers, batch, tokens, 1] with the sums of a summary [layers, batch, tokens, channels].
func (k checker) summary(summary, sum *tensors.Tensor) {
	k.t.Helper()
	v, err := lm.Float64s(summary)
	if err != nil {
		k.t.Fatal(err)
	}
	got, err := lm.Float64s(sum)
	if err != nil {
		k.t.Fatal(err)
	}
	want := make([]float64, len(got))
	for i, x := range v {
		want[i/(len(v)/len(want))] += x
	}
	nearly(k.t, "sum of the summary", got, want, 1e-9)
}

// controls sets every control to its neutral value, which must not change anything.
func (k checker) controls() {
	rows := k.rows(7, 2, 6)
	controls := map[string]*tensors.Tensor{}
	for _, c := range k.model.Controls() {
		dims := append([]int{k.model.Layers()}, c.Dims...)
		size := 1
		for _, n := range dims {
			size *= n
		}
		if c.Integer {
			v := make([]int32, size)
			for i := range v {
				if v[i] = int32(c.Neutral); c.Neutral == lm.Itself {
					v[i] = int32(i % c.Dims[0])
				}
			}
			controls[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
			continue
		}
		v := slices.Repeat([]float64{c.Neutral}, size)
		controls[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
	}
	run := func(controls map[string]*tensors.Tensor) (logits []float64) {
		_, err := lm.NewRunner(k.device, k.weights).Run(context.Background(), rows, nil, lm.Request{Logits: true, Controls: controls}, func(p lm.Piece) error {
			for _, v := range p.Logits {
				logits = append(logits, float64(v))
			}
			return nil
		})
		if err != nil {
			k.t.Fatal(err)
		}
		return logits
	}
	with, without := run(controls), run(nil)
	for i := range without {
		if with[i] != without[i] {
			k.t.Fatalf("neutral controls change logit %d from %g to %g", i, without[i], with[i])
		}
	}
}
