package recurrence_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"stuffed/pkg/recurrence"
	"stuffed/pkg/recurrence/delta"
	"stuffed/pkg/recurrence/fixeddecay"
	"stuffed/pkg/recurrence/logsum"
	"stuffed/pkg/recurrence/selectivescan"
	"stuffed/pkg/recurrence/vectorgate"
)

// TestWindowBySubtraction tests the claim of arXiv 2410.07145 that method 3 is of every weighted sum: S_t less a decayed S_{t−r} is
// what the last r tokens alone leave. It holds for scalar and vector gates, fixed decays, the selective scan, and numerator and
// denominator of the log-sum. For a delta rule, whose older writes are multiplied by matrices, no factor of S_{t−r} will do.
func TestWindowBySubtraction(t *testing.T) {
	const n, r, size = 23, 6, 4
	g := rand.New(rand.NewPCG(7, 7))
	draw := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = g.NormFloat64()
		}
		return v
	}
	gates := func(n int) []float64 {
		v := draw(n)
		for i := range v {
			v[i] = -math.Abs(v[i]) / 3
		}
		return v
	}
	k, q, x := draw(n*size), draw(n*size), draw(n*size)
	scalar, vector, fixed, rates := gates(n), gates(n*size), gates(1), gates(size*size)
	steps := make([]float64, n*size)
	for i, v := range gates(n * size) {
		steps[i] = -v
	}
	from := n - r
	// each runs an operator over tokens from … to and returns its state and its decay, entry by entry [size, size] or [size].
	for name, run := range map[string]func(from, to int) (state, logDecay []float64){
		"scalar gate": func(from, to int) (state, logDecay []float64) {
			_, state = recurrence.Naive(recurrence.Sequence{Dims: recurrence.Dims{Batch: 1, Tokens: to - from, Heads: 1, HeadDim: size, Groups: 1, State: size},
				X: x[from*size : to*size], Delta: negative(scalar[from:to]), A: []float64{-1}, B: k[from*size : to*size], C: q[from*size : to*size]}, nil)
			return state, spread(scalar[from:to], 1, size*size)
		},
		"vector gate": func(from, to int) (state, logDecay []float64) {
			_, state = vectorgate.Naive(vectorgate.Sequence{Dims: vectorgate.Dims{Batch: 1, Tokens: to - from, Heads: 1, Keys: size, Values: size},
				Q: q[from*size : to*size], K: k[from*size : to*size], V: x[from*size : to*size], LogDecay: vector[from*size : to*size]}, nil)
			return state, spread(vector[from*size:to*size], size, size*size)
		},
		"fixed decay": func(from, to int) (state, logDecay []float64) {
			_, state = fixeddecay.Naive(fixeddecay.Sequence{Dims: fixeddecay.Dims{Batch: 1, Tokens: to - from, Heads: 1, Keys: size, Values: size},
				Q: q[from*size : to*size], K: k[from*size : to*size], V: x[from*size : to*size], LogDecay: fixed}, nil)
			return state, spread([]float64{fixed[0] * float64(to-from)}, 1, size*size)
		},
		"selective scan": func(from, to int) (state, logDecay []float64) {
			_, state = selectivescan.Naive(selectivescan.Sequence{Dims: selectivescan.Dims{Batch: 1, Tokens: to - from, Channels: size, State: size},
				X: x[from*size : to*size], Delta: steps[from*size : to*size], A: rates, B: k[from*size : to*size], C: q[from*size : to*size]}, nil)
			logDecay = spread(steps[from*size:to*size], size, size*size)
			for i := range logDecay {
				logDecay[i] *= rates[i]
			}
			return state, logDecay
		},
		"numerator of the log-sum": func(from, to int) (state, logDecay []float64) {
			_, num, _, top := logsum.Naive(logsum.Sequence{Dims: logsum.Dims{Batch: 1, Tokens: to - from, Channels: size},
				K: k[from*size : to*size], V: x[from*size : to*size], LogDecay: rates[:size], Bonus: q[:size]}, nil)
			for c := range num {
				state = append(state, num[c]*math.Exp(top[c]))
				logDecay = append(logDecay, rates[c]*float64(to-from))
			}
			return state, logDecay
		},
	} {
		all, _ := run(0, n)
		old, _ := run(0, from)
		want, decay := run(from, n)
		for i := range want {
			if got := all[i] - math.Exp(decay[i])*old[i]; math.Abs(got-want[i]) > 1e-12*(1+math.Abs(want[i])) {
				t.Errorf("%s: entry %d of the window's state is %g, want %g", name, i, got, want[i])
			}
		}
	}

	erasing := func(from, to int) []float64 {
		unit, erase := append([]float64{}, k[from*size:to*size]...), make([]float64, (to-from)*size)
		for i := 0; i < len(unit); i += size {
			norm := 0.0
			for _, v := range unit[i : i+size] {
				norm += v * v
			}
			for j := i; j < i+size; j++ {
				unit[j] /= math.Sqrt(norm)
				erase[j] = -unit[j] * 0.9
			}
		}
		write := append([]float64{}, x[from*size:to*size]...)
		for i := range write {
			write[i] *= 0.9
		}
		_, state := delta.Naive(delta.Sequence{Dims: delta.Dims{Batch: 1, Tokens: to - from, Heads: 1, Key: size, Value: size},
			Q: q[from*size : to*size], K: unit, V: write, Erase: erase, Read: unit}, nil)
		return state
	}
	all, old, want := erasing(0, n), erasing(0, from), erasing(from, n)
	product, square, rest, scale := 0.0, 0.0, 0.0, 0.0
	for i := range want {
		product, square = product+(all[i]-want[i])*old[i], square+old[i]*old[i]
	}
	for i := range want { // with the best factor of all
		rest += math.Pow(all[i]-product/square*old[i]-want[i], 2)
		scale += math.Pow(all[i]-want[i], 2)
	}
	if rest < 0.1*scale {
		t.Errorf("delta rule: a factor of the older state leaves %g of %g", rest, scale)
	}
}

func negative(v []float64) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		out[i] = -v[i]
	}
	return out
}

// spread sums tokens [tokens, width] and repeats each of the width sums until there are n.
func spread(v []float64, width, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		for at := i / (n / width); at < len(v); at += width {
			out[i] += v[at]
		}
	}
	return out
}
