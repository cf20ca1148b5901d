package verify

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// kind is an operator whose cases are files of inputs by name, cotangents grad_y and grad_state, outputs y and state, and
// gradients grad.INPUT of Σ y·grad_y + Σ state·grad_state.
type kind struct {
	name    string
	holds   func(file map[string]*checkpoint.Tensor) bool
	leaves  []string // inputs, of which a case has some
	initial string   // the leaf that is the initial state
	// chunk is the parallel form in chunks of q tokens. With segments, state is that after the tokens ends (int32 [n]), [n, …].
	chunk func(c opCase, in map[string]*graph.Node, segments, ends *graph.Node, q int) (y, state *graph.Node)
	step  func(c opCase, in map[string]*graph.Node) (y, state *graph.Node) // token by token, without segments
	naive func(c opCase, segments []int, ends []int) (y, state []float64)  // the definition on the host
}

// kinds are the operators beside that of Mamba-2.
var kinds = []kind{deltaKind, gatedKind, retentionKind}

// opCase is one file.
type opCase struct {
	kind
	file      map[string]*checkpoint.Tensor
	values    map[string][]float64 // of leaves and cotangents
	present   []string             // leaves of this case
	documents []int                // starts and end, or nil
	normalise bool                 // q and k are normalised inside, as the manifest or the name says
}

// kindOf finds the operator of a file, nil if it is not a case of one.
func kindOf(file map[string]*checkpoint.Tensor) *kind {
	for i := range kinds {
		if file["y"] != nil && kinds[i].holds(file) {
			return &kinds[i]
		}
	}
	return nil
}

func newCase(k kind, stem string, file map[string]*checkpoint.Tensor, record caseRecord) (opCase, error) {
	c := opCase{kind: k, file: file, values: map[string][]float64{}}
	c.normalise = record.Normalise || strings.Contains(stem, "l2norm") || strings.HasSuffix(stem, "-raw")
	if cu := file["cu_seqlens"]; cu != nil {
		var err error
		if c.documents, err = whole(cu); err != nil {
			return c, err
		}
		tokens := file["y"].Shape[1]
		if n := len(c.documents); n < 2 || file["y"].Shape[0] != 1 || c.documents[0] != 0 || c.documents[n-1] != tokens || !slices.IsSorted(c.documents) {
			return c, fmt.Errorf("cu_seqlens %v must ascend from 0 to the %d tokens of one sequence", c.documents, tokens)
		}
	}
	for _, name := range append(slices.Clone(k.leaves), "grad_y", "grad_state") {
		if file[name] == nil {
			continue
		}
		v, err := file[name].Float64s()
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		if c.values[name] = v; slices.Contains(k.leaves, name) {
			c.present = append(c.present, name)
		}
	}
	return c, nil
}

// opCase verifies one file.
func (v *verifier) opCase(dir, name string, k kind, file map[string]*checkpoint.Tensor, ev evidence) {
	stem := strings.TrimSuffix(name, filepath.Ext(name))
	record := ev.Cases[stem]
	c, err := newCase(k, stem, file, record)
	if err != nil {
		v.result(dir, name, "", err)
		return
	}
	ways := []way{
		{"float32, chunks of 16", "chunk", func() (map[string]value, error) { return c.graph(v.device, dtypes.Float32, 16) }},
		{"float32, chunks of 64", "chunk", func() (map[string]value, error) { return c.graph(v.device, dtypes.Float32, 64) }},
		{"float64, chunks of 64", "exact", func() (map[string]value, error) { return c.graph(v.device, dtypes.Float64, 64) }},
		{"float64, definition", "exact", c.host},
	}
	if c.documents == nil {
		ways = append(ways, way{"float32, token by token", "step", func() (map[string]value, error) { return c.graph(v.device, dtypes.Float32, 0) }})
	}
	results := parallel(ways, func(w way) outcome { values, err := w.compute(); return outcome{values, err} })
	for i, w := range ways {
		if err := results[i].err; err != nil {
			v.result(dir, stem, w.how, err)
			continue
		}
		for _, output := range append([]string{"y", "state"}, gradientNames(c.present)...) {
			got, computed := results[i].values[output]
			if reference := file[output]; computed && reference != nil {
				v.result(dir, stem+" "+output, w.how, c.compare(got, reference, record.tolerance(output), w.route))
			}
		}
	}
}

// compare holds float32 to the manifest's tolerance, or to what chunks and steps lose without one, and float64 to the file's.
func (c opCase) compare(got value, reference *checkpoint.Tensor, t tolerance, route string) error {
	want, err := reference.Float64s()
	if err != nil {
		return err
	}
	allowed := t.Suggested
	if route == "step" && t.Sequential > 0 {
		allowed = t.Sequential
	}
	if allowed == 0 {
		allowed = 1e-4 * largestOf(want)
	}
	if route == "exact" {
		allowed = strict(reference, want)
	}
	return compare(got.flat, got.shape, want, reference.Shape, allowed)
}

// spans numbers the documents by token and lists their last tokens.
func (c opCase) spans() (segments, ends []int) {
	for d := range len(c.documents) - 1 {
		for range c.documents[d+1] - c.documents[d] {
			segments = append(segments, d)
		}
		ends = append(ends, c.documents[d+1]-1)
	}
	return segments, ends
}

// graph runs the parallel form with all gradients, or token by token where q is 0.
func (c opCase) graph(d *xla.Device, dtype dtypes.DType, q int) (map[string]value, error) {
	var args []any
	names := append(slices.Clone(c.present), "grad_y", "grad_state")
	for _, n := range names {
		if c.values[n] == nil {
			return nil, fmt.Errorf("tensor %s is missing", n)
		}
		t, err := lm.FromFloat64s(c.values[n], dtype, c.file[n].Shape...)
		if err != nil {
			return nil, err
		}
		args = append(args, t)
	}
	segments, ends := c.spans()
	if segments != nil {
		args = append(args, tensors.FromFlatDataAndDimensions(int32s(segments), 1, len(segments)), tensors.FromFlatDataAndDimensions(int32s(ends), len(ends)))
	}
	outputs := []string{"y", "state"}
	if q > 0 {
		outputs = append(outputs, gradientNames(c.present)...)
	}
	return execute(d, outputs, args, func(nodes []*graph.Node) []*graph.Node {
		in := map[string]*graph.Node{}
		for i, n := range names {
			in[n] = nodes[i]
		}
		if q == 0 {
			y, state := c.step(c, in)
			return []*graph.Node{y, state}
		}
		var segs, at *graph.Node
		if segments != nil {
			segs, at = nodes[len(names)], nodes[len(names)+1]
		}
		y, state := c.chunk(c, in, segs, at, q)
		objective := graph.Add(graph.ReduceAllSum(graph.Mul(y, in["grad_y"])), graph.ReduceAllSum(graph.Mul(state, in["grad_state"])))
		return append([]*graph.Node{y, state}, graph.Gradient(objective, nodes[:len(c.present)]...)...)
	})
}

func (c opCase) host() (map[string]value, error) {
	segments, ends := c.spans()
	y, state := c.naive(c, segments, ends)
	return map[string]value{"y": {y, c.file["y"].Shape}, "state": {state, c.file["state"].Shape}}, nil
}

func int32s(in []int) (out []int32) {
	for _, v := range in {
		out = append(out, int32(v))
	}
	return out
}

// tolerance is that of an output: y, state or grad.INPUT, which manifests keep either side by side or below grad.
func (r caseRecord) tolerance(output string) (t tolerance) {
	if json.Unmarshal(r.Evidence[output], &t) == nil {
		return t
	}
	if input, ok := strings.CutPrefix(output, "grad."); ok {
		var below map[string]tolerance
		if json.Unmarshal(r.Evidence["grad"], &below) == nil {
			return below[input]
		}
	}
	return tolerance{}
}
