package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// Noise measures how many bits a state effectively holds: sequences of a task are read up to the first question, noise is added to every
// number of the recurrent state, and the questions follow. A number with noise of standard deviation σ, relative to the root mean square of
// its head, carries at most
//
//	b(σ) = ½ log₂(1 + 1/σ²)
//
// bits (the capacity of a Gaussian channel), so the largest σ at which recall survives tells how many bits it needs.
type Noise struct {
	Task   *task.Task
	Count  int       // number of sequences
	Levels []float64 // values of σ, at least 0
	Seed   int64     // of the sequences; the noise has its own seed
}

// BitsUnder is b(σ) in bits, infinite for σ = 0.
func BitsUnder(sigma float64) float64 { return 0.5 * math.Log2(1+1/(sigma*sigma)) }

// NoiseRow summarises the answers of one member at one noise level.
type NoiseRow struct {
	Member int     `parquet:"member" doc:"number of the member, from 0"`
	Sigma  float64 `parquet:"sigma" doc:"noise, in root mean squares of a head's state"`
	Bits   float64 `parquet:"bits" doc:"bits that it leaves a number at most: ½·log2(1 + 1/sigma²); none without noise"`
	answered
}

// Run returns a table with one NoiseRow per level and member.
func (n Noise) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	if n.Task == nil || n.Count < 1 || len(n.Levels) == 0 {
		return nil, fmt.Errorf("noise: count is %d and there are %d levels, want a task and 1 or more of each", n.Count, len(n.Levels))
	}
	for _, sigma := range n.Levels {
		if !(sigma >= 0) || math.IsInf(sigma, 1) {
			return nil, fmt.Errorf("noise: level %g, want 0 or more", sigma)
		}
	}
	var out []NoiseRow
	err := altered{n.Task, n.Count, n.Seed}.ask(ctx, r, len(n.Levels), func(level, rows int, state lm.State) (lm.State, error) {
		return disturbed(r.Weights.Model, state, rows, n.Levels[level], uint64(level))
	}, func(level int, loss, hit []*cells) error {
		sigma, bits := n.Levels[level], math.NaN()
		if sigma > 0 {
			bits = BitsUnder(sigma)
		}
		for k := range loss {
			out = append(out, NoiseRow{k, sigma, bits, answersOf(loss[k], hit[k])})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("noise: %w", err)
	}
	return table.Of(out), nil
}

// disturbed adds noise to the recurrent parts of a state of rows sequences.
func disturbed(m lm.Model, state lm.State, rows int, sigma float64, stream uint64) (lm.State, error) {
	if sigma == 0 {
		return state, nil
	}
	out := lm.State{}
	for _, spec := range m.State(rows) {
		out[spec.Name] = state[spec.Name]
		if spec.Role != lm.Recurrent {
			continue
		}
		values, err := lm.Float64s(state[spec.Name])
		if err != nil {
			return nil, err
		}
		heads, _, _ := spec.Matrices()
		random := rand.New(rand.NewPCG(resampling, stream))
		size := len(values) / (spec.Dim(lm.Layer) * rows * heads)
		for one := range slices.Chunk(values, size) {
			squares := 0.0
			for _, v := range one {
				squares += v * v
			}
			scale := sigma * math.Sqrt(squares/float64(size))
			for i := range one {
				one[i] += scale * random.NormFloat64()
			}
		}
		if out[spec.Name], err = lm.FromFloat64s(values, state[spec.Name].DType(), state[spec.Name].Shape().Dimensions...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// BitsNeeded interpolates, from the rows of one member of Noise.Run, the bits per number at which accuracy drops to share times its
// noise-free value; 0 if it never drops that far, NaN if the first level is already too noisy.
func BitsNeeded(sigma, accuracy []float64, share float64) float64 {
	if len(sigma) == 0 || sigma[0] != 0 {
		return math.NaN()
	}
	want := share * accuracy[0]
	for i := 1; i < len(sigma); i++ {
		if accuracy[i] > want {
			continue
		}
		if i == 1 {
			return math.NaN()
		}
		a, b := BitsUnder(sigma[i-1]), BitsUnder(sigma[i])
		return a + (b-a)*(accuracy[i-1]-want)/(accuracy[i-1]-accuracy[i])
	}
	return 0
}
