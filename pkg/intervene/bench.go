package intervene

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// Method is a way to run a trained model: interventions and a way of keeping the state.
type Method struct {
	Name       string             `json:"name"`
	Parameters map[string]float64 `json:"parameters,omitempty"`
	Plan       Plan               `json:"plan,omitempty"`
	Lengths    map[int]Plan       `json:"lengths,omitempty"`    // instead of Plan, for contexts of up to so many tokens; the longest serves longer ones too
	Window     int                `json:"window,omitempty"`     // tokens, see lm.Variant
	NormEvery  int                `json:"norm_every,omitempty"` // see lm.Variant
	Decimation *Decimation        `json:"decimation,omitempty"`
}

// Decimation drops tokens of a context (DeciMamba, arXiv 2406.14528): from layer First on, the tokens with the largest Δ are
// kept, Base·β^s of them in the s-th of these layers, at least Least. Contexts longer than Piece are cut, and every piece
// keeps its share. What follows the context is read whole.
type Decimation struct {
	First int     `json:"first"` // layer
	Base  int     `json:"base"`  // tokens
	Beta  float64 `json:"beta"`
	Least int     `json:"least"` // tokens
	Piece int     `json:"piece"` // tokens
}

func (d Decimation) validate(m lm.Model) error {
	switch {
	case d.First < 0 || d.First >= m.Layers():
		return fmt.Errorf("decimation: first layer %d does not exist; layers are 0 … %d", d.First, m.Layers()-1)
	case d.Base < 1 || d.Least < 1 || d.Piece < 1:
		return fmt.Errorf("decimation: base %d, least %d and piece %d must be 1 or more tokens", d.Base, d.Least, d.Piece)
	case !(d.Beta > 0 && d.Beta <= 1):
		return fmt.Errorf("decimation: beta %g is outside (0, 1]", d.Beta)
	}
	return nil
}

// keep is the number of tokens of a piece that each layer passes on, for a context of length tokens.
func (d Decimation) keep(m lm.Model, length, piece int) []int32 {
	out := make([]int32, m.Layers())
	want, all := float64(d.Base), float64(length)
	for l := range out {
		out[l] = int32(piece)
		if l >= d.First {
			left := max(min(want, all), float64(d.Least))
			out[l] = int32(max(1, min(float64(piece), left*float64(piece)/all+0.5)))
			want *= d.Beta
		}
	}
	return out
}

// Bench runs methods on one model. Methods of the same kind share compiled graphs, and so do models of one shape.
type Bench struct {
	Runner  *lm.Runner // of the model itself
	Model   lm.Model
	weights *lm.Weights
	graphs  *graphs
}

// graphs are what models of one shape share: their weights are arguments.
type graphs struct {
	runners      map[lm.Variant]*lm.Runner
	calibrations lm.Programs
}

// NewBench takes a runner of a model of one member.
func NewBench(r *lm.Runner) (*Bench, error) {
	if r.Weights.Members > 1 {
		return nil, fmt.Errorf("%d members: intervene in one model at a time (lm.Weights.Select)", r.Weights.Members)
	}
	return &Bench{r, r.Weights.Model, r.Weights, &graphs{runners: map[lm.Variant]*lm.Runner{{}: r}}}, nil
}

// with is a bench of other weights on the same graphs.
func (b *Bench) with(w *lm.Weights) *Bench { return &Bench{b.Runner, b.Model, w, b.graphs} }

// plain is the runner of the model as it is.
func (b *Bench) plain() *lm.Runner { return b.graphs.runners[lm.Variant{}].With(b.weights) }

// Variant is a runner of this model's weights with the state kept in another way.
func (b *Bench) Variant(v lm.Variant) (*lm.Runner, error) {
	m, err := lm.VariantOf(b.Model, v)
	if err != nil {
		return nil, err
	}
	w := *b.weights
	w.Model = m
	r := b.graphs.runners[v]
	if r == nil {
		r = lm.NewRunner(b.Runner.Device, &w)
		r.Options, r.Piece = b.Runner.Options, b.Runner.Piece
		b.graphs.runners[v] = r
	}
	return r.With(&w), nil
}

// Apply returns a runner and the controls that make up the method, for use with any evaluation; not for methods that depend on
// the length of the context.
func (b *Bench) Apply(method Method) (*lm.Runner, map[string]*tensors.Tensor, error) {
	if method.Decimation != nil || len(method.Lengths) > 0 {
		return nil, nil, fmt.Errorf("%s: it treats contexts by their length; use Suite.Run", method.Name)
	}
	a, err := b.apply(method)
	if err != nil {
		return nil, nil, err
	}
	if a.limit != nil {
		return nil, nil, fmt.Errorf("%s: %s limits norms between pieces of tokens; use Suite.Run", method.Name, b.Model.Name())
	}
	controls, err := a.compiled.Tensors(b.weights.Values[0].DType())
	return a.runner, controls, err
}

// applied is a method on a model.
type applied struct {
	runner   *lm.Runner // of the variant
	plain    *lm.Runner // of the model itself
	model    lm.Model
	compiled Controls
	lengths  map[int]Controls
	decimate *Decimation
	limit    *normLimit // or nil
}

func (b *Bench) apply(method Method) (*applied, error) {
	if d := method.Decimation; d != nil {
		if err := d.validate(b.Model); err != nil {
			return nil, err
		}
		if len(method.Plan) > 0 {
			return nil, fmt.Errorf("decimation stands alone, without interventions")
		}
	}
	r, err := b.Variant(lm.Variant{Window: method.Window, NormEvery: method.NormEvery, Decimate: method.Decimation != nil})
	var limit *normLimit
	if err != nil && method.NormEvery > 0 && method.Window == 0 {
		if limit, method.Plan, err = betweenPieces(b.Model, method); err == nil {
			r = b.plain()
		}
	}
	if err != nil {
		return nil, err
	}
	if len(method.Plan) > 0 && len(method.Lengths) > 0 {
		return nil, fmt.Errorf("both a plan and plans by length are given")
	}
	m := r.Weights.Model
	c, err := method.Plan.Compile(m)
	lengths := map[int]Controls{}
	for length, plan := range method.Lengths {
		if err == nil {
			lengths[length], err = plan.Compile(m)
		}
	}
	return &applied{r, b.plain(), m, c, lengths, method.Decimation, limit}, err
}

// of is the plan for a context of so many tokens.
func (a *applied) of(length int) Controls {
	if len(a.lengths) == 0 {
		return a.compiled
	}
	known := slices.Sorted(maps.Keys(a.lengths))
	i, _ := slices.BinarySearch(known, length)
	return a.lengths[known[min(i, len(known)-1)]]
}

func (a *applied) run(ctx context.Context, rows [][]int32, state lm.State, req lm.Request, emit func(lm.Piece) error) error {
	var err error
	if req.Controls, err = a.of(len(rows[0])).Tensors(a.runner.Weights.Values[0].DType()); err != nil {
		return err
	}
	if a.limit != nil {
		req = a.limit.request(a.model, req, len(rows[0]))
	}
	_, err = a.runner.Run(ctx, rows, state, req, emit)
	return err
}

// prefill reads contexts with tokens dropped, piece by piece, and returns the state.
func (a *applied) prefill(ctx context.Context, rows [][]int32) (state lm.State, err error) {
	length := len(rows[0])
	for from := 0; from < length; from += a.decimate.Piece {
		to := min(length, from+a.decimate.Piece)
		part := make([][]int32, len(rows))
		for b := range rows {
			part[b] = rows[b][from:to]
		}
		keep := tensors.FromFlatDataAndDimensions(a.decimate.keep(a.model, length, to-from), a.model.Layers(), 1)
		a.runner.Piece = a.decimate.Piece
		state, err = a.runner.Run(ctx, part, state, lm.Request{Controls: map[string]*tensors.Tensor{"keep": keep}}, nil)
		if err != nil {
			return nil, err
		}
	}
	return state, nil
}
