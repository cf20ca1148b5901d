package collapse

import (
	"math/rand/v2"
	"slices"
)

const (
	stateSamples = 2048 // positions kept for the bootstrap of the states
	lossSamples  = 8192
	fewPrompts   = 2 // below it the noise within the prompt is resampled instead
)

// span is an onset with its 95 % interval in tokens. Nil High: in more than
// 2.5 % of the resamples the onset lies beyond the end of the trace.
type span struct{ Onset, Low, High *int }

// interval turns resampled onsets (−1: not reached) into percentiles. The
// onset lies after the position before, so low starts there.
func interval(onset, before int, resampled []int) span {
	const never = int(^uint(0) >> 1)
	for i, o := range resampled {
		if o < 0 {
			resampled[i] = never
		}
	}
	slices.Sort(resampled)
	low := min(resampled[len(resampled)*25/1000], before+1, onset)
	high := max(resampled[(len(resampled)*975-1)/1000], onset)
	out := span{Onset: &onset, Low: &low, High: &high}
	if high == never {
		out.High = nil
	}
	return out
}

// resampler draws prompts with replacement; for a single prompt it resamples blocks of the residuals.
type resampler struct {
	s         series
	smooth    [][]float64 // nil: residuals stay
	residuals [][]float64
	block     int
	zones     []int // residuals move within the early, the settled and the later part only
	random    *rand.Rand
}

func newResampler(s series, block int, rule Rule, stream uint64, smooth func([]float64) []float64) *resampler {
	r := &resampler{s: s, block: max(block, 1), random: rand.New(rand.NewPCG(rule.Seed, stream))}
	r.zones = []int{0, s.settled(rule.TrainLength), s.window, len(s.positions)}
	if len(s.values) >= fewPrompts {
		return r
	}
	for _, v := range s.values {
		whole := (&series{positions: s.positions, values: [][]float64{v}}).mean(nil)
		smoothed := smooth(whole)
		residual := make([]float64, len(v))
		for i := range v {
			residual[i] = whole[i] - smoothed[i]
		}
		r.smooth = append(r.smooth, smoothed)
		r.residuals = append(r.residuals, residual)
	}
	return r
}

// draw returns one resampled mean curve.
func (r *resampler) draw() []float64 {
	prompts := len(r.s.values)
	weights := make([]float64, prompts)
	for range prompts {
		weights[r.random.IntN(prompts)]++
	}
	if r.smooth == nil {
		return r.s.mean(weights)
	}
	out := make([]float64, len(r.s.positions))
	for p, w := range weights {
		if w == 0 {
			continue
		}
		w /= float64(prompts)
		for z := range len(r.zones) - 1 {
			low, high := r.zones[z], r.zones[z+1]
			for from := low; from < high; from += r.block {
				source := r.random.IntN(high - low)
				for i := from; i < min(from+r.block, high); i++ {
					out[i] += w * (r.smooth[p][i] + r.residuals[p][low+(source+i-from)%(high-low)])
				}
			}
		}
	}
	return out
}

// stateInterval bootstraps the earliest onset over the exploding heads.
func stateInterval(heads []headSeries, found []Head, rule Rule) span {
	first, before := -1, 0
	earliest := make([]int, rule.Resamples)
	for i := range earliest {
		earliest[i] = -1
	}
	order := make([]int, 0, len(found))
	for i, h := range found {
		if h.Onset != nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return *found[a].Onset - *found[b].Onset })
	const most = 16 // later heads hardly ever set the earliest onset
	for _, i := range order[:min(most, len(order))] {
		h, onset := heads[i], *found[i].Onset
		at, _ := slices.BinarySearch(h.positions, onset)
		if first < 0 {
			first, before = onset, h.positions[max(at-1, 0)]
		}
		coarse := h.coarse(stateSamples)
		m := chooseSmoothing(coarse.positions, coarse.window, coarse.mean(nil), len(heads), rule)
		// One seed for all heads: a resample draws the same prompts everywhere.
		r := newResampler(coarse, m.wide, rule, 1, func(y []float64) []float64 { return runningMedian(y, m.wide) })
		for k := range earliest {
			if at := explosionOnset(coarse.positions, coarse.window, r.draw(), m, rule); at >= 0 {
				if p := coarse.positions[at]; earliest[k] < 0 || p < earliest[k] {
					earliest[k] = p
				}
			}
		}
	}
	return interval(first, before, earliest)
}

// lossInterval bootstraps the strict onset. The threshold is kept fixed, since it already lies above the level by twice the level's standard
// error.
func lossInterval(s series, d degradation, b bucketing, rule Rule) span {
	coarse := s.coarse(lossSamples)
	samples := max(1, int(float64(b.strict)/stride(coarse.positions)))
	r := newResampler(coarse, samples, rule, 2, func(y []float64) []float64 { return runningMean(y, samples/2) })
	onsets := make([]int, rule.Resamples)
	for k := range onsets {
		onsets[k] = -1
		if at := strictOnset(&coarse, r.draw(), d, b, rule); at >= 0 {
			onsets[k] = coarse.positions[at]
		}
	}
	return interval(s.positions[d.onset], s.positions[max(d.onset-1, 0)], onsets)
}

// runningMean averages half samples to each side.
func runningMean(y []float64, half int) []float64 {
	sums := make([]float64, len(y)+1)
	for i, v := range y {
		sums[i+1] = sums[i] + v
	}
	out := make([]float64, len(y))
	for i := range y {
		low, high := max(i-half, 0), min(i+half+1, len(y))
		out[i] = (sums[high] - sums[low]) / float64(high-low)
	}
	return out
}
