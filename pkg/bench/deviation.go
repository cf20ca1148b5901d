package bench

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/dtypes/bfloat16"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// compared is the largest number of positions whose logits are compared.
const compared = 1024

// Deviation is how far fast mode is from exact mode (float32, no TF32) in one call that reads tokens tokens: ‖fast − exact‖ /
// ‖exact‖ of the logits at up to 1,024 evenly spaced positions, with the same weights, rounded to bfloat16. Further rows give
// what rounding the weights changes by itself, products in TF32 and, with parts, bfloat16 without the fused kernels. least is the
// bound that fast mode should stay below.
func Deviation(exact, fast *xla.Device, name string, w *lm.Weights, tokens int, least float64, parts bool) []Row {
	shape := fmt.Sprintf("%s B1 T%d", name, tokens)
	row := func(what, note string) Row {
		return Row{Work: "deviation", Shape: shape + " " + what, Unit: "of the RMS", Note: note}
	}
	target := row("bf16", fmt.Sprintf("below %g is asked for", least))
	var reference []lastStates // of the rounded weights and of the original ones
	err := guarded(func() (err error) {
		reference, err = statesOf(exact, w, tokens, compared, lm.Options{}, true, false)
		return err
	})
	if err != nil {
		target.Error = "exact mode: " + err.Error()
		return []Row{target}
	}
	between := func(r Row, got lastStates) Row {
		if r.Note != "" {
			r.Note += "; "
		}
		r.Note += fmt.Sprintf("of the hidden states %.2g", ratio(got.hidden, reference[0].hidden))
		return r.once(ratio(got.logits, reference[0].logits))
	}
	measure := func(r Row, o lm.Options) Row {
		return guard(r, func() Row {
			got, err := statesOf(fast, w, tokens, compared, o, true)
			if err != nil {
				r.Error = err.Error()
				return r
			}
			return between(r, got[0])
		})
	}
	bf16 := lm.Options{Compute: dtypes.BFloat16}
	rows := []Row{measure(target, bf16)}
	if fast.Precision == "fast" {
		rows = append(rows, measure(row("TF32", target.Note), lm.Options{}))
	}
	if parts {
		plain := bf16
		plain.NoKernels = true
		rows = append(rows, measure(row("bf16 without kernels", ""), plain))
	}
	return append(rows, between(row("float32, weights not rounded", ""), reference[1]))
}

// lastStates holds the hidden states after the final norm and the logits at the compared positions, and the recurrent states of
// all layers at the end.
type lastStates struct{ hidden, logits, state []float32 }

// statesOf runs one graph once per element of rounded, with the weights rounded or not, and returns the results at the last of
// every tokens/places positions (at every position if places ≥ tokens).
func statesOf(d *xla.Device, w *lm.Weights, tokens, places int, o lm.Options, rounded ...bool) ([]lastStates, error) {
	o.Infer = true
	every := max(1, tokens/places)
	m := w.Model
	build := func(in lm.In, out *lm.Out) {
		call := lm.Call{Params: in.Params(), Tokens: in.Node("tokens"), State: in.State(), Options: o}
		got := m.Forward(call)
		hidden := got.Hidden
		n, width := tokens/every, hidden.Shape().Dim(-1)
		hidden = graph.Reshape(graph.SliceAxis(hidden, 1, graph.AxisRange(0, n*every)), 1, n, every, width)
		hidden = graph.Reshape(graph.SliceAxis(hidden, 2, graph.AxisElem(every-1)), 1, n, width)
		out.Put("hidden", hidden)
		out.Put("logits", m.Logits(call, hidden))
		out.State(m, got.State)
	}
	var program *lm.Program
	var all []lastStates
	for _, round := range rounded {
		own, err := copied[float32](w, round) // a tensor belongs to one device
		if err != nil {
			return nil, err
		}
		args := (&lm.Args{}).Params(own).Put("tokens", prompt(tokens, m.Vocab())).State(m, lm.ZeroState(m, 1, dtypes.Float32))
		if program == nil {
			program = lm.NewProgram(d, "deviation", args, build)
			defer program.Release()
		}
		r, err := program.Call(args)
		if err != nil {
			return nil, err
		}
		var s lastStates
		if s.hidden, err = lm.Floats(r["hidden"]); err != nil {
			return nil, err
		}
		if s.logits, err = lm.Floats(r["logits"]); err != nil {
			return nil, err
		}
		if s.state, err = recurrent(m, r.State(m)); err != nil {
			return nil, err
		}
		for _, t := range slices.Concat(slices.Collect(maps.Values(r)), own.Values) {
			t.MustFinalizeAll()
		}
		all = append(all, s)
	}
	return all, nil
}

// prompt returns pseudorandom ids, [1, tokens].
func prompt(tokens, vocab int) *tensors.Tensor {
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(mix(uint32(i)) % uint32(vocab))
	}
	return tensors.FromFlatDataAndDimensions(ids, 1, tokens)
}

// copied returns a copy of w, rounded to bfloat16 if asked for.
func copied[T float32 | float64](w *lm.Weights, round bool) (*lm.Weights, error) {
	values, err := w.Member(0)
	if err != nil {
		return nil, err
	}
	return lm.NewWeights(w.Model, 1, func(_ int, s lm.Spec) ([]T, error) {
		own := make([]T, len(values[s.Name]))
		for i, v := range values[s.Name] {
			if round {
				v = bfloat16.FromFloat32(v).Float32()
			}
			own[i] = T(v)
		}
		return own, nil
	})
}

// ratio returns ‖got − want‖ / ‖want‖.
func ratio(got, want []float32) float64 {
	diff, norm := 0.0, 0.0
	for i := range want {
		d := float64(got[i]) - float64(want[i])
		diff, norm = diff+d*d, norm+float64(want[i])*float64(want[i])
	}
	return math.Sqrt(diff / norm)
}
