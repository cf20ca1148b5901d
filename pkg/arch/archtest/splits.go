package archtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/pkg/lm"
)

// left returns the state after reading some other tokens.
func (k checker) left(batch int) lm.State {
	return k.pass(lm.PassInput{Rows: k.rows(99, batch, 5)}, lm.Options{}).State
}

// lengths compares chunks with single tokens, at lengths on both sides of the ends of chunks of two sizes.
func (k checker) lengths() {
	for _, chunk := range []int{4, 16} {
		for _, tokens := range []int{1, chunk - 1, chunk, chunk + 1, 2*chunk + 1} {
			in := lm.PassInput{Rows: k.rows(uint64(tokens), 2, tokens), State: k.left(2)}
			whole := k.pass(in, lm.Options{Chunk: chunk})
			for at := range tokens {
				in.Cuts = append(in.Cuts, at)
			}
			steps := k.pass(in, lm.Options{Infer: true})
			label := fmt.Sprintf("%d tokens, chunks of %d", tokens, chunk)
			k.near(label+", logits", steps.Logits, whole.Logits)
			k.states(label, steps.State, whole.State)
		}
	}
}

// partitions compares 20 random partitions with a single pass.
func (k checker) partitions() {
	const tokens = 37
	r := rand.New(rand.NewPCG(5, 5))
	in := lm.PassInput{Rows: k.rows(8, 2, tokens), State: k.left(2)}
	whole := k.pass(in, lm.Options{})
	for trial := range 20 {
		in.Cuts = nil
		for at := 0; at < tokens; at += r.IntN(3) * r.IntN(7) { // an empty piece among them, and single tokens
			in.Cuts = append(in.Cuts, at)
		}
		out := k.pass(in, lm.Options{Chunk: 4, Infer: trial%2 == 0})
		label := fmt.Sprintf("partition %d, %v", trial, in.Cuts)
		k.near(label+", logits", out.Logits, whole.Logits)
		k.states(label, out.State, whole.State)
	}
}

// initial compares the gradient by what is carried in, along a random direction, with differences. Of an average only num and den are
// differentiated: the graphs hold max constant.
func (k checker) initial() {
	rows, r, state := k.rows(5, 2, 6), rand.New(rand.NewPCG(9, 9)), k.left(2)
	out := k.pass(lm.PassInput{Rows: rows, State: state, Gradient: true}, lm.Options{})
	_, average := k.model.(lm.Summarised)
	for _, s := range k.model.State(2) {
		if s.Grows || s.Role == lm.Length || s.Role == lm.Other || average && s.Name == "max" {
			continue
		}
		direction, slope := along(k.t, r, out.Initial[s.Name])
		loss := func(by float64) float64 {
			changed := lm.State{}
			for name, x := range state {
				changed[name] = x
			}
			changed[s.Name] = moved(k.t, state[s.Name], direction, by)
			return k.mean(rows, changed)
		}
		difference := (loss(1e-6) - loss(-1e-6)) / 2e-6
		if math.Abs(difference-slope) > 1e-5*max(1e-2, math.Abs(slope)) {
			k.t.Errorf("state %s: gradient %g along a direction, differences give %g", s.Name, slope, difference)
		}
	}
}

// Finite returns an error that names the first value of a pass or its gradients that is not finite.
func Finite(out lm.PassOutput) error {
	all := map[string]lm.State{"gradient of parameter": out.Gradient, "gradient of state": out.Initial, "state": out.State,
		"output": {"logits": out.Logits, "loss": out.Loss}}
	for kind, list := range all {
		for name, x := range list {
			if x == nil {
				continue
			}
			v, err := lm.Float64s(x)
			if err != nil {
				return err
			}
			if i := slices.IndexFunc(v, func(x float64) bool { return math.IsNaN(x) || math.IsInf(x, 0) }); i >= 0 {
				return fmt.Errorf("%s %s: entry %d is %g", kind, name, i, v[i])
			}
		}
	}
	return nil
}
