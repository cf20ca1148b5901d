package mamba2_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// wide is small in float64.
func wide(t testing.TB) (mamba2.Model, *lm.Weights, map[string][]float64) {
	t.Helper()
	m, w32 := small(t)
	narrow, err := w32.Member(0)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for name, v := range narrow {
		for _, x := range v {
			values[name] = append(values[name], float64(x))
		}
	}
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) { return values[s.Name], nil })
	if err != nil {
		t.Fatal(err)
	}
	return m, w, values
}

// probed runs a row in pieces and joins the probes [layers, 1, tokens, …] to [layers][tokens × …].
func probed(t testing.TB, d *xla.Device, w *lm.Weights, row []int32, piece int, controls map[string]*tensors.Tensor, names ...string) map[string][][]float64 {
	t.Helper()
	r := lm.NewRunner(d, w)
	r.Piece = piece
	out := map[string][][]float64{}
	for _, n := range names {
		out[n] = make([][]float64, w.Model.Layers())
	}
	_, err := r.Run(context.Background(), [][]int32{row}, nil, lm.Request{Probes: names, Controls: controls}, func(p lm.Piece) error {
		for _, n := range names {
			v := tensors.MustCopyFlatData[float64](p.Probes[n])
			rest := len(v) / w.Model.Layers()
			for l := range out[n] {
				out[n][l] = append(out[n][l], v[l*rest:][:rest/p.Padded*p.Tokens]...)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// given are float values of controls and, for all, the positions between which they act, on the host.
type given struct {
	m           mamba2.Model
	floats      map[string][]float64
	index       map[string][]int32
	from, until []int32 // [layers, heads]
}

func (g given) tensors() map[string]*tensors.Tensor {
	out := map[string]*tensors.Tensor{}
	for _, c := range g.m.Controls() {
		dims := append([]int{g.m.Layers()}, c.Dims...)
		if v := g.floats[c.Name]; v != nil {
			out[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
		} else if v := g.index[c.Name]; v != nil {
			out[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
		} else {
			continue
		}
		if g.from != nil {
			n := c.Dims[0]
			cut := func(v []int32) *tensors.Tensor {
				var short []int32
				for l := range g.m.Layers() {
					short = append(short, v[l*g.m.Heads():][:n]...)
				}
				return tensors.FromFlatDataAndDimensions(short, g.m.Layers(), n)
			}
			out[c.Name+lm.From], out[c.Name+lm.Until] = cut(g.from), cut(g.until)
		}
	}
	return out
}

// at is the value of a control for entry i of unit j (head or group) at a token, NaN where it does not act.
func (g given) at(name string, l, t, j, i, width int) float64 {
	if g.from != nil && (int32(t) < g.from[l*g.m.Heads()+j] || int32(t) >= g.until[l*g.m.Heads()+j]) {
		return math.NaN()
	}
	units := g.m.Heads()
	if name == "b_value" || name == "b_norm" {
		units = g.m.Groups
	}
	if v := g.floats[name]; v != nil {
		return v[(l*units+j)*width+i]
	}
	if v := g.index[name]; v != nil {
		return float64(v[l*units+j])
	}
	return math.NaN()
}

// reference computes y with D x of a layer from its in-projection and its convolution's output in float64, token by token,
// as the list of Model.Controls says.
func (g given) reference(l int, proj, conv []float64, params map[string][]float64) (y []float64) {
	m := g.m
	h, p, n, groups := m.Heads(), m.HeadDim, m.Config.State, m.Groups
	tokens, channels := len(conv)/m.Channels(), m.Channels()
	param := func(name string, j int) float64 { return params["mixer."+name][l*h+j] }
	y = make([]float64, tokens*h*p)
	for j := range h {
		state := make([]float64, p*n)
		for t := range tokens {
			v := func(name string) float64 { return g.at(name, l, t, j, 0, 1) }
			or := func(name string, x float64, f func(x, v float64) float64) float64 {
				if c := v(name); !math.IsNaN(c) {
					return f(x, c)
				}
				return x
			}
			mul, add := func(x, v float64) float64 { return x * v }, func(x, v float64) float64 { return x + v }
			source := func(name string) int { return int(or(name, float64(j), func(_, v float64) float64 { return v })) }
			wide := len(proj) / tokens
			raw := proj[t*wide+wide-h+j] + param("dt_bias", source("dt_bias_of"))
			raw = or("dt_shift", or("dt_scale", raw, mul), add)
			delta := max(raw, 0) + math.Log1p(math.Exp(-math.Abs(raw)))
			delta = or("delta_value", delta, func(_, v float64) float64 { return v })
			if v("delta_filter") > delta {
				delta = 0
			}
			delta = or("delta_scale", delta, mul)
			delta = or("delta_max", or("delta_min", delta, math.Max), math.Min)
			a := or("a_scale", -math.Exp(param("A_log", source("a_of"))), mul)
			logAlpha := or("log_alpha_shift", delta*a, add)
			logAlpha = or("log_alpha_max", or("log_alpha_min", logAlpha, math.Max), math.Min)
			write := or("b_scale", delta, mul)
			row := conv[t*channels:][:channels]
			group := j / (h / groups)
			x := g.replaced("x", l, t, j, row[j*p:][:p])
			b := g.replaced("b", l, t, group, row[h*p+group*n:][:n])
			c := row[h*p+groups*n+group*n:][:n]
			for i := range x {
				out := param("D", j) * x[i]
				for k := range b {
					state[i*n+k] = math.Exp(logAlpha)*state[i*n+k] + write*x[i]*b[k]
					out += state[i*n+k] * c[k]
				}
				y[(t*h+j)*p+i] = or("y_scale", out, mul)
			}
		}
	}
	return y
}

// replaced is x or B of one unit after x_value, x_norm or b_value, b_norm.
func (g given) replaced(what string, l, t, unit int, v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		if out[i] = g.at(what+"_value", l, t, unit, i, len(v)); math.IsNaN(out[i]) {
			out[i] = v[i]
		}
	}
	if norm := g.at(what+"_norm", l, t, unit, 0, 1); !math.IsNaN(norm) {
		sum := 0.0
		for _, x := range out {
			sum += x * x
		}
		for i := range out {
			out[i] *= norm / math.Sqrt(sum)
		}
	}
	return out
}

func near(t testing.TB, name string, got, want []float64, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	scale := 1e-30
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= rel*scale) {
			t.Fatalf("%s: entry %d is %g, want %g (largest %g)", name, i, got[i], want[i], scale)
		}
	}
}

// Every control does what its line says, in prefill and token by token, everywhere and between positions.
func TestControlsEqualTheirFormulas(t *testing.T) {
	m, w, params := wide(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	row, r := tokens(21, m.Vocab()), rand.New(rand.NewPCG(8, 9))
	plain := probed(t, d, w, row, 16, nil, "ssd")["ssd"]
	for _, c := range m.Controls() {
		low, high := 0.5, 1.5
		switch c.Name {
		case "dt_shift", "x_value", "b_value":
			low, high = -1, 1
		case "delta_value", "delta_filter", "delta_max", "delta_min":
			low, high = 0.01, 0.03
		case "log_alpha_shift", "log_alpha_min":
			low, high = -0.01, -0.001
		case "log_alpha_max":
			low, high = -0.5, -0.1
		}
		g := given{m: m, floats: map[string][]float64{}, index: map[string][]int32{}}
		size := m.Layers()
		for _, n := range c.Dims {
			size *= n
		}
		for i := range size {
			if c.Integer {
				g.index[c.Name] = append(g.index[c.Name], int32((i+1)%c.Dims[0]))
			} else {
				g.floats[c.Name] = append(g.floats[c.Name], low+(high-low)*r.Float64())
			}
		}
		for _, positions := range []bool{false, true} {
			if positions {
				for i := range m.Layers() * m.Heads() {
					g.from, g.until = append(g.from, int32(3+i)), append(g.until, int32(9+2*i))
				}
			}
			var prefill map[string][][]float64
			for _, piece := range []int{16, 1} {
				got := probed(t, d, w, row, piece, g.tensors(), "ssd", "in_proj", "conv_act")
				if prefill == nil {
					prefill = got
				}
				near(t, c.Name+" decoded", got["ssd"][m.Layers()-1], prefill["ssd"][m.Layers()-1], 1e-9)
				for l := range m.Layers() {
					want := g.reference(l, got["in_proj"][l], got["conv_act"][l], params)
					near(t, c.Name, got["ssd"][l], want, 1e-9)
				}
				if same(got["ssd"][0], plain[0]) {
					t.Errorf("%s changes nothing", c.Name)
				}
			}
		}
	}
}

func same(a, b []float64) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// sequence is a layer's part of probes as the input of the naive loops.
func sequence(m mamba2.Model, l int, conv, delta []float64, params map[string][]float64) recurrence.Sequence {
	h, p, n, g := m.Heads(), m.HeadDim, m.Config.State, m.Groups
	tokens := len(conv) / m.Channels()
	s := recurrence.Sequence{Dims: recurrence.Dims{Batch: 1, Tokens: tokens, Heads: h, HeadDim: p, Groups: g, State: n}, Delta: delta}
	for t := range tokens {
		row := conv[t*m.Channels():][:m.Channels()]
		s.X, s.B, s.C = append(s.X, row[:h*p]...), append(s.B, row[h*p:][:g*n]...), append(s.C, row[h*p+g*n:]...)
	}
	for j := range h {
		s.A = append(s.A, -math.Exp(params["mixer.A_log"][l*h+j]))
		s.D = append(s.D, params["mixer.D"][l*h+j])
	}
	return s
}

// variant gives weights another way of keeping the state.
func variant(w *lm.Weights, m lm.Model) *lm.Weights {
	v := *w
	v.Model = m
	return &v
}

// Methods 2 and 3 of the paper inside a model, however the tokens are cut into pieces.
func TestVariantsEqualNaiveLoops(t *testing.T) {
	m, w, params := wide(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	row := tokens(21, m.Vocab())
	windowed, err := m.WithWindow(5)
	if err != nil {
		t.Fatal(err)
	}
	limited, err := m.WithNormLimit(1)
	if err != nil {
		t.Fatal(err)
	}
	limits := make([]float64, m.Layers()*m.Heads())
	for i := range limits {
		limits[i] = 0.002 * float64(1+i)
	}
	controls := func() map[string]*tensors.Tensor {
		return map[string]*tensors.Tensor{"norm_limit": tensors.FromFlatDataAndDimensions(limits, m.Layers(), m.Heads())}
	}
	for _, piece := range []int{32, 16, 4, 1} { // 16 and 4 mix pieces with single tokens
		got := probed(t, d, variant(w, windowed), row, piece, nil, "ssd", "conv_act", "delta", "squares")
		for l := range m.Layers() {
			y, _ := recurrence.NaiveWindow(sequence(m, l, got["conv_act"][l], got["delta"][l], params), 5)
			near(t, "window", got["ssd"][l], y, 1e-9)
		}
		got = probed(t, d, variant(w, limited), row, piece, controls(), "ssd", "conv_act", "delta", "squares")
		for l := range m.Layers() {
			y, _ := recurrence.NaiveLimited(sequence(m, l, got["conv_act"][l], got["delta"][l], params), limits[l*m.Heads():][:m.Heads()], 1)
			near(t, "norm limit", got["ssd"][l], y, 1e-9)
			reached := 0
			for i, v := range got["squares"][l] {
				if limit := limits[l*m.Heads()+i%m.Heads()]; v > limit*limit*(1+1e-9) {
					t.Fatalf("norm² %g above the limit's %g", v, limit*limit)
				} else if v > limit*limit*(1-1e-9) {
					reached++
				}
			}
			if reached == 0 {
				t.Errorf("layer %d never reaches its limits", l)
			}
		}
	}
	if _, err := windowed.WithNormLimit(1); err == nil {
		t.Error("a window and a limited norm were combined")
	}
}

// From layer to layer fewer tokens go on: those with the largest Δ over all heads, in their order; single tokens always do.
func TestDecimationKeepsTheLargestDelta(t *testing.T) {
	m, w, params := wide(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	short, err := m.WithDecimation()
	if err != nil {
		t.Fatal(err)
	}
	row, keep := tokens(21, m.Vocab()), []int32{15, 9}
	controls := func() map[string]*tensors.Tensor {
		return map[string]*tensors.Tensor{"keep": tensors.FromFlatDataAndDimensions(keep, 2, 1)}
	}
	got := probed(t, d, variant(w, short), row, 32, controls(), "ssd", "conv_act", "in_proj")
	before := len(row)
	for l := range m.Layers() {
		conv, proj := got["conv_act"][l][:before*m.Channels()], got["in_proj"][l]
		wide := len(proj) / len(row)
		var delta, norms []float64
		for t := range before {
			norm := 0.0
			for j := range m.Heads() {
				v := recurrence.NaiveDelta([]float64{proj[t*wide+wide-m.Heads()+j]}, params["mixer.dt_bias"][l*m.Heads()+j:][:1], 0, math.Inf(1))[0]
				delta, norm = append(delta, v), norm+v*v
			}
			norms = append(norms, norm)
		}
		least := slices.Sorted(slices.Values(norms))[before-int(keep[l])]
		var left, leftDelta []float64
		for t, norm := range norms {
			if norm >= least {
				left = append(left, conv[t*m.Channels():][:m.Channels()]...)
				leftDelta = append(leftDelta, delta[t*m.Heads():][:m.Heads()]...)
			}
		}
		y, _ := recurrence.Naive(sequence(m, l, left, leftDelta, params), nil)
		near(t, "left", got["ssd"][l][:len(y)], y, 1e-9)
		before = int(keep[l])
	}
	plain := probed(t, d, w, row, 1, nil, "ssd")
	one := probed(t, d, variant(w, short), row, 1, controls(), "ssd")
	near(t, "single tokens", one["ssd"][1], plain["ssd"][1], 1e-12)
	all := map[string]*tensors.Tensor{"keep": tensors.FromFlatDataAndDimensions([]int32{math.MaxInt32, math.MaxInt32}, 2, 1)}
	every := probed(t, d, variant(w, short), row, 32, all, "ssd")
	near(t, "all", every["ssd"][1], plain["ssd"][1], 1e-12)
}
