package models

import (
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// ForwardOptions say how Forward runs.
type ForwardOptions struct {
	Cuts      []int    // ascending positions within 0 … tokens where the sequence is cut and the state carried over
	Gradients bool     // of the mean loss, by parameter
	Probes    []string // quantities to return for every token, see lm.Model.Probes; lm.States after the last token and before every cut
	Progress  func(done, total int)
}

// forwardInput is the content of an input file.
type forwardInput struct {
	rows      [][]int32
	state     lm.State
	documents []int
}

// ForwardFile is Forward from one safetensors file to another, which appears complete or not at all.
func ForwardFile(ctx context.Context, r *lm.Runner, input, output string, o ForwardOptions) error {
	folder := filepath.Dir(output)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return fmt.Errorf("output %s: %s is not a folder; create it first", output, folder)
	}
	file, err := checkpoint.ReadSafetensors(input)
	if err != nil {
		return fmt.Errorf("input: %w", err)
	}
	out, err := Forward(ctx, r, file.Tensors, o)
	if err != nil {
		return fmt.Errorf("%s: %w", input, err)
	}
	return checkpoint.WriteSafetensors(output, out, nil)
}

// Forward runs input_ids I64 [batch, tokens] through a model, from NAME0 for each tensor NAME of its state where that is given
// (Mamba-2: state0 [layers, batch, heads, headDim, state] and a window of inputs). With cu_seqlens I64 [documents + 1] the one
// sequence holds documents end to end, each starting from zeros, the first from the given state. It returns logits, NAME.final
// for each tensor of the state (after each document in place of the batch, where the model shows it: caches and positions are left
// out), loss.per_token [batch, tokens − 1]: −log p of the
// next token, across documents too; and grad.NAME for every parameter by its name in checkpoints. Probes are probe.NAME
// [layers, batch, tokens, …]; lm.States is [layers, cuts + 1, batch, …].
func Forward(ctx context.Context, r *lm.Runner, in map[string]*checkpoint.Tensor, o ForwardOptions) (map[string]*checkpoint.Tensor, error) {
	m := r.Weights.Model
	input, err := readForward(m, r.Weights.Values[0].DType(), in)
	if err != nil {
		return nil, err
	}
	tokens, before := len(input.rows[0]), 0
	for _, cut := range o.Cuts {
		if cut < before || cut > tokens {
			return nil, fmt.Errorf("split at %d: must be within %d … %d, in ascending order; the sequence has %d tokens", cut, before, tokens, tokens)
		}
		before = cut
	}
	if o.Gradients && tokens == 1 {
		return nil, fmt.Errorf("gradients need the loss of a next token: input_ids has 1 token, must have at least 2")
	}
	if o.Gradients || input.documents != nil {
		if len(o.Probes) > 0 {
			return nil, fmt.Errorf("probes %s: leave out gradients and cu_seqlens, they come from another graph", strings.Join(o.Probes, ", "))
		}
		return forwardPass(r, m, input, o)
	}
	return forwardPieces(ctx, r, m, input, o)
}

func readForward(m lm.Model, dtype dtypes.DType, in map[string]*checkpoint.Tensor) (f forwardInput, err error) {
	known := []string{"input_ids", "cu_seqlens"}
	for _, s := range m.State(1) {
		known = append(known, s.Name+"0")
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !slices.Contains(known, name) {
			return f, fmt.Errorf("tensor %q is not an input; known are %s", name, strings.Join(known, ", "))
		}
	}
	ids := in["input_ids"]
	if ids == nil {
		return f, fmt.Errorf("tensor input_ids is missing")
	}
	if ids.DType != "I64" || len(ids.Shape) != 2 || ids.Shape[0] < 1 || ids.Shape[1] < 1 {
		return f, fmt.Errorf("input_ids is %s %v, must be I64 [batch, tokens] with at least 1 of each", ids.DType, ids.Shape)
	}
	flat, err := ids.Int64s()
	if err != nil {
		return f, fmt.Errorf("input_ids: %w", err)
	}
	f.rows = make([][]int32, ids.Shape[0])
	vocab := int64(m.Vocab())
	for i, id := range flat {
		if id < 0 || id >= vocab {
			return f, fmt.Errorf("input_ids at sequence %d, position %d is %d, outside the vocabulary 0 … %d", i/ids.Shape[1], i%ids.Shape[1], id, vocab-1)
		}
		f.rows[i/ids.Shape[1]] = append(f.rows[i/ids.Shape[1]], int32(id))
	}
	if cu := in["cu_seqlens"]; cu != nil {
		if f.documents, err = readDocuments(cu, ids.Shape); err != nil {
			return f, err
		}
	}
	values := map[string][]float64{}
	for _, s := range m.State(len(f.rows)) {
		name := s.Name + "0"
		v := make([]float64, s.Size())
		if t := in[name]; t != nil {
			if !slices.Contains([]string{"F64", "F32", "F16", "BF16"}, t.DType) || !slices.Equal(t.Shape, s.Dims) {
				return f, fmt.Errorf("%s is %s %v, must be F32 (or another float) %v", name, t.DType, t.Shape, s.Dims)
			}
			if v, err = t.Float64s(); err != nil {
				return f, fmt.Errorf("%s: %w", name, err)
			}
			if at := slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }); at >= 0 {
				return f, fmt.Errorf("%s: entry %d is %g, must be finite", name, at, v[at])
			}
		}
		values[s.Name] = v
	}
	f.state, err = lm.StateFrom(m, len(f.rows), dtype, values)
	return f, err
}

func readDocuments(cu *checkpoint.Tensor, ids []int) ([]int, error) {
	if cu.DType != "I64" || len(cu.Shape) != 1 || cu.Shape[0] < 2 {
		return nil, fmt.Errorf("cu_seqlens is %s %v, must be I64 [documents + 1]", cu.DType, cu.Shape)
	}
	if ids[0] != 1 {
		return nil, fmt.Errorf("cu_seqlens: documents are packed in one sequence, input_ids has %d", ids[0])
	}
	v, err := cu.Int64s()
	if err != nil {
		return nil, fmt.Errorf("cu_seqlens: %w", err)
	}
	documents := make([]int, len(v))
	before := int64(0)
	for i, at := range v {
		if at < before || at > int64(ids[1]) || i == 0 && at != 0 || i == len(v)-1 && at != int64(ids[1]) {
			return nil, fmt.Errorf("cu_seqlens[%d] is %d: must ascend from 0 to the %d tokens", i, at, ids[1])
		}
		documents[i], before = int(at), at
	}
	return documents, nil
}

// forwardPieces runs any number of tokens piece by piece.
func forwardPieces(ctx context.Context, r *lm.Runner, m lm.Model, in forwardInput, o ForwardOptions) (map[string]*checkpoint.Tensor, error) {
	batch, tokens, vocab := len(in.rows), len(in.rows[0]), m.Vocab()
	logits, loss := make([]float32, batch*tokens*vocab), make([]float32, batch*(tokens-1))
	watched, err := newWatched(m, batch, tokens, o)
	if err != nil {
		return nil, err
	}
	state, err := r.Run(ctx, in.rows, in.state, lm.Request{Logits: true, Loss: true, Probes: watched.names, Cuts: o.Cuts, Progress: o.Progress}, func(p lm.Piece) error {
		for b := range batch {
			copy(logits[(b*tokens+p.Start)*vocab:], p.Logits[b*p.Tokens*vocab:][:p.Tokens*vocab])
			n := min(p.Tokens, tokens-1-p.Start)
			copy(loss[b*(tokens-1)+p.Start:][:n], p.Loss[b*p.Tokens:])
		}
		return watched.take(p)
	})
	if err != nil {
		return nil, err
	}
	out := map[string]*checkpoint.Tensor{}
	put := func(name string, values []float32, shape ...int) {
		if err == nil {
			out[name], err = checkpoint.FromFloat32(shape, values)
		}
	}
	put("logits", logits, batch, tokens, vocab)
	put("loss.per_token", loss, batch, tokens-1)
	for name, t := range state {
		if err == nil {
			out[name+".final"], err = checkpoint.FromDevice(t)
		}
	}
	if err == nil {
		err = watched.put(out)
	}
	return out, err
}

// forwardPass runs the tokens in one graph, for documents and gradients.
func forwardPass(r *lm.Runner, m lm.Model, in forwardInput, o ForwardOptions) (map[string]*checkpoint.Tensor, error) {
	pass := lm.PassInput{Rows: in.rows, State: in.state, Documents: in.documents, Cuts: o.Cuts, Gradient: o.Gradients}
	for d := range max(len(in.documents), 1) - 1 {
		if in.documents[d+1] > in.documents[d] {
			pass.Ends = append(pass.Ends, in.documents[d+1]-1)
		}
	}
	if in.documents != nil {
		for _, s := range m.State(1) {
			if probe := lm.Of(lm.States, m, s.Name); lm.HasProbe(m, probe) {
				pass.Probes = append(pass.Probes, probe)
			}
		}
	}
	p := lm.NewPass(r.Device, r.Weights)
	if !o.Gradients {
		p.Options.Infer = true
	}
	result, err := p.Run(pass)
	if err != nil {
		return nil, err
	}
	out := map[string]*checkpoint.Tensor{}
	put := func(name string, t *tensors.Tensor) {
		if err == nil && t != nil {
			out[name], err = checkpoint.FromDevice(t)
		}
	}
	narrow := func(name string, t *tensors.Tensor) { // F32 whatever the model is computed in
		if err == nil && t != nil {
			var v []float32
			if v, err = lm.Floats(t); err == nil {
				out[name], err = checkpoint.FromFloat32(t.Shape().Dimensions, v)
			}
		}
	}
	narrow("logits", result.Logits)
	narrow("loss.per_token", result.Loss)
	for _, s := range m.State(1) {
		if in.documents == nil {
			put(s.Name+".final", result.State[s.Name])
		} else if ends := result.Probes[lm.Of(lm.States, m, s.Name)]; ends != nil && err == nil {
			out[s.Name+".final"], err = perDocument(ends, in.state[s.Name], in.documents)
		}
	}
	if result.Loss == nil && err == nil {
		out["loss.per_token"], err = checkpoint.FromFloat32([]int{len(in.rows), 0}, nil)
	}
	if o.Gradients && err == nil {
		stacked := map[string][]float32{}
		for _, s := range r.Weights.Specs {
			if stacked[s.Name], err = lm.Floats(result.Gradient[s.Name]); err != nil {
				return nil, err
			}
		}
		gradients, err := Split(m, stacked)
		if err != nil {
			return nil, err
		}
		for name, g := range gradients {
			out["grad."+name] = g
		}
	}
	return out, err
}

// perDocument spreads states [layers, documents with tokens, 1, …] over all documents. An empty one ends as it began.
func perDocument(ends, initial *tensors.Tensor, documents []int) (*checkpoint.Tensor, error) {
	states, err := lm.Floats(ends)
	if err != nil {
		return nil, err
	}
	first, err := lm.Floats(initial)
	if err != nil {
		return nil, err
	}
	dims := ends.Shape().Dimensions
	layers, found, n := dims[0], dims[1], len(documents)-1
	size := len(states) / layers / found
	out := make([]float32, layers*n*size)
	for l := range layers {
		if documents[1] == 0 {
			copy(out[l*n*size:][:size], first[l*size:])
		}
		next := 0
		for d := range n {
			if documents[d+1] > documents[d] {
				copy(out[(l*n+d)*size:][:size], states[(l*found+next)*size:])
				next++
			}
		}
	}
	return checkpoint.FromFloat32(append([]int{layers, n}, dims[3:]...), out)
}
