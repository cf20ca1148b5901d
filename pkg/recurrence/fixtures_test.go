package recurrence_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/internal/optest"
)

// TestReferenceCases recomputes the operator and all its gradients on cases made with float64 autograd: long memory,
// strong decay, groups, packed documents with and without a carried state, raw dt with limits.
func TestReferenceCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.safetensors")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases in testdata, want 10 (%v)", len(files), err)
	}
	for _, path := range files {
		file, err := checkpoint.ReadSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		c := referenceCase{name: strings.TrimSuffix(filepath.Base(path), ".safetensors"), file: file}
		for _, dev := range optest.Devices(t) {
			for _, f := range forms {
				long := file.Tensors["x"].Shape[1] > 1000
				compiled := f.name == "chunk" && slices.Contains([]string{"long-memory", "raw-dt"}, c.name)
				if dev.Kind != "go" && !compiled || long && f.name == "step" {
					continue // compiling each takes seconds; steps with gradients are unrolled on the Go backend
				}
				c.check(t, dev.Kind+" "+f.name+" "+c.name+": ", f, func(fn func([]*Node) []*Node, args ...any) [][]float64 {
					return optest.Run(t, dev, fn, args...)
				})
			}
		}
	}
}

type referenceCase struct {
	name string
	file *checkpoint.File
}

// values are a tensor's entries, nil when the case has none of that name.
func (c referenceCase) values(t *testing.T, name string) []float64 {
	if c.file.Tensors[name] == nil {
		return nil
	}
	v, err := c.file.Tensors[name].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (c referenceCase) check(t *testing.T, label string, f form, run func(fn func([]*Node) []*Node, args ...any) [][]float64) {
	var names []string
	var args []any
	for _, name := range []string{"x", "dt", "A", "A_log", "dt_bias", "B", "C", "D", "h0"} {
		if v := c.values(t, name); v != nil {
			names, args = append(names, name), append(args, tensors.FromFlatDataAndDimensions(v, c.file.Tensors[name].Shape...))
		}
	}
	n := len(args)
	shape := c.file.Tensors["x"].Shape
	tokens, heads := shape[1], shape[2]
	q := 16
	if tokens > 1000 {
		q = 128 // fewer chunks compile faster
	}
	for _, name := range []string{"grad_y", "grad_state"} {
		args = append(args, tensors.FromFlatDataAndDimensions(c.values(t, name), c.file.Tensors[name].Shape...))
	}
	bounds := []int64{0, int64(tokens)}
	if packed := c.file.Tensors["cu_seqlens"]; packed != nil {
		var err error
		if bounds, err = packed.Int64s(); err != nil {
			t.Fatal(err)
		}
		args = append(args, tensors.FromFlatDataAndDimensions(segmentsOf(bounds), 1, tokens))
	}
	limit := c.values(t, "dt_limit")
	got := run(func(in []*Node) []*Node {
		by := map[string]*Node{}
		for i, name := range names {
			by[name] = in[i]
		}
		op := recurrence.Operands{X: by["x"], Delta: by["dt"], B: by["B"], C: by["C"], Initial: by["h0"]}
		a := by["A"]
		if by["A_log"] != nil {
			a = Neg(Exp(by["A_log"]))
			op.Delta = recurrence.Delta(by["dt"], Reshape(by["dt_bias"], 1, 1, heads), limit[0], limit[1])
		}
		op.LogAlpha = recurrence.LogAlpha(op.Delta, Reshape(a, 1, 1, heads))
		var state *Node
		var y *Node
		if len(bounds) == 2 {
			y, state = f.run(op, q, false)
		} else { // the state after each document: by packing y, and piece by piece for the states
			op.Segments = in[n+2]
			y, _ = f.run(op, q, false)
			state = documentStates(op, f, q, bounds)
		}
		if by["D"] != nil {
			y = recurrence.Skip(y, op.X, Reshape(by["D"], 1, 1, heads, 1))
		}
		objective := Add(ReduceAllSum(Mul(y, in[n])), ReduceAllSum(Mul(state, in[n+1])))
		return append([]*Node{y, state}, Gradient(objective, in[:n]...)...)
	}, args...)
	const stored = 2e-7 // the file's float32
	optest.Near(t, label+"y", got[0], c.values(t, "y"), stored)
	optest.Near(t, label+"state", got[1], c.values(t, "state"), stored)
	for i, name := range names {
		optest.Near(t, label+"d/d"+name, got[2+i], c.values(t, "grad."+name), stored)
	}
}

// documentStates runs up to each document's end, [documents, heads, headDim, state].
func documentStates(op recurrence.Operands, f form, q int, bounds []int64) *Node {
	var states []*Node
	for _, end := range bounds[1:] {
		cut := op
		for _, n := range []**Node{&cut.X, &cut.Delta, &cut.LogAlpha, &cut.B, &cut.C, &cut.Segments} {
			*n = SliceAxis(*n, 1, AxisRange(0, int(end)))
		}
		_, state := f.run(cut, q, false)
		states = append(states, state)
	}
	return Concatenate(states, 0)
}

func segmentsOf(bounds []int64) []int32 {
	ids := make([]int32, bounds[len(bounds)-1])
	for i := range ids {
		for _, b := range bounds[1:] {
			if int64(i) >= b {
				ids[i]++
			}
		}
	}
	return ids
}
