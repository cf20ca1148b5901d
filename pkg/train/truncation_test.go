package train

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// The gradient of the second of two carried segments is that of the untruncated graph without the part that flows
// through the state between them: dL₂/dθ − (dL₂/dh₁)·(dh₁/dθ).
func TestTruncatedGradient(t *testing.T) {
	c := tiny(t, "policy=carried", "train_length=8", "batch_tokens=16", "chain=2", "steps=2", "beta1=0", "clip=0", "lr=1e-30", "weight_decay=0")
	c, data, err := Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Model.New()
	if err != nil {
		t.Fatal(err)
	}
	values := m.Initial(5)
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
		var v []float64
		for i, x := range values[s.Name] { // far from the start, where little depends on anything
			v = append(v, 3*float64(x)+0.1*math.Sin(float64(i)))
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	device := open(t, "go")
	var params []any
	for _, v := range w.Values {
		own, err := v.LocalClone()
		if err != nil {
			t.Fatal(err)
		}
		params = append(params, own)
	}
	trainer, err := New(device, m, w, c, data)
	if err != nil {
		t.Fatal(err)
	}
	losses(t, trainer, 2)

	var rows [2][]int32 // tokens of both segments with the token after them: [2 rows × 17]
	for i := range rows {
		rows[i], _, _ = c.Data.stream(0).Sequence(int64(i), 17)
	}
	cut := func(from int) *tensors.Tensor {
		return tensors.FromFlatDataAndDimensions(append(append([]int32{}, rows[0][from:from+8]...), rows[1][from:from+8]...), 2, 8)
	}
	outs, err := MustNewExec(device.Backend, func(in []*Node) []*Node {
		nodes, in := lm.ByName(w.Specs, in[:len(w.Specs)]), in[len(w.Specs):]
		call := lm.Call{Params: nodes, Tokens: in[0]}
		first := m.Forward(call)
		second := func(state map[string]*Node) *Node {
			call := lm.Call{Params: nodes, Tokens: in[1], State: state}
			return ReduceAllMean(lm.TokenLoss(m.Logits(call, m.Forward(call).Hidden), in[2]))
		}
		var all []*Node
		for _, s := range w.Specs {
			all = append(all, nodes[s.Name])
		}
		whole := Gradient(second(first.State), all...)
		var stopped []*Node
		carried := lm.InOrder(m.State(1), first.State)
		for _, s := range carried {
			stopped = append(stopped, AddScalar(StopGradient(s), 0))
		}
		inflow := Gradient(second(lm.ByName(m.State(1), stopped)), stopped...)
		through := ScalarZero(in[0].Graph(), dtypes.Float64)
		for i, s := range carried {
			through = Add(through, ReduceAllSum(Mul(s, StopGradient(inflow[i]))))
		}
		return append(whole, Gradient(through, all...)...)
	}).Call(append(params, cut(0), cut(8), cut(9))...)
	if err != nil {
		t.Fatal(err)
	}
	n, largestCross := len(w.Specs), 0.0
	for i, s := range w.Specs {
		whole, _ := tensors.CopyFlatData[float64](outs[i])
		cross, _ := tensors.CopyFlatData[float64](outs[n+i])
		got, err := tensors.CopyFlatData[float64](trainer.carry[n+i]) // with beta1 = 0 the first moment is the gradient
		if err != nil {
			t.Fatal(err)
		}
		for k := range got {
			largestCross = max(largestCross, math.Abs(cross[k]))
			if want := whole[k] - cross[k]; !(math.Abs(got[k]-want) < 1e-11) {
				t.Errorf("%s[%d]: gradient %g, want %g − %g", s.Name, k, got[k], whole[k], cross[k])
				break
			}
		}
	}
	if largestCross < 1e-4 {
		t.Errorf("the part through the state is %g: the test would not see truncation", largestCross)
	}
}
