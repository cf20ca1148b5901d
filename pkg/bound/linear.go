package bound

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
)

// Rank is the largest number of keys that the heads of a state can separate exactly: a head of P×N numbers, written by outer products of
// a value (P) and a key (N) and read as S·k, can return arbitrary values for N independent keys but not for N+1.
func Rank(scalars, heads, headDim int) int { return heads * (scalars / (heads * headDim)) }

// strata is the number of age groups that Interference distinguishes.
const strata = 64

// Interference is the expected accuracy over items whose keys are random unit vectors in N dimensions and whose values are random ±1
// codes in P channels, written in sequence as S ← α·S + v·kᵀ and read as S·k; the answer is the nearest code. Let w_i = α^(j−i) be the
// weight of item i relative to the queried item j, and
//
//	ν = Σ_{i≠j} w_i²/N   noise in each channel, since E⟨k_i, k_j⟩² = 1/N
//
// The right code scores N(P, Pν), a code that is not in memory N(0, P(1+ν)) and the code of item i N(0, P(1+ν) + P²w_i²/N). Scores are
// treated as independent; the result is at least chance.
func Interference(items, keyDim, channels, values int, decay float64) float64 {
	groups := min(items, strata)
	age := func(g int) float64 { return (float64(g)+0.5)*float64(items)/float64(groups) - 0.5 }
	share := float64(items) / float64(groups)
	total := 0.0
	for asked := range groups {
		weights, counts, noise := make([]float64, groups), make([]float64, groups), 0.0
		for g := range groups {
			weights[g], counts[g] = math.Pow(decay, 2*(age(g)-age(asked))), share
			if g == asked {
				counts[g]--
			}
			noise += counts[g] * weights[g] / float64(keyDim)
		}
		total += nearest(noise, weights, counts, keyDim, channels, values)
	}
	return max(total/float64(groups), 1/float64(values))
}

// nearest is the probability that the right code scores highest under noise of variance ν, with counts other items of squared weights
// weights in memory.
func nearest(noise float64, weights, counts []float64, keyDim, channels, values int) float64 {
	if math.IsInf(noise, 1) {
		return 1 / float64(values)
	}
	p, items := float64(channels), 0.0
	for _, c := range counts {
		items += c
	}
	logPhi := func(x float64) float64 { return math.Log(0.5 * math.Erfc(-x/math.Sqrt2)) }
	others := float64(values - 1)
	absent := others * math.Pow(1-1/float64(values), items)
	each := 0.0
	if items > 0 {
		each = (others - absent) / items // distinct wrong codes in memory per item
	}
	density := func(z float64) float64 {
		x := p + z*math.Sqrt(p*noise)
		log := absent * logPhi(x/math.Sqrt(p*(1+noise)))
		for i, w := range weights {
			log += counts[i] * each * logPhi(x/math.Sqrt(p*(1+noise)+p*p*w/float64(keyDim)))
		}
		return math.Exp(log-z*z/2) / math.Sqrt(2*math.Pi)
	}
	return min(1, quad.Fixed(density, -9, 9, 128, nil, 0))
}

// Cache is the number of tokens whose keys and values fit into bytes, for the given number of layers, width per layer and bytes per scalar.
func Cache(bytes float64, layers, width int, scalarBytes float64) int {
	return int(bytes / (2 * float64(layers*width) * scalarBytes))
}

// CacheAccuracy is the accuracy over items of equal size when the last window of them are cached and the rest are guessed.
func CacheAccuracy(window, items, values int) float64 {
	held := float64(min(window, items)) / float64(items)
	return held + (1-held)/float64(values)
}
