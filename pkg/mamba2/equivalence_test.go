package mamba2_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// trained is the mean loss, both states, probes and all gradients, the state's too, of a model with options.
func trained(t testing.TB, d int, m mamba2.Model, w *lm.Weights, dtype dtypes.DType, o lm.Options, rows [][]int32, state, window []float64) [][]float64 {
	t.Helper()
	var flat []int32
	for _, r := range rows {
		flat = append(flat, r...)
	}
	specs := m.State(len(rows))
	shift := make([]float64, m.Layers()*m.Heads())
	for i := range shift {
		shift[i] = float64(i) / 10
	}
	args := []any{tensors.FromFlatDataAndDimensions(flat, len(rows), len(rows[0])), typed(dtype, state, specs[0].Dims...),
		typed(dtype, window, specs[1].Dims...), typed(dtype, shift, m.Layers(), m.Heads())}
	return evaluate(t, devices(t)[d], w, func(p map[string]*Node, in []*Node) []*Node {
		c := lm.Call{Params: p, Tokens: in[0], State: byName(m, in[1:3]), Probes: []string{"delta", "sum", "hidden"}, Options: o}
		c.Controls = map[string]*Node{"dt_shift": in[3]}
		out := m.Forward(c)
		n := c.Tokens.Shape().Dim(1)
		logits := m.Logits(c, out.Hidden)
		loss := ReduceAllSum(lm.TokenLoss(SliceAxis(logits, 1, AxisRange(0, n-1)), SliceAxis(c.Tokens, 1, AxisRange(1, n))))
		objective := Add(loss, ReduceAllSum(Sin(out.State["state"])))
		list := []*Node{loss, out.State["state"], out.State["conv_state"], out.Probes["delta"], out.Probes["sum"], out.Probes["hidden"]}
		return append(list, Gradient(objective, append(inOrder(w, p), in[1:]...)...)...)
	}, args...)
}

func allNear(t testing.TB, label string, got, want [][]float64, rel float64) {
	t.Helper()
	for i := range want {
		near(t, fmt.Sprint(label, " output ", i), got[i], want[i], rel)
	}
}

// TestLoopEqualsUnrolled: the layer loop, with probes and a control, with every policy of what the backward keeps, and
// with two layers a turn.
func TestLoopEqualsUnrolled(t *testing.T) {
	m, params, state, window := drawn(t, 20, func(c *mamba2.Config) { c.Groups, c.UseBias = 2, true })
	rows := [][]int32{tokens(11, m.Vocab())}
	want := trained(t, 0, m, weightsOf(t, m, dtypes.Float64, params), dtypes.Float64, lm.Options{Unroll: true}, rows, state, window)
	for i, dev := range devices(t) {
		w := weightsOf(t, m, dtypes.Float64, params)
		for _, o := range []lm.Options{{Save: "none"}, {Save: "proj"}, {Save: "all", LayersPerIteration: 2}} {
			got := trained(t, i, m, w, dtypes.Float64, o, rows, state, window)
			allNear(t, fmt.Sprintf("%s %+v", dev.Kind, o), got, want, 1e-10)
		}
	}
}

// TestMembersEqualSeparateModels: side by side in one graph, forward and gradients.
func TestMembersEqualSeparateModels(t *testing.T) {
	m, first, state, window := drawn(t, 21, func(c *mamba2.Config) { c.Groups, c.UseBias, c.Tied = 2, true, false })
	_, second, state2, window2 := drawn(t, 22, func(c *mamba2.Config) { c.Groups, c.UseBias, c.Tied = 2, true, false })
	rows := [][]int32{tokens(13, m.Vocab()), tokens(13, m.Vocab())}
	rows[1] = append(rows[1][5:], rows[1][:5]...)
	join := func(a, b []float64) (all []float64) { // the batch axis is the second
		n := len(a) / m.Layers()
		for l := range m.Layers() {
			all = append(append(all, a[l*n:][:n]...), b[l*n:][:n]...)
		}
		return all
	}
	both := weightsOf(t, m, dtypes.Float64, first, second)
	got := trained(t, 0, m, both, dtypes.Float64, lm.Options{Members: 2}, rows, join(state, state2), join(window, window2))
	alone := [][][]float64{
		trained(t, 0, m, weightsOf(t, m, dtypes.Float64, first), dtypes.Float64, lm.Options{}, rows[:1], state, window),
		trained(t, 0, m, weightsOf(t, m, dtypes.Float64, second), dtypes.Float64, lm.Options{}, rows[1:], state2, window2),
	}
	near(t, "loss", got[0], []float64{alone[0][0][0] + alone[1][0][0]}, 1e-11)
	for i := 1; i < len(got); i++ {
		want := join(alone[0][i], alone[1][i])
		if spec := i - 6; spec >= 0 && spec < len(both.Specs) && !both.Specs[spec].Layered {
			want = append(append([]float64{}, alone[0][i]...), alone[1][i]...)
		}
		if i == len(got)-1 { // the control, which both share
			want = alone[0][i]
			for k, v := range alone[1][i] {
				want[k] += v
			}
		}
		near(t, fmt.Sprint("output ", i), got[i], want, 1e-11)
	}
}

// TestBFloat16Drift: products in bfloat16 keep the state in float32; logits and loss stay close over 2,048 tokens.
func TestBFloat16Drift(t *testing.T) {
	m, params, _, _ := drawn(t, 23, func(c *mamba2.Config) { c.Width, c.HeadDim, c.State, c.Chunk = 32, 16, 16, 64 })
	rows := [][]int32{tokens(2048, m.Vocab())}
	for _, dev := range devices(t) {
		results := map[dtypes.DType]ran{}
		for _, compute := range []dtypes.DType{dtypes.InvalidDType, dtypes.BFloat16} {
			r := lm.NewRunner(dev, weightsOf(t, m, dtypes.Float32, params))
			r.Options.Compute = compute
			results[compute] = prefill(t, r, rows, nil)
		}
		full, half := results[dtypes.InvalidDType], results[dtypes.BFloat16]
		for name, pair := range map[string][2][]float64{"logits": {half.logits[0], full.logits[0]}, "state": {floats(half.state["state"]), floats(full.state["state"])}} {
			off, size := 0.0, 0.0
			for i, v := range pair[1] {
				off, size = off+(pair[0][i]-v)*(pair[0][i]-v), size+v*v
			}
			ratio := math.Sqrt(off / size)
			t.Logf("%s %s: relative RMS error %.4f", dev.Kind, name, ratio)
			if !(ratio < 0.02) {
				t.Errorf("%s %s: relative RMS error %g, at most 0.02", dev.Kind, name, ratio)
			}
		}
		mean := func(v []float64) (sum float64) {
			for _, x := range v[:len(v)-1] {
				sum += x / float64(len(v)-1)
			}
			return sum
		}
		if off := math.Abs(mean(half.loss[0]) - mean(full.loss[0])); !(off < 0.01) {
			t.Errorf("%s: mean loss moves by %g nats, at most 0.01", dev.Kind, off)
		}
		if half.state["state"].DType() != dtypes.Float32 {
			t.Errorf("%s: the state is %s", dev.Kind, half.state["state"].DType())
		}
	}
}
