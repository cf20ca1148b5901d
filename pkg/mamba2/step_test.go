package mamba2

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// asGraphs is what the kernels compute, by name, as ordinary operations.
func asGraphs(c Config) func(k xla.Kernel, outs []shapes.Shape, ins ...*Node) xla.Nodes {
	half := func(x *Node) *Node { return ConvertDType(ConvertDType(x, dtypes.BFloat16), dtypes.Float32) }
	wide := func(x *Node) *Node { return ConvertDType(x, dtypes.Float32) }
	inner, channels := c.Inner(), c.Channels()
	cut := func(x *Node, from, to int) *Node { return SliceAxis(x, -1, AxisRange(from, to)) }
	return func(k xla.Kernel, outs []shapes.Shape, ins ...*Node) xla.Nodes {
		var l *Node
		if k.Name != "head_step" {
			l = Reshape(ins[0])
		}
		row := func(i int) *Node { // a layer's part of a stack, without the axis of members
			x := ins[i]
			if x.Shape().Dim(0) == c.Layers {
				x = xla.At(x, l)
			}
			if x.Shape().Dim(0) == 1 && x.Rank() > 1 {
				x = Squeeze(x, 0)
			}
			return x
		}
		rms := func(x, w *Node) *Node { return rmsNorm(x, InsertAxes(w, 0), c.Eps) }
		times := func(x, w *Node) *Node { return Dot(x, wide(w)).General([]int{1}, nil, []int{1}, nil) }
		convolve := func(window, proj, taps, bias *Node, i int) xla.Nodes {
			raw := half(cut(proj, inner, inner+channels))
			moved := Concatenate([]*Node{cut(window, 1, 4), InsertAxes(raw, -1)}, -1)
			y := half(silu(Add(ReduceSum(Mul(moved, InsertAxes(taps, 0)), -1), InsertAxes(bias, 0))))
			return xla.Nodes{xla.Put(ins[i], moved, l), Concatenate([]*Node{cut(proj, 0, inner), y, cut(proj, inner+channels, c.projection())}, -1)}
		}
		stack := func(i int) *Node { return xla.At(ins[i], l) }
		switch k.Name {
		case "proj_step":
			proj := times(rms(ins[1], row(2)), ins[3])
			return convolve(stack(4), proj, row(5), row(6), 4)
		case "conv_step":
			return convolve(stack(1), ins[2], row(3), row(4), 1)
		case "state_step", "states_step":
			h, proj := stack(1), ins[2]
			batch := proj.Shape().Dim(0)
			delta := Softplus(Add(cut(proj, inner+channels, c.projection()), InsertAxes(row(3), 0)))
			alpha := Exp(Neg(Mul(delta, InsertAxes(Exp(row(4)), 0))))
			x := Reshape(cut(proj, inner, 2*inner), batch, c.Heads(), c.HeadDim)
			group := func(from int) *Node {
				v := Reshape(cut(proj, from, from+c.Groups*c.State), batch, c.Groups, 1, c.State)
				return Reshape(BroadcastToDims(v, batch, c.Groups, c.Heads()/c.Groups, c.State), batch, c.Heads(), 1, c.State)
			}
			write := Mul(InsertAxes(Mul(x, InsertAxes(delta, -1)), -1), group(2*inner))
			h = Add(Mul(h, InsertAxes(alpha, -1, -1)), write)
			y := Add(ReduceSum(Mul(h, group(2*inner+c.Groups*c.State)), -1), Mul(x, Reshape(row(5), 1, c.Heads(), 1)))
			h, y = xla.Put(ins[1], h, l), Mul(Reshape(y, batch, inner), silu(half(cut(proj, 0, inner))))
			if k.Name == "state_step" {
				return xla.Nodes{h, y}
			}
			sums := ReduceSum(Square(Reshape(y, batch, -1, manyRows)), -1)
			return xla.Nodes{h, ConvertDType(Mul(y, InsertAxes(row(6), 0)), dtypes.BFloat16), sums}
		case "out_step":
			return xla.Nodes{Add(ins[4], times(rms(ins[1], row(2)), ins[3]))}
		case "norm_step":
			return xla.Nodes{ConvertDType(rms(ins[1], row(2)), dtypes.BFloat16)}
		case "add_step":
			mean := MulScalar(ReduceAndKeep(ins[3], ReduceSum, -1), 1/float64(inner))
			total := Add(ins[1], Mul(ins[2], Rsqrt(AddScalar(mean, c.Eps))))
			return xla.Nodes{total, ConvertDType(rms(total, row(4)), dtypes.BFloat16)}
		case "head_step":
			return xla.Nodes{times(rms(ins[0], row(1)), ins[2])}
		}
		panic(k.Name)
	}
}

func stepConfig() Config {
	c := Default(256, 3, 70)
	c.State, c.Groups, c.NormPer, c.Tied = 16, 2, false, false
	return c
}

func TestStepKernelsAreBoundToSizes(t *testing.T) {
	for _, batch := range []int{1, 9} {
		m := Model{Config: stepConfig()}
		seen := map[string]bool{}
		graphs := asGraphs(m.Config)
		s := &step{block: &block{Model: m, batch: batch, tokens: 1, members: 1, gate: dtypes.Float32, compute: dtypes.BFloat16}}
		s.call = func(k xla.Kernel, outs []shapes.Shape, ins ...*Node) xla.Nodes {
			head, _, _ := strings.Cut(k.Source, "{noinline")
			if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") || strings.Count(head, "!tt.ptr") != len(ins)+len(outs) {
				t.Errorf("%s still has integer arguments, or not %d pointers: %s", k.Name, len(ins)+len(outs), head)
			}
			results := graphs(k, outs, ins...)
			for i, r := range results {
				if !r.Shape().Equal(outs[i]) {
					t.Errorf("%s: result %d is %s, not %s", k.Name, i, r.Shape(), outs[i])
				}
				if j, ok := k.InPlace[i]; ok && !ins[j].Shape().Equal(outs[i]) {
					t.Errorf("%s: result %d of %s lies over an operand of %s", k.Name, i, outs[i], ins[j].Shape())
				}
			}
			seen[k.Name] = true
			return results
		}
		compareSteps(t, "go", m, s)
		if want := map[int]int{1: 4, 9: 4}[batch]; len(seen) != want {
			t.Errorf("batch %d used %d kernels, not %d: %v", batch, len(seen), want, seen)
		}
	}
}

// TestStepEqualsGraph runs where there is an NVIDIA GPU: a loop over tokens through the kernels and through Forward.
func TestStepEqualsGraph(t *testing.T) {
	if _, err := xla.Open("cuda"); err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	official := Default(768, 3, 1000)
	for _, c := range []Config{stepConfig(), official} {
		for _, batch := range []int{1, 3, 9, 64} {
			compareSteps(t, "cuda", Model{Config: c}, &step{block: &block{batch: batch}})
		}
	}
}

// compareSteps feeds eight tokens to s (without a call: to what Model.Step gives) and to Forward.
func compareSteps(t *testing.T, kind string, m Model, s *step) {
	t.Helper()
	dev, err := xla.Open(kind)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 7)
	if err != nil {
		t.Fatal(err)
	}
	const n = 8
	batch := s.batch
	ids := make([]int32, n*batch)
	for i := range ids {
		ids[i] = int32((i*i*7 + 3*i) % m.Vocab())
	}
	args := argsOf(w, tensors.FromFlatDataAndDimensions(ids, n, batch))
	for _, spec := range m.State(batch) {
		v := make([]float32, spec.Size())
		for i := range v {
			v[i] = float32(math.Round(64*math.Sin(float64(i))) / 64) // the window holds bfloat16
		}
		args = append(args, tensors.FromFlatDataAndDimensions(v, spec.Dims...))
	}
	run := func(plain bool) (values [][]float32) {
		e := MustNewExec(dev.Backend, func(in []*Node) []*Node {
			params, rest := nodesOf(w, in)
			tokens, state, consts := rest[0], rest[1:], in[:len(w.Specs)]
			at := func(ids *Node) lm.Call {
				return lm.Call{Params: params, Tokens: InsertAxes(ids, 1), Options: lm.Options{Compute: dtypes.BFloat16, Infer: true, NoKernels: plain}}
			}
			var fast *lm.Step
			if !plain {
				if fast = m.Step(at(Squeeze(SliceAxis(tokens, 0, AxisElem(0)), 0))); s.call != nil {
					fast = &lm.Step{Consts: s.consts(params), Run: s.run}
				}
				if fast == nil {
					t.Fatal("no kernels for this model")
				}
				consts = fast.Consts
			}
			last, logits := xla.Scan{N: n, Infer: true}.Run(state, []*Node{tokens}, consts, func(_ *xla.Iter, state, ids, consts []*Node) (next, ys []*Node) {
				if !plain {
					y, next := fast.Run(consts, ids[0], byName(m, state))
					return stateList(m, next), []*Node{y}
				}
				call := at(ids[0])
				call.Params, _ = nodesOf(w, consts)
				call.State = byName(m, state)
				out := m.Forward(call)
				return stateList(m, out.State), []*Node{Squeeze(m.Logits(call, out.Hidden), 1)}
			})
			return append(last, logits...)
		})
		for _, o := range e.MustCall(args...) {
			values = append(values, tensors.MustCopyFlatData[float32](o))
		}
		return
	}
	compare(t, []string{"state", "conv_state", "logits"}, run(false), run(true))
}
