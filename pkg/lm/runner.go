package lm

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

// Runner runs a model over sequences of any length in flat memory: fixed pieces through compiled graphs, the state
// carried on the device. It compiles one graph per piece length of a short ladder and request.
type Runner struct {
	Device  *xla.Device
	Weights *Weights
	Options Options
	Piece   int // longest piece, tokens

	compiled *programs
}

// NewRunner prepares inference; pieces of 512 tokens unless set otherwise.
func NewRunner(d *xla.Device, w *Weights) *Runner {
	return &Runner{Device: d, Weights: w, Options: Options{Infer: true, Replicas: w.Replicas}, Piece: 512, compiled: &programs{}}
}

// With runs the same model with other weights, through the same compiled graphs.
func (r *Runner) With(w *Weights) *Runner {
	return &Runner{r.Device, w, r.Options, r.Piece, r.compiled}
}

// Request says what a run returns beside the state.
type Request struct {
	Logits   bool
	Loss     bool      // −log p(next token); NaN for the last token of the sequence
	Hits     bool      // whether the next token is the most likely one
	Labels   [][]int32 // per row and position the token that loss and hits are of, where it is not the next one; or nil
	Probes   []string  // see the model
	Reduce   *Reduction
	Controls map[string]*tensors.Tensor
	Offset   int   // position of the first token in its sequence, for controls that act from a position on
	Cuts     []int // ascending positions where a piece must end, beside those where Runner.Piece ends it
	Progress func(done, total int)
}

// Piece is what a run returns for a stretch of tokens. Slices are flat and row-major.
type Piece struct {
	Start, Tokens int
	Logits        []float32                  // [batch, tokens, vocab]
	Loss          []float32                  // [batch, tokens]
	Hits          []float32                  // [batch, tokens], 1 or 0; NaN for the last token of the sequence
	Probes        map[string]*tensors.Tensor // [layers, batch, padded tokens, …]
	Padded        int                        // token axis of Probes; entries from Tokens on are meaningless
	State         []*tensors.Tensor          // after the piece, on the device
}

// Run feeds rows of equal length, from state (nil: zeros), and calls emit piece by piece. It returns the state after
// the last token. The result does not depend on the pieces.
func (r *Runner) Run(ctx context.Context, rows [][]int32, state []*tensors.Tensor, req Request, emit func(Piece) error) ([]*tensors.Tensor, error) {
	total, err := CheckTokens(r.Weights.Model, rows, state)
	switch {
	case err != nil:
		return nil, err
	case r.Piece < 1:
		return nil, fmt.Errorf("piece: %d tokens, must be at least 1", r.Piece)
	case len(rows)%r.Weights.Replicas != 0:
		return nil, fmt.Errorf("tokens: %d sequences, must be a multiple of the %d replicas", len(rows), r.Weights.Replicas)
	}
	if req.Labels != nil {
		if n, err := CheckTokens(r.Weights.Model, req.Labels, nil); err != nil || n != total || len(req.Labels) != len(rows) {
			return nil, fmt.Errorf("labels: %d rows of %d tokens, must be ids for %d rows of %d (%v)", len(req.Labels), n, len(rows), total, err)
		}
	}
	batch := len(rows)
	load := Load{Batch: batch, Tokens: ladder(min(max(total, 1), r.Piece), r.Piece), Replicas: r.Weights.Replicas,
		Half: r.Options.Compute == dtypes.BFloat16, Logits: req.Logits || req.Loss || req.Hits}
	if err := Fit(r.Weights.Model, load, r.Device.Memory()); err != nil {
		return nil, err
	}
	if state == nil {
		state = ZeroState(r.Weights.Model, batch, r.Weights.Values[0].DType())
	}
	for start := 0; start < total; {
		if err := ctx.Err(); err != nil {
			return state, err
		}
		n := min(r.Piece, total-start)
		for _, cut := range req.Cuts {
			if cut > start {
				n = min(n, cut-start)
				break
			}
		}
		padded := ladder(n, r.Piece)
		tokens, labels := make([]int32, batch*padded), make([]int32, batch*padded)
		for b, row := range rows {
			copy(tokens[b*padded:][:n], row[start:])
			if req.Labels != nil {
				copy(labels[b*padded:][:n], req.Labels[b][start:])
			} else {
				copy(labels[b*padded:][:n], row[min(start+1, total):])
			}
		}
		args := r.Weights.Args(tensors.FromFlatDataAndDimensions(tokens, batch, padded))
		for _, s := range state {
			args = append(args, s)
		}
		args = append(args, tensors.FromScalar(int32(req.Offset+start)))
		if padded != n {
			args = append(args, tensors.FromScalar(int32(n)))
		}
		if req.Loss || req.Hits {
			args = append(args, tensors.FromFlatDataAndDimensions(labels, batch, padded))
		}
		names := slices.Sorted(maps.Keys(req.Controls))
		for _, name := range names {
			args = append(args, req.Controls[name])
		}
		outs, err := r.program(req, names, padded != n).Call(args...)
		if err != nil {
			return state, fmt.Errorf("tokens %d … %d: %w", start, start+n, err)
		}
		state, outs = outs[:len(state)], outs[len(state):]
		if emit != nil {
			piece := Piece{Start: start, Tokens: n, Padded: padded, State: state, Probes: map[string]*tensors.Tensor{}}
			if req.Logits {
				piece.Logits, err = unpad(outs[0], batch, padded, n)
				outs = outs[1:]
			}
			for _, next := range []struct {
				wanted bool
				values *[]float32
			}{{req.Loss, &piece.Loss}, {req.Hits, &piece.Hits}} {
				if !next.wanted || err != nil {
					continue
				}
				*next.values, err = unpad(outs[0], batch, padded, n)
				outs = outs[1:]
				for b := range batch {
					if err == nil && start+n == total && req.Labels == nil {
						(*next.values)[(b+1)*n-1] = float32(math.NaN())
					}
				}
			}
			for i, name := range req.outputs() {
				piece.Probes[name] = outs[i]
			}
			if err == nil {
				err = emit(piece)
			}
			if err != nil {
				return state, err
			}
		}
		start += n
		if req.Progress != nil {
			req.Progress(start, total)
		}
	}
	return state, nil
}

// CheckTokens checks that sequences are of one length and inside the vocabulary, and the state's shapes. It returns
// the number of tokens.
func CheckTokens(m Model, rows [][]int32, state []*tensors.Tensor) (total int, err error) {
	if len(rows) == 0 {
		return 0, fmt.Errorf("tokens: no sequence")
	}
	total = len(rows[0])
	for b, row := range rows {
		if len(row) != total {
			return 0, fmt.Errorf("tokens: sequence %d has %d tokens, sequence 0 has %d; run them apart or pad them", b, len(row), total)
		}
		for t, id := range row {
			if id < 0 || int(id) >= m.Vocab() {
				return 0, fmt.Errorf("tokens: id %d at sequence %d, position %d is outside 0 … %d", id, b, t, m.Vocab()-1)
			}
		}
	}
	specs := m.State(len(rows))
	if state != nil && len(state) != len(specs) {
		return 0, fmt.Errorf("state: %d tensors, the model has %d", len(state), len(specs))
	}
	for i, s := range specs {
		if state != nil && fmt.Sprint(state[i].Shape().Dimensions) != fmt.Sprint(s.Dims) {
			return 0, fmt.Errorf("%s has shape %v, must be %v", s.Name, state[i].Shape().Dimensions, s.Dims)
		}
	}
	return total, nil
}

// program compiles a piece: parameters, tokens, state, offset, [length], [labels], controls → state, [logits], [loss], [hits],
// probes.
func (r *Runner) program(req Request, controls []string, ragged bool) *graph.Exec {
	key := fmt.Sprint(r.Options, req.Logits, req.Loss, req.Hits, req.Probes, req.outputs(), controls, ragged)
	if req.Reduce != nil {
		key += req.Reduce.Name
	}
	m, options := r.Weights.Model, r.Options
	states := len(m.State(1))
	return r.compiled.get("piece "+key, func() *graph.Exec {
		return graph.MustNewExec(r.Device.Backend, func(in []*graph.Node) []*graph.Node {
			params, in := r.Weights.Nodes(in)
			call := Call{Params: params, Tokens: in[0], State: in[1 : 1+states], Offset: in[1+states], Probes: req.Probes, Options: options}
			in = in[2+states:]
			if ragged {
				call.Length, in = in[0], in[1:]
			}
			if call.Reduce = req.Reduce; call.Reduce != nil && call.Reduce.Every > 0 {
				call.Ends = call.Reduce.ends(call.Tokens, call.Length)
			}
			var labels *graph.Node
			if req.Loss || req.Hits {
				labels, in = in[0], in[1:]
			}
			if len(controls) > 0 {
				call.Controls = map[string]*graph.Node{}
				for i, name := range controls {
					call.Controls[name] = in[i]
				}
			}
			out := m.Forward(call)
			results := append([]*graph.Node{}, out.State...)
			if req.Logits || req.Loss || req.Hits {
				logits := m.Logits(call, out.Hidden)
				if req.Logits {
					results = append(results, logits)
				}
				if req.Loss {
					results = append(results, TokenLoss(logits, labels))
				}
				if req.Hits {
					hit := graph.Equal(graph.ArgMax(logits, -1, dtypes.Int32), labels)
					results = append(results, graph.ConvertDType(hit, dtypes.Float32))
				}
			}
			for _, name := range req.outputs() {
				results = append(results, out.Probes[name])
			}
			return results
		})
	})
}

// outputs are the names of what leaves the layer loop.
func (r Request) outputs() []string {
	if r.Reduce != nil {
		return r.Reduce.Outputs
	}
	return r.Probes
}

// ladder is the padded length of a piece of n tokens: powers of two, so that few graphs are compiled.
func ladder(n, longest int) int {
	for p := 1; p < longest; p *= 2 {
		if n <= p {
			return p
		}
	}
	return longest
}

// unpad copies [batch, padded, …] to the host without the padding.
func unpad(t *tensors.Tensor, batch, padded, n int) ([]float32, error) {
	v, err := Floats(t)
	if err != nil || padded == n {
		return v, err
	}
	width := len(v) / batch / padded
	out := make([]float32, 0, batch*n*width)
	for b := range batch {
		out = append(out, v[b*padded*width:][:n*width]...)
	}
	return out, nil
}

// StateFrom makes a device state from host values in the order of Model.State.
func StateFrom(m Model, batch int, dtype dtypes.DType, values ...[]float64) ([]*tensors.Tensor, error) {
	var state []*tensors.Tensor
	for i, s := range m.State(batch) {
		if len(values[i]) != s.Size() {
			return nil, fmt.Errorf("%s has %d entries, must have %d %v", s.Name, len(values[i]), s.Size(), s.Dims)
		}
		t, err := FromDoubles(values[i], dtype, s.Dims...)
		if err != nil {
			return nil, err
		}
		state = append(state, t)
	}
	return state, nil
}
