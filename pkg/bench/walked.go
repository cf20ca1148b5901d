package bench

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// walkedPlaces is the number of evenly spaced positions that Walked compares, the last token included.
const walkedPlaces = 8

// Walked runs a model over tokens tokens in one call, on exact and, in bfloat16, on fast, and compares the logits at eight
// positions and the last states with a float64 loop over the tokens, one at a time, on exact: ‖got − want‖ / ‖want‖. All use the
// same weights, rounded to bfloat16. tokens must be a multiple of eight. least holds the bounds for exact and for fast mode.
func Walked(exact, fast *xla.Device, name string, w *lm.Weights, tokens int, least [2]float64) []Row {
	row := func(what string, least float64) Row {
		return Row{Work: "sampled", Shape: fmt.Sprintf("%s B1 T%d %s", name, tokens, what), Unit: "of the RMS", Note: fmt.Sprintf("below %g is asked for", least)}
	}
	rows := []Row{row("Float32 in one call, logits", least[0]), row("BFloat16 in one call, logits", least[1])}
	var want lastStates
	if err := guarded(func() (err error) { want, err = stepByStep(exact, w, tokens); return err }); err != nil {
		rows[0].Error = "one token at a time: " + err.Error()
		return rows[:1]
	}
	for i, d := range []*xla.Device{exact, fast} {
		o := lm.Options{}
		if i == 1 {
			o.Compute = dtypes.BFloat16
		}
		rows[i] = guard(rows[i], func() Row {
			all, err := statesOf(d, w, tokens, walkedPlaces, o, true)
			if err != nil {
				rows[i].Error = err.Error()
				return rows[i]
			}
			got := all[0]
			worst, n := 0.0, len(want.logits)/walkedPlaces
			for p := range walkedPlaces {
				worst = max(worst, ratio(got.logits[p*n:][:n], want.logits[p*n:][:n]))
			}
			rows[i].Note += fmt.Sprintf("; at most %.2g at one of %d positions; of the last states %.2g", worst, walkedPlaces, ratio(got.state, want.state))
			return rows[i].once(ratio(got.logits, want.logits))
		})
	}
	return rows
}

// stepByStep feeds one token at a time in float64, in a loop on the device that restarts at each of the places.
func stepByStep(d *xla.Device, w *lm.Weights, tokens int) (want lastStates, err error) {
	own, err := copied[float64](w, true)
	if err != nil {
		return want, err
	}
	apart, m := tokens/walkedPlaces, w.Model
	build := func(in lm.In, out *lm.Out) {
		ids := graph.Reshape(in.Node("tokens"), apart, 1, 1)
		forward := func(params map[string]*graph.Node, id *graph.Node, state map[string]*graph.Node) (lm.Call, lm.Output) {
			c := lm.Call{Params: params, Tokens: id, State: state, Options: lm.Options{Infer: true, Unroll: true}}
			return c, m.Forward(c)
		}
		var carry, xs, weights lm.Out
		carry.State(m, in.State())
		xs.Put("id", graph.SliceAxis(ids, 0, graph.AxisRange(0, apart-1)))
		weights.Params(w.Specs, in.Params())
		before, _ := lm.Loop(xla.Scan{N: apart - 1, Infer: true}, carry, xs, weights, func(_ *xla.Iter, in lm.In, next, _ *lm.Out) {
			_, o := forward(in.Params(), in.Node("id"), in.State())
			next.State(m, o.State)
		})
		c, o := forward(in.Params(), graph.Squeeze(graph.SliceAxis(ids, 0, graph.AxisElem(apart-1)), 0), before.State())
		out.Put("logits", m.Logits(c, o.Hidden))
		out.State(m, o.State)
	}
	ids, err := tensors.CopyFlatData[int32](prompt(tokens, m.Vocab()))
	if err != nil {
		return want, err
	}
	var program *lm.Program
	state := lm.ZeroState(m, 1, dtypes.Float64)
	for p := range walkedPlaces {
		args := (&lm.Args{}).Params(own).Put("tokens", tensors.FromFlatDataAndDimensions(ids[p*apart:][:apart], 1, apart)).State(m, state)
		if program == nil {
			program = lm.NewProgram(d, "one token at a time", args, build)
			defer program.Release()
		}
		r, err := program.Call(args)
		if err != nil {
			return want, err
		}
		logits, err := lm.Floats(r["logits"])
		if err != nil {
			return want, err
		}
		want.logits, state = append(want.logits, logits...), r.State(m)
	}
	want.state, err = recurrent(m, state)
	return want, err
}

// recurrent returns the model's recurrent state on the host.
func recurrent(m lm.Model, state lm.State) ([]float32, error) {
	s, err := lm.StateOf(m, "")
	if err != nil {
		return nil, err
	}
	return lm.Floats(state[s.Name])
}
