package delta_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestReferenceCases recomputes outputs, states and all gradients of cases made with float64 autograd (testdata): keys
// normalised inside, β up to 2, raw gates, packed documents with a carried state, decays of e⁻⁵⁰ a token.
func TestReferenceCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d cases in testdata, want 6 or more (%v)", len(files), err)
	}
	for _, path := range files {
		file, err := checkpoint.ReadSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		checkCase(t, optest.Devices(t)[0].Kind+" "+filepath.Base(path)+": ", file)
	}
}

// leaves are the inputs of the reference cases, in the order of arguments.
var leaves = []string{"q", "k", "v", "g", "beta", "a", "A_log", "dt_bias", "b", "h0"}

func checkCase(t *testing.T, label string, file *checkpoint.File) {
	values := func(name string) []float64 {
		v, err := file.Tensors[name].Float64s()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var names []string
	var args []any
	add := func(name string) {
		args = append(args, tensors.FromFlatDataAndDimensions(values(name), file.Tensors[name].Shape...))
	}
	for _, name := range leaves {
		if file.Tensors[name] != nil {
			names = append(names, name)
			add(name)
		}
	}
	add("grad_y")
	add("grad_state")
	tokens, n := file.Tensors["q"].Shape[1], len(names)
	bounds := []int64{0, int64(tokens)}
	if packed := file.Tensors["cu_seqlens"]; packed != nil {
		var err error
		if bounds, err = packed.Int64s(); err != nil {
			t.Fatal(err)
		}
		ids := make([]int32, tokens)
		for i := range ids {
			for _, b := range bounds[1:] {
				if int64(i) >= b {
					ids[i]++
				}
			}
		}
		args = append(args, tensors.FromFlatDataAndDimensions(ids, 1, tokens))
	}
	got := optest.Run(t, optest.Devices(t)[0], func(in []*Node) []*Node {
		by := map[string]*Node{}
		for i, name := range names {
			by[name] = in[i]
		}
		op := fromLeaves(by, strings.Contains(label, "l2norm"))
		var y, state *Node
		if len(bounds) == 2 {
			r := delta.Chunk(op, 16)
			y, state = r.Y, r.State
		} else {
			op.Segments = in[n+2]
			y = delta.Chunk(op, 16).Y
			var states []*Node
			for _, end := range bounds[1:] {
				states = append(states, delta.Chunk(piece(op, 0, int(end)), 16).State)
			}
			state = Concatenate(states, 0)
		}
		objective := Add(ReduceAllSum(Mul(y, in[n])), ReduceAllSum(Mul(state, in[n+1])))
		return append([]*Node{y, state}, Gradient(objective, in[:n]...)...)
	}, args...)
	const stored = 2e-7 // the file's float32
	optest.Near(t, label+"y", got[0], values("y"), stored)
	optest.Near(t, label+"state", got[1], values("state"), stored)
	for i, name := range names {
		optest.Near(t, label+"d/d"+name, got[2+i], values("grad."+name), stored)
	}
}

// fromLeaves are the operands of a case, with the factor key^−1/2 in q.
func fromLeaves(by map[string]*Node, normalise bool) delta.Operands {
	q, k, log, beta := by["q"], by["k"], by["g"], by["beta"]
	if by["a"] != nil { // raw gates
		normalise = true
		heads := by["A_log"].Shape().Dim(0)
		rate, bias := Reshape(Exp(by["A_log"]), 1, 1, heads), InsertAxes(by["dt_bias"], 0, 0)
		if by["a"].Rank() == 4 {
			rate = InsertAxes(rate, -1)
		}
		log = Neg(Mul(rate, Softplus(Add(by["a"], bias))))
		beta = Sigmoid(by["b"])
	}
	if normalise {
		norm := func(x *Node) *Node { return Div(x, Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceSum, -1), 1e-6))) }
		q, k = norm(q), norm(k)
	}
	op := delta.Rule(DivScalar(q, math.Sqrt(float64(q.Shape().Dim(3)))), k, by["v"], log, beta)
	op.Initial = by["h0"]
	return op
}
