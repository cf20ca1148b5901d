package mamba2_test

import (
	"fmt"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// precisions are those of the reference tests: float64 to the rounding of the stored values, float32 to its own.
var precisions = []struct {
	dtype         dtypes.DType
	values, grads float64
}{{dtypes.Float64, 1.3e-7, 2e-7}, {dtypes.Float32, 1e-5, 3e-5}}

// eachReference checks both models on the Go backend in both precisions and one of them, if any, through XLA.
func eachReference(t *testing.T, compiled string, check func(label string, r reference, p int, run func(m mamba2.Model, fn func(params map[string]*Node, in []*Node) []*Node, args ...any) [][]float64)) {
	for _, r := range references(t) {
		for _, dev := range devices(t) {
			for p, precision := range precisions {
				if dev.Kind != "go" && (precision.dtype == dtypes.Float64 || r.name != compiled) {
					continue
				}
				_, w := r.load(t, precision.dtype)
				label := fmt.Sprintf("%s %s %s: ", r.name, dev.Kind, precision.dtype)
				check(label, r, p, func(m mamba2.Model, fn func(params map[string]*Node, in []*Node) []*Node, args ...any) [][]float64 {
					return evaluate(t, dev, w, fn, args...)
				})
			}
		}
	}
}

// TestReferenceForwardAndGradients: logits, both states, the loss and its gradient by every parameter.
func TestReferenceForwardAndGradients(t *testing.T) {
	eachReference(t, "groups", func(label string, r reference, p int, run func(mamba2.Model, func(map[string]*Node, []*Node) []*Node, ...any) [][]float64) {
		m, w := r.load(t, precisions[p].dtype)
		ids, shape := r.ids(t, "input_ids")
		got := run(m, func(params map[string]*Node, in []*Node) []*Node {
			c := lm.Call{Params: params, Tokens: in[0]}
			out := m.Forward(c)
			loss := meanLoss(m, c)
			return append([]*Node{m.Logits(c, out.Hidden), out.State["state"], out.State["conv_state"], loss}, Gradient(loss, inOrder(w, params)...)...)
		}, tensors.FromFlatDataAndDimensions(ids, shape...))
		for i, name := range []string{"logits", "state.final", "conv_state.final", "loss.mean"} {
			want, _ := r.values(t, name)
			near(t, label+name, got[i], want, precisions[p].values)
		}
		if want, _ := r.values(t, "logits"); r.truth.Tensors["logits"].DType == "F64" && precisions[p].dtype == dtypes.Float64 {
			near(t, label+"logits in full", got[0], want, 1e-11)
		}
		compared := 0
		for i, s := range w.Specs {
			names, size := []string{s.Name}, len(got[4+i])
			if s.Layered {
				names, size = nil, size/s.Dims[0]
				for l := range s.Dims[0] {
					names = append(names, mamba2.LayerName(l, s.Name))
				}
			}
			for l, name := range names {
				if r.grads.Tensors[name] == nil {
					continue
				}
				want, err := r.grads.Tensors[name].Float64s()
				if err != nil {
					t.Fatal(err)
				}
				near(t, label+"gradient of "+name, got[4+i][l*size:][:size], want, precisions[p].grads)
				compared++
			}
		}
		if compared != len(r.grads.Tensors) {
			t.Errorf("%s%d gradients compared, the reference has %d", label, compared, len(r.grads.Tensors))
		}
	})
}

// TestReferenceCarriedState runs from an arbitrary state and takes the gradient by it, through the final state too.
func TestReferenceCarriedState(t *testing.T) {
	eachReference(t, "", func(label string, r reference, p int, run func(mamba2.Model, func(map[string]*Node, []*Node) []*Node, ...any) [][]float64) {
		m, _ := r.load(t, precisions[p].dtype)
		ids, shape := r.ids(t, "carry.input_ids")
		args := []any{tensors.FromFlatDataAndDimensions(ids, shape...)}
		for _, name := range []string{"carry.state0", "carry.conv_state0", "carry.grad_out_state"} {
			v, dims := r.values(t, name)
			args = append(args, typed(precisions[p].dtype, v, dims...))
		}
		got := run(m, func(params map[string]*Node, in []*Node) []*Node {
			c := lm.Call{Params: params, Tokens: in[0], State: byName(m, in[1:3])}
			out := m.Forward(c)
			objective := Add(meanLoss(m, c), MulScalar(ReduceAllSum(Mul(out.State["state"], in[3])), 1e-3))
			return append([]*Node{m.Logits(c, out.Hidden), out.State["state"], out.State["conv_state"], objective}, Gradient(objective, in[1], in[2])...)
		}, args...)
		for i, name := range []string{"carry.logits", "carry.state", "carry.conv_state", "carry.objective", "carry.grad_state0", "carry.grad_conv_state0"} {
			want, _ := r.values(t, name)
			tolerance := precisions[p].values
			if i > 3 {
				tolerance = precisions[p].grads
			}
			near(t, label+name, got[i], want, tolerance)
		}
	})
}

// TestReferencePackedDocuments: several documents in one row; state and convolution restart at each.
func TestReferencePackedDocuments(t *testing.T) {
	eachReference(t, "tiny", func(label string, r reference, p int, run func(mamba2.Model, func(map[string]*Node, []*Node) []*Node, ...any) [][]float64) {
		m, _ := r.load(t, precisions[p].dtype)
		ids, shape := r.ids(t, "packed.input_ids")
		bounds, _ := r.ids(t, "packed.cu_seqlens")
		segments := make([]int32, len(ids))
		var ends []int32
		for _, b := range bounds[1:] {
			ends = append(ends, b-1)
			for i := b; int(i) < len(ids); i++ {
				segments[i]++
			}
		}
		got := run(m, func(params map[string]*Node, in []*Node) []*Node {
			c := lm.Call{Params: params, Tokens: in[0], Segments: in[1], Ends: in[2], Probes: []string{"states", "states/conv_state"}, Options: lm.Options{Infer: true}}
			out := m.Forward(c)
			perDocument := func(x *Node) *Node { return Squeeze(x, 2) } // [layers, documents, 1, …]
			return []*Node{m.Logits(c, out.Hidden), perDocument(out.Probes["states"]), perDocument(out.Probes["states/conv_state"])}
		}, tensors.FromFlatDataAndDimensions(ids, shape...), tensors.FromFlatDataAndDimensions(segments, shape...), tensors.FromFlatDataAndDimensions(ends, len(ends)))
		for i, name := range []string{"packed.logits", "packed.state", "packed.conv_state"} {
			want, _ := r.values(t, name)
			near(t, label+name, got[i], want, precisions[p].values)
		}
	})
}

// TestReferenceNormPerGroup: the gated norm of the official code, which the model with two groups tells apart.
func TestReferenceNormPerGroup(t *testing.T) {
	eachReference(t, "", func(label string, r reference, p int, run func(mamba2.Model, func(map[string]*Node, []*Node) []*Node, ...any) [][]float64) {
		if r.name != "groups" {
			return
		}
		m, _ := r.load(t, precisions[p].dtype)
		m.NormPer = true
		ids, shape := r.ids(t, "input_ids")
		got := run(m, func(params map[string]*Node, in []*Node) []*Node {
			c := lm.Call{Params: params, Tokens: in[0], Options: lm.Options{Infer: true}}
			out := m.Forward(c)
			return []*Node{m.Logits(c, out.Hidden), out.State["state"]}
		}, tensors.FromFlatDataAndDimensions(ids, shape...))
		for i, name := range []string{"group_norm.logits", "group_norm.state.final"} {
			want, _ := r.values(t, name)
			near(t, label+name, got[i], want, precisions[p].values)
		}
	})
}
