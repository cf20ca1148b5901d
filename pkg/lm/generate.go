package lm

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// Sampling says how the next token is chosen. The zero value is greedy.
type Sampling struct {
	Temperature float64 // 0: the most likely token
	TopP        float64 // nucleus: the fewest most likely tokens of at least this probability together; 0 or 1: all
	Seed        uint64
	Stop        []int32 // a sequence ends after any of these
	Chunk       int     // tokens made in one graph, 0 for 32
}

// Validate names the field out of range.
func (s Sampling) Validate() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 1):
		return fmt.Errorf("temperature = %g must be finite and at least 0", s.Temperature)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top-p = %g is outside 0 … 1", s.TopP)
	case s.Chunk < 0:
		return fmt.Errorf("chunk = %d must be at least 0", s.Chunk)
	}
	return nil
}

// Generate continues prompts of one length (at least 1 token) by up to n tokens each. The prompt is prefilled piece by
// piece, then tokens are made in chunks inside one graph on the device, with the controls of a Call or nil. emit, if not
// nil, sees the new tokens of every sequence chunk by chunk. It returns the new tokens, up to and with the first
// stop token of each sequence. A sequence depends on the seed and its row, neither on the chunks nor on the other rows.
func (r *Runner) Generate(ctx context.Context, prompts [][]int32, n int, s Sampling, controls map[string]*tensors.Tensor, emit func(rows [][]int32) error) ([][]int32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	length, err := CheckTokens(r.Weights.Model, prompts, nil)
	switch {
	case err != nil:
		return nil, err
	case length == 0:
		return nil, fmt.Errorf("prompt: no token; it needs at least 1")
	case n < 0:
		return nil, fmt.Errorf("tokens = %d must be at least 0", n)
	}
	if n == 0 {
		return make([][]int32, len(prompts)), nil
	}
	var before [][]int32
	token := make([]int32, len(prompts))
	for b, p := range prompts {
		before, token[b] = append(before, p[:length-1]), p[length-1]
	}
	state, err := r.Run(ctx, before, nil, Request{Controls: controls}, nil)
	if err != nil {
		return nil, err
	}
	return r.Continue(ctx, state, token, length-1, n, s, controls, emit)
}

// Continue is Generate after the prompt: last holds the last token of each, at position at, and state is the state before that token.
func (r *Runner) Continue(ctx context.Context, state State, last []int32, at, n int, s Sampling, controls map[string]*tensors.Tensor, emit func(rows [][]int32) error) ([][]int32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	controls, err := r.here(controls)
	if err != nil {
		return nil, err
	}
	made := make([][]int32, len(last))
	next := tensors.FromFlatDataAndDimensions(last, len(last))
	streams := make([]*rand.Rand, len(last))
	for b := range streams {
		streams[b] = rand.New(rand.NewPCG(s.Seed, uint64(b)))
	}
	chunk := s.Chunk
	if chunk == 0 {
		chunk = 32
	}
	chunk = ladder(n, chunk)
	stopped := make([]bool, len(last))
	for done := 0; done < n && slices.Contains(stopped, false); done += chunk {
		if err := ctx.Err(); err != nil {
			return made, err
		}
		var rows [][]int32
		before := state
		rows, next, state, err = r.decode(s, chunk, at+done, next, state, controls, streams)
		if done > 0 && err == nil { // not the caller's
			err = before.Release()
		}
		if err != nil {
			return made, fmt.Errorf("tokens %d … %d: %w", done, min(done+chunk, n), err)
		}
		for b, row := range rows {
			row = row[:min(chunk, n-done)]
			if stopped[b] {
				row = nil
			}
			for i, id := range row {
				if slices.Contains(s.Stop, id) {
					row, stopped[b] = row[:i+1], true
					break
				}
			}
			rows[b] = row
			made[b] = append(made[b], row...)
		}
		if emit != nil {
			if err := emit(rows); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// decode makes a chunk of tokens after the last tokens [batch], which are at position at.
func (r *Runner) decode(s Sampling, chunk, at int, last *tensors.Tensor, state State, controls map[string]*tensors.Tensor, streams []*rand.Rand) (rows [][]int32, next *tensors.Tensor, after State, err error) {
	batch := len(streams)
	if state, err = grown(r.Device, r.device, r.compiled, r.Weights.Model, state, chunk); err != nil {
		return nil, nil, nil, err
	}
	args := (&Args{device: r.device}).Params(r.Weights).Put("tokens", last).State(r.Weights.Model, state)
	position := tensors.FromScalar(int32(at))
	if s.Temperature <= 0 {
		args.Put("position", position)
	} else {
		uniform := make([]float32, chunk*batch)
		for i := range uniform { // token by token, each row from its own stream
			uniform[i] = float32(streams[i%batch].Uint32()>>8) * 0x1p-24
		}
		topP := s.TopP
		if topP == 0 {
			topP = 1
		}
		args.Put("uniform", tensors.FromFlatDataAndDimensions(uniform, chunk, batch)).Put("position", position).
			Put("inverse temperature", float32(min(1/s.Temperature, math.MaxFloat32))).Put("top-p", float32(topP))
	}
	names := slices.Sorted(maps.Keys(controls))
	args.All(controlPrefix, names, controls)
	results, err := r.decoder(chunk, s.TopP > 0 && s.TopP < 1, names, args).Call(args)
	if err != nil {
		return nil, nil, nil, err
	}
	flat, err := tensors.CopyFlatData[int32](results["made"])
	if err != nil {
		return nil, nil, nil, err
	}
	rows = make([][]int32, batch)
	for i, id := range flat {
		rows[i%batch] = append(rows[i%batch], id)
	}
	return rows, results["tokens"], results.State(r.Weights.Model), nil
}
