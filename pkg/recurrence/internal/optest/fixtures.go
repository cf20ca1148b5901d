package optest

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
)

// Fixtures recomputes reference cases, outputs and gradients in float64, as fn does: leaves by name and segments (nil
// for one document) to y and the last state. byToken names the leaves with a token axis, so that the state after
// each packed document is that of the sequence cut off there. There must be at least n files.
func Fixtures(t *testing.T, glob string, n int, byToken []string, fn func(leaves map[string]*Node, segments *Node) (y, state *Node)) {
	files, err := filepath.Glob(glob)
	if err != nil || len(files) < n {
		t.Fatalf("%s: %d cases, want at least %d (%v)", glob, len(files), n, err)
	}
	for _, path := range files {
		fixture(t, path, byToken, fn)
	}
}

func fixture(t *testing.T, path string, byToken []string, fn func(leaves map[string]*Node, segments *Node) (y, state *Node)) {
	file, err := checkpoint.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	values := func(name string) []float64 {
		v, err := file.Tensors[name].Float64s()
		if err != nil {
			t.Fatal(path, name, err)
		}
		return v
	}
	var names []string
	var args []any
	argument := func(name string) {
		args = append(args, Tensor(dtypes.Float64, values(name), file.Tensors[name].Shape...))
	}
	for name := range file.Tensors {
		if leaf, ok := strings.CutPrefix(name, "grad."); ok {
			names = append(names, leaf)
		}
	}
	slices.Sort(names)
	for _, name := range append(slices.Clone(names), "grad_y", "grad_state") {
		argument(name)
	}
	tokens := file.Tensors["grad_y"].Shape[1]
	bounds := []int64{0, int64(tokens)}
	if packed := file.Tensors["cu_seqlens"]; packed != nil {
		if bounds, err = packed.Int64s(); err != nil {
			t.Fatal(err)
		}
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
	got := Run(t, Devices(t)[0], func(in []*Node) []*Node {
		upTo := func(end int, segments *Node) (y, state *Node) {
			leaves := map[string]*Node{}
			for i, name := range names {
				if leaves[name] = in[i]; slices.Contains(byToken, name) {
					leaves[name] = SliceAxis(in[i], 1, AxisRange(0, end))
				}
			}
			return fn(leaves, segments)
		}
		segments := in[len(in)-1]
		y, state := upTo(tokens, nil)
		if len(bounds) > 2 {
			y, _ = upTo(tokens, segments)
			var states []*Node
			for _, end := range bounds[1:] {
				_, s := upTo(int(end), SliceAxis(segments, 1, AxisRange(0, int(end))))
				states = append(states, s)
			}
			state = Concatenate(states, 0)
		}
		objective := Add(ReduceAllSum(Mul(y, in[len(names)])), ReduceAllSum(Mul(state, in[len(names)+1])))
		return append([]*Node{y, state}, Gradient(objective, in[:len(names)]...)...)
	}, args...)
	const stored = 1.3e-7 // the file's float32
	Near(t, path+": y", got[0], values("y"), stored)
	Near(t, path+": state", got[1], values("state"), stored)
	for i, name := range names {
		Near(t, path+": d/d"+name, got[2+i], values("grad."+name), stored)
	}
}
