package mamba2_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

// Tokens one by one through Model.Step are those through Forward: logits and states.
func TestUnrolledStepEqualsForward(t *testing.T) {
	other := mamba2.Default(16, 3, 40)
	other.HeadDim, other.State, other.Groups, other.Tied, other.NormPer, other.ConvBias, other.UseBias = 8, 6, 2, false, false, false, true
	one, _ := small(t)
	two, err := mamba2.New(other)
	if err != nil {
		t.Fatal(err)
	}
	limited, err := one.WithNormLimit(1)
	if err != nil {
		t.Fatal(err)
	}
	windowed, err := one.WithWindow(3)
	if err != nil {
		t.Fatal(err)
	}
	const n, batch = 6, 2
	for i, m := range []mamba2.Model{one, two, limited, windowed} {
		for _, d := range devices(t) {
			w, err := lm.InitialWeights(m, 4)
			if err != nil {
				t.Fatal(err)
			}
			args := []any{tensors.FromFlatDataAndDimensions(tokens(n*batch, m.Vocab()), n, batch)}
			for q, s := range m.State(batch) {
				v := make([]float32, s.Size())
				for j := range v {
					if q < 2 { // those of the variants start at nothing
						v[j] = float32(math.Sin(float64(j)))
					}
				}
				args = append(args, tensors.FromFlatDataAndDimensions(v, s.Dims...))
			}
			run := func(own bool) [][]float64 {
				return evaluate(t, d, w, func(params map[string]*Node, in []*Node) []*Node {
					call := func(params map[string]*Node, ids *Node) lm.Call {
						return lm.Call{Params: params, Tokens: InsertAxes(ids, 1), Options: lm.Options{Infer: true}}
					}
					var consts []*Node
					for _, s := range w.Specs {
						consts = append(consts, params[s.Name])
					}
					var step *lm.Step
					if own {
						if step = m.Step(call(params, Squeeze(SliceAxis(in[0], 0, AxisElem(0)), 0))); step == nil {
							t.Fatal("no step")
						}
						consts = step.Consts
					}
					last, logits := xla.Scan{N: n, Infer: true}.Run(in[1:], []*Node{in[0]}, consts, func(_ *xla.Iter, state, ids, consts []*Node) (next, ys []*Node) {
						if own {
							y, next := step.Run(consts, ids[0], byName(m, state))
							return stateList(m, next), []*Node{y}
						}
						params, _ := nodesOf(w, consts)
						c := call(params, ids[0])
						c.State = byName(m, state)
						out := m.Forward(c)
						return stateList(m, out.State), []*Node{Squeeze(m.Logits(c, out.Hidden), 1)}
					})
					return append(last, logits...)
				}, args...)
			}
			got, want := run(true), run(false)
			for q := range want {
				worst, most := 0.0, 0.0
				for j := range want[q] {
					worst, most = max(worst, math.Abs(got[q][j]-want[q][j])), max(most, math.Abs(want[q][j]))
				}
				if !(worst <= 1e-5*most) || (q == len(want)-1 && most == 0) {
					t.Errorf("model %d on %s: output %d differs by %g of %g", i, d.Kind, q, worst, most)
				}
			}
		}
	}
}

// A step is for the plain case only.
func TestNoStepWhereThingsAreChangedOrWatched(t *testing.T) {
	m, w := small(t)
	decimated, err := m.WithDecimation()
	if err != nil {
		t.Fatal(err)
	}
	evaluate(t, devices(t)[0], w, func(params map[string]*Node, in []*Node) []*Node {
		call := lm.Call{Params: params, Tokens: in[0], Options: lm.Options{Infer: true}}
		if m.Step(call) == nil {
			t.Error("no step for one token")
		}
		watched, changed, trained, long := call, call, call, call
		watched.Probes = []string{"delta"}
		changed.Controls = map[string]*Node{"delta_scale": in[0]}
		trained.Infer = false
		long.Tokens = Concatenate([]*Node{in[0], in[0]}, -1)
		for i, c := range []lm.Call{watched, changed, trained, long} {
			if m.Step(c) != nil {
				t.Errorf("a step for call %d", i)
			}
		}
		if decimated.Step(call) != nil {
			t.Error("a step for a decimated model")
		}
		return []*Node{ConvertDType(in[0], dtypes.Float32)}
	}, tensors.FromFlatDataAndDimensions([]int32{1}, 1, 1))
}
