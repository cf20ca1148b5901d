package lm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
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

	compiled *Programs
	device   compute.DeviceNum
	devices  int // see Spread
}

// NewRunner prepares inference; pieces of 512 tokens unless set otherwise.
func NewRunner(d *xla.Device, w *Weights) *Runner {
	return &Runner{Device: d, Weights: w, Options: Options{Infer: true, Members: w.Members}, Piece: 512, compiled: &Programs{}}
}

// With runs the same model with other weights, through the same compiled graphs.
func (r *Runner) With(w *Weights) *Runner {
	return &Runner{r.Device, w, r.Options, r.Piece, r.compiled, r.device, r.devices}
}

// Request says what a run returns besides the state.
type Request struct {
	Logits   bool
	Last     bool      // logits of the last token of each piece
	Loss     bool      // −log p(next token); NaN for the last token of the sequence
	Correct  bool      // whether the next token is the most likely one
	Labels   [][]int32 // per row and position the token that loss and hits are of, where it is not the next one; or nil
	Probes   []string  // see Model.Probes
	Reduce   *Reduction
	Controls map[string]*tensors.Tensor
	Offset   int                              // position of the first token in its sequence, for controls that act from a position on
	Cuts     []int                            // ascending positions where a piece must end, beside those where Runner.Piece ends it
	Between  func(after State) (State, error) // what goes on to the next piece instead, or nil
	Progress func(done, total int)
}

// Piece is what a run returns for a stretch of tokens. Slices are flat and row-major.
type Piece struct {
	Start, Tokens int
	Logits        []float32                  // [batch, tokens, vocab]
	Last          []float32                  // [batch, vocab]
	Loss          []float32                  // [batch, tokens]
	Correct       []float32                  // [batch, tokens], 1 or 0; NaN for the last token of the sequence
	Probes        map[string]*tensors.Tensor // [layers, batch, padded tokens, …]
	Padded        int                        // token axis of Probes; entries from Tokens on are meaningless
	State         State                      // after the piece, on the device
}

// Run feeds rows of equal length, from state (nil: zeros), and calls emit piece by piece. It returns the state after
// the last token. The result does not depend on the pieces.
func (r *Runner) Run(ctx context.Context, rows [][]int32, state State, req Request, emit func(Piece) error) (State, error) {
	total, err := r.check(rows, state, req)
	if err != nil {
		return nil, err
	}
	if req.Controls, err = r.here(req.Controls); err != nil {
		return nil, err
	}
	if state == nil {
		state = ZeroState(r.Weights.Model, len(rows), r.Weights.Values[0].DType())
	}
	for start := 0; start < total; {
		if err := ctx.Err(); err != nil {
			return state, err
		}
		n := req.until(start, total, r.Piece) - start
		padded := ladder(n, r.Piece)
		if state, err = grown(r.Device, r.device, r.compiled, r.Weights.Model, state, padded); err != nil {
			return state, err
		}
		args := r.args(rows, state, req, start, n, padded)
		results, err := r.program(req, args).Call(args)
		if err != nil {
			return state, fmt.Errorf("tokens %d … %d: %w", start, start+n, err)
		}
		state = results.State(r.Weights.Model)
		if req.Between != nil {
			if state, err = req.Between(state); err != nil {
				return state, err
			}
		}
		if emit != nil {
			piece, err := req.piece(results, len(rows), start, n, padded, total)
			if err == nil {
				piece.State = state
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

// check refuses what cannot be run and returns the number of tokens.
func (r *Runner) check(rows [][]int32, state State, req Request) (total int, err error) {
	m := r.Weights.Model
	total, err = CheckTokens(m, rows, state)
	switch {
	case err != nil:
		return 0, err
	case r.Piece < 1:
		return 0, fmt.Errorf("piece: %d tokens, must be at least 1", r.Piece)
	case len(rows)%r.Weights.Members != 0:
		return 0, fmt.Errorf("tokens: %d sequences, must be a multiple of the %d members", len(rows), r.Weights.Members)
	}
	if req.Labels != nil {
		if n, err := CheckTokens(m, req.Labels, nil); err != nil || n != total || len(req.Labels) != len(rows) {
			return 0, fmt.Errorf("labels: %d rows of %d tokens, must be ids for %d rows of %d (%v)", len(req.Labels), n, len(rows), total, err)
		}
	}
	if err := CheckNames(m, req.Probes, req.controls()); err != nil {
		return 0, err
	}
	load := Load{Batch: len(rows), Tokens: ladder(min(max(total, 1), r.Piece), r.Piece), Members: r.Weights.Members,
		Half: r.Options.Compute == dtypes.BFloat16, Logits: req.Logits || req.Loss || req.Correct}
	return total, Fit(m, load, r.Device.Memory())
}

// until is where the piece that begins at start ends.
func (req Request) until(start, total, longest int) int {
	end := min(start+longest, total)
	for _, cut := range req.Cuts {
		if cut > start {
			return min(end, cut)
		}
	}
	return end
}

// controls are the names of those given, in order.
func (req Request) controls() []string { return slices.Sorted(maps.Keys(req.Controls)) }

// args are parameters, tokens, state, [length], [labels], [offset, controls] of a piece. Each is a transfer to the device
// that the call waits for, so arguments that nothing reads are left out.
func (r *Runner) args(rows [][]int32, state State, req Request, start, n, padded int) *Args {
	args := (&Args{device: r.device}).Params(r.Weights).Put("tokens", padTo(padded, rows, start, n)).State(r.Weights.Model, state)
	if padded != n {
		args.Put("length", tensors.FromScalar(int32(n)))
	}
	switch {
	case !req.Loss && !req.Correct:
	case req.Labels != nil:
		args.Put("labels", padTo(padded, req.Labels, start, n))
	default:
		args.Put("labels", padTo(padded, rows, start+1, n))
	}
	if len(req.Controls) > 0 {
		args.Put("offset", tensors.FromScalar(int32(req.Offset+start))).All(controlPrefix, req.controls(), req.Controls)
	}
	return args
}

// padTo is [rows, padded]: up to n ids of each row from start on, then zeros.
func padTo(padded int, rows [][]int32, start, n int) *tensors.Tensor {
	ids := make([]int32, len(rows)*padded)
	for b, row := range rows {
		copy(ids[b*padded:][:n], row[min(start, len(row)):])
	}
	return tensors.FromFlatDataAndDimensions(ids, len(rows), padded)
}

// piece reads what a piece returned; what is on the host then leaves the device.
func (req Request) piece(results Results, batch, start, n, padded, total int) (p Piece, err error) {
	p = Piece{Start: start, Tokens: n, Padded: padded, Probes: map[string]*tensors.Tensor{}}
	defer func() {
		for _, name := range []string{"logits", "last", "loss", "correct"} {
			if t := results[name]; t != nil {
				err = errors.Join(err, t.FinalizeAll())
			}
		}
	}()
	if req.Logits {
		if p.Logits, err = unpad(results["logits"], batch, padded, n); err != nil {
			return p, err
		}
	}
	if req.Last {
		if p.Last, err = Floats(results["last"]); err != nil {
			return p, err
		}
	}
	for name, values := range map[string]*[]float32{"loss": &p.Loss, "correct": &p.Correct} {
		if results[name] == nil {
			continue
		}
		if *values, err = unpad(results[name], batch, padded, n); err != nil {
			return p, err
		}
		for b := range batch {
			if start+n == total && req.Labels == nil {
				(*values)[(b+1)*n-1] = float32(math.NaN())
			}
		}
	}
	for _, name := range req.outputs() {
		p.Probes[name] = results[probePrefix+name]
	}
	return p, nil
}

// CheckTokens checks that sequences are of one length and inside the vocabulary, and the state's shapes. It returns
// the number of tokens.
func CheckTokens(m Model, rows [][]int32, state State) (total int, err error) {
	if len(rows) == 0 {
		return 0, fmt.Errorf("tokens: no sequence")
	}
	total = len(rows[0])
	vocab := m.Vocab() // once: a call for each of 65,536 tokens takes 1.4 ms
	for b, row := range rows {
		if len(row) != total {
			return 0, fmt.Errorf("tokens: sequence %d has %d tokens, sequence 0 has %d; run them apart or pad them", b, len(row), total)
		}
		for t, id := range row {
			if id < 0 || int(id) >= vocab {
				return 0, fmt.Errorf("tokens: id %d at sequence %d, position %d is outside 0 … %d", id, b, t, vocab-1)
			}
		}
	}
	if state != nil {
		err = state.Check(m, len(rows))
	}
	return total, err
}

// program compiles a piece: the arguments → state, [logits], [loss], [hits], probes.
func (r *Runner) program(req Request, args *Args) *Program {
	key := fmt.Sprint("piece ", r.Options, req.Logits, req.Last, req.Loss, req.Correct, req.Probes, req.outputs(), req.controls(), args.has("length"))
	if req.Reduce != nil {
		key += req.Reduce.Name
	}
	m, options := r.Weights.Model, r.Options
	return r.compiled.Get(r.Device, key, args, func(in In, out *Out) {
		call := Call{Params: in.Params(), Tokens: in.Node("tokens"), State: in.State(), Offset: in.Node("offset"), Length: in.Node("length"),
			Probes: req.Probes, Reduce: req.Reduce, Options: options}
		if call.Reduce != nil && call.Reduce.Every > 0 {
			call.Ends = call.Reduce.ends(call.Tokens, call.Length)
		}
		if controls := in.Under(controlPrefix); len(controls) > 0 {
			call.Controls = controls
		}
		o := m.Forward(call)
		out.State(m, o.State)
		if req.Logits || req.Loss || req.Correct {
			logits := m.Logits(call, o.Hidden)
			if req.Logits {
				out.Put("logits", logits)
			}
			if req.Loss {
				out.Put("loss", TokenLoss(logits, in.Node("labels")))
			}
			if req.Correct {
				hit := graph.Equal(graph.ArgMax(logits, -1, dtypes.Int32), in.Node("labels"))
				out.Put("correct", graph.ConvertDType(hit, dtypes.Float32))
			}
		}
		if req.Last {
			out.Put("last", graph.Squeeze(m.Logits(call, lastToken(o.Hidden, call.Length)), 1))
		}
		for _, name := range req.outputs() {
			out.Put(probePrefix+name, o.Probes[name])
		}
	})
}

// lastToken is hidden [batch, 1, width] of the last token before length.
func lastToken(hidden, length *graph.Node) *graph.Node {
	tokens := hidden.Shape().Dim(1)
	if length == nil {
		return graph.SliceAxis(hidden, 1, graph.AxisRangeToEnd(tokens-1))
	}
	at := graph.Iota(hidden.Graph(), shapes.Make(dtypes.Int32, 1, tokens, 1), 1)
	here := graph.ConvertDType(graph.Equal(at, graph.AddScalar(length, -1)), hidden.DType())
	return graph.ReduceAndKeep(graph.Mul(hidden, here), graph.ReduceSum, 1)
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
