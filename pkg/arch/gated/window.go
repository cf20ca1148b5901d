package gated

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence/vectorgate"
	"stuffed/pkg/stack"
	"stuffed/xla"
)

// Memory is how a model keeps its state; models embed it. With a Window of r tokens, layers see only what the last r tokens wrote (arXiv
// 2410.07145, method 3, which was proposed for Mamba-2 and applies to any weighted sum):
//
//	W_t = S_t − diag(e^(g_{t−r+1} + … + g_t)) S_{t−r} = diag(e^(g_t)) W_{t−1} + k_t v_tᵀ − (e^(g_{t−r+1} + … + g_t) ⊙ k_{t−r}) v_{t−r}ᵀ
//
// so every token writes and then subtracts, with decay 1, what the token r positions earlier wrote. Rounding errors of the subtraction fade
// only as fast as the state decays.
type Memory struct {
	Window int // 0: the model's own, all tokens
}

// Past is the length of the window in tokens, 0 if there is none.
func (m Memory) Past() int { return m.Window }

// Vary returns the memory with the given variant applied, for a model's Variant method.
func (m Memory) Vary(name string, v lm.Variant) (Memory, error) {
	if v.NormEvery > 0 || v.Decimate {
		return m, fmt.Errorf("%s has a sliding window, but neither a limited norm inside its graph nor decimation", name)
	}
	if v.Window < 1 || v.Window > 1<<20 {
		return m, fmt.Errorf("window of %d tokens is outside 1 … %d", v.Window, 1<<20)
	}
	m.Window = v.Window
	return m, nil
}

// Names of the tensors that a window carries: keys, values and log decays of the last r tokens, oldest first.
const (
	pastKeys   = "window_k"
	pastValues = "window_v"
	pastDecays = "window_log_alpha"
)

// StateSpecs returns the specs of the state and of the tensors that a window carries, which are zero before the start of a sequence.
func (m Memory) StateSpecs(layers, batch, heads, keys, values int) []lm.Spec {
	specs := []lm.Spec{StateSpec(layers, batch, heads, keys, values)}
	if m.Window == 0 {
		return specs
	}
	for _, part := range []struct {
		name  string
		width int
		axis  lm.Axis
	}{{pastKeys, keys, lm.Key}, {pastValues, values, lm.Value}, {pastDecays, keys, lm.Key}} {
		specs = append(specs, lm.Spec{Name: part.name, Role: lm.Other, Layered: true, Dims: []int{layers, batch, m.Window, heads, part.width},
			Axes: []lm.Axis{lm.Layer, lm.Batch, lm.Position, lm.HeadAxis, part.axis}})
	}
	return specs
}

// windowOf returns the window of a layer's model.
func windowOf(l *stack.Layer) int {
	if m, has := l.Model.(interface{ Past() int }); has {
		return m.Past()
	}
	return 0
}

// slid runs the recurrence over a sliding window of r tokens: on twice as many tokens, of which every second one subtracts an old write.
func slid(l *stack.Layer, op vectorgate.Operands, r, chunk int) *Node {
	if op.Segments != nil {
		panic(fmt.Errorf("%s: a sliding window takes no packed documents", l.Model.Name()))
	}
	join := func(name string, own *Node) *Node { // [batch, r + tokens, …]
		return Concatenate([]*Node{l.State(name), ConvertDType(own, l.Gate)}, 1)
	}
	keys, values, decays := join(pastKeys, op.K), join(pastValues, op.V), join(pastDecays, op.LogDecay)
	old := func(x *Node) *Node { return SliceAxis(x, 1, AxisRange(0, l.Tokens)) } // of the tokens r before
	zeros := ZerosLike(op.Q)
	two := vectorgate.Operands{
		K:        pairs(ConvertDType(op.K, l.Gate), Neg(l.Real(Mul(old(keys), Exp(since(decays, r, l.Tokens)))))),
		V:        pairs(ConvertDType(op.V, l.Gate), old(values)),
		LogDecay: pairs(op.LogDecay, ZerosLike(op.LogDecay)), Bonus: op.Bonus, Initial: op.Initial,
	}
	reads := 1 // after both, or before either with a bonus
	if two.Q = pairs(zeros, op.Q); op.Bonus != nil {
		two.Q, reads = pairs(op.Q, zeros), 0
	}
	both := once(two.Moments)
	moment := func(i int) func() *Node { return func() *Node { return every(both()[i], 1) } }
	l.ProbeState(State, moment(0), moment(1), func(ends *Node) *Node { return two.StatesAt(AddScalar(MulScalar(ends, 2), 1)) })
	y, state := vectorgate.Chunk(two, chunk)
	l.SetState(State, state)
	for name, x := range map[string]*Node{pastKeys: keys, pastValues: values, pastDecays: decays} {
		l.SetState(name, newest(l, x, r))
	}
	return every(y, reads)
}

// since sums the r log decays up to and including each token, for decays [batch, r + tokens, heads, keys].
func since(decays *Node, r, tokens int) *Node {
	hi, lo := xla.RunningSumPair(TransposeAllAxes(decays, 0, 2, 3, 1))
	part := func(x *Node, from int) *Node { return SliceAxis(x, -1, AxisRange(from, from+tokens)) }
	sum := Add(Sub(part(hi, r), part(hi, 0)), Sub(part(lo, r), part(lo, 0)))
	return TransposeAllAxes(sum, 0, 3, 1, 2)
}

// pairs interleaves the tokens of a and b: [batch, 2 tokens, …].
func pairs(a, b *Node) *Node {
	dims := append([]int{}, a.Shape().Dimensions...)
	dims[1] *= 2
	return Reshape(Concatenate([]*Node{InsertAxes(a, 2), InsertAxes(b, 2)}, 2), dims...)
}

// every returns every second token, starting with the first (0) or the second (1).
func every(x *Node, from int) *Node {
	dims := append([]int{}, x.Shape().Dimensions...)
	split := append([]int{dims[0], dims[1] / 2, 2}, dims[2:]...)
	return Squeeze(SliceAxis(Reshape(x, split...), 2, AxisRange(from, from+1)), 2)
}

// newest returns the last r tokens of x [batch, r + tokens, …] before the padding.
func newest(l *stack.Layer, x *Node, r int) *Node {
	if l.Length == nil {
		return SliceAxis(x, 1, AxisRangeToEnd(l.Tokens))
	}
	dims := x.Shape().Dimensions
	rows := dims[0]
	at := Add(Iota(x.Graph(), shapes.Make(dtypes.Int32, rows, r), 1), Reshape(l.Length, 1, 1))
	at = Add(at, MulScalar(Iota(x.Graph(), shapes.Make(dtypes.Int32, rows, r), 0), dims[1]))
	return Gather(Reshape(x, append([]int{rows * dims[1]}, dims[2:]...)...), InsertAxes(at, -1))
}
