package collapse

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// loadLosses reads prompt, position and loss.
func loadLosses(t *table.Table, rule Rule) (series, []string, error) {
	const what = "losses"
	if err := t.Require("prompt", "position", "loss"); err != nil {
		return series{}, nil, fmt.Errorf("%s: %w", what, err)
	}
	prompts, positions, err := columns(t, what)
	if err != nil {
		return series{}, nil, err
	}
	losses, err := t.Float("loss")
	if err != nil {
		return series{}, nil, fmt.Errorf("%s: %w", what, err)
	}
	values, bad := losses, 0
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			bad++
		case math.IsInf(v, 0):
			return series{}, nil, fmt.Errorf("losses: %s, of prompt %s at position %d: loss is %v; no mean can be formed with it: score the model again in float32, or leave the line empty (missing)",
				t.Place(i), prompts[i], positions[i], v)
		}
	}
	if bad == len(values) {
		return series{}, nil, fmt.Errorf("losses: column \"loss\" holds no number in %d rows", len(values))
	}
	var warnings []string
	if bad > 0 {
		warnings = append(warnings, fmt.Sprintf("losses: %d of %d values are missing and left out", bad, len(values)))
	}
	s := gather(prompts, positions, values, make([]int, len(values)), 1, rule.TrainLength)[0]
	if s.window == 0 {
		return s, nil, fmt.Errorf("losses: no value at a position below the training length %d", rule.TrainLength)
	}
	if s.window == len(s.positions) {
		return s, nil, fmt.Errorf("losses: the last position is %d, positions beyond the training length %d are needed: score a longer text or lower the training length",
			s.positions[len(s.positions)-1], rule.TrainLength)
	}
	s.level(s.settled(rule.TrainLength))
	return s, warnings, nil
}

// settled is the index of the first position in the second half of the window, or 0 if there is none.
func (s *series) settled(trainLength int) int {
	from, _ := slices.BinarySearch(s.positions, (trainLength+1)/2)
	if from >= s.window {
		return 0
	}
	return from
}

// degradation holds the findings of the three rules for one mean loss curve.
type degradation struct {
	paper, perplexity, strict bool
	onset                     int // index of the strict onset, −1: none
	level, threshold          float64
	windowMax                 float64 // nats, over the buckets of the paper's rule
}

// bucketing holds the bucket widths in tokens, chosen from the noise of the curve so that noise does not trigger a rule.
type bucketing struct {
	loose, strict int     // paper and perplexity rules; strict rule
	step          float64 // tokens between samples
	deviation     float64 // standard deviation of the strict buckets' means, nats
	guard         float64 // twice the standard error of the excess over the level, nats
	chance        float64 // largest excess of a bucket over the in-window maximum that noise alone explains, nats
}

// sampleNoise estimates the standard deviation of single samples around a slowly moving mean from first differences. The three largest
// differences are left out: steps are not noise.
func sampleNoise(y []float64) float64 {
	if len(y) < 3 {
		return 0
	}
	d := make([]float64, len(y)-1)
	for i := range d {
		d[i] = square(y[i+1] - y[i])
	}
	slices.Sort(d)
	if len(d) >= 10 {
		d = d[:len(d)-3]
	}
	sum := 0.0
	for _, v := range d {
		sum += v
	}
	return math.Sqrt(sum / float64(len(d)) / 2)
}

func chooseBuckets(s *series, y []float64, level float64, rule Rule) bucketing {
	noise, step := sampleNoise(y), stride(s.positions)
	most := float64(len(y)-s.window) / 16
	width := func(tolerance, most float64) int {
		samples := math.Ceil(square(noise / tolerance))
		return int(math.Ceil(min(samples, max(most, 1)) * max(step, 1)))
	}
	loose := math.Log(rule.Factor) / 5
	if level > 0 {
		loose = min(loose, level*(rule.Factor-1)/5)
	}
	// The paper's rule needs several buckets within the window, the strict rule only their level.
	b := bucketing{step: step, loose: width(loose, min(most, float64(rule.TrainLength)/step/4)), strict: width(rule.Margin/2, most)}
	b.loose, b.strict = max(b.loose, 1), max(b.strict, 1)
	if rule.Bucket > 0 {
		b.loose, b.strict = rule.Bucket, rule.Bucket
	}
	looseBuckets, _ := bucketMeans(s.positions, y, s.window, len(y), b.loose, rule.TrainLength)
	perBucket := float64(len(y)-s.window) / float64(len(looseBuckets))
	b.chance = math.Sqrt2 * noise / math.Sqrt(perBucket) * normalQuantile(1-0.01/float64(len(looseBuckets)+1))
	means, starts := bucketMeans(s.positions, y, s.window, len(y), b.strict, rule.TrainLength)
	b.deviation = noise / math.Sqrt(float64(len(y)-s.window)/float64(len(means)))
	if len(means) >= 16 {
		b.deviation = max(b.deviation, sampleNoise(means))
	}
	settled := s.settled(rule.TrainLength)
	b.guard = 2 * max(noise/math.Sqrt(float64(s.window-settled)), s.promptError(settled, starts))
	return b
}

// promptError is the standard error over prompts of (bucket mean − the prompt's own level), of which it takes the lower quartile over
// buckets; 0 for fewer than four prompts.
func (s *series) promptError(settled int, starts []int) float64 {
	if len(s.values) < 4 {
		return 0
	}
	var errors []float64
	for b := range len(starts) - 1 {
		var sum, squares, n float64
		for _, v := range s.values {
			if x := nanMean(v[starts[b]:starts[b+1]]) - nanMean(v[settled:s.window]); x == x {
				sum += x
				squares += x * x
				n++
			}
		}
		if n >= 4 {
			errors = append(errors, math.Sqrt(max(0, squares/n-square(sum/n))/(n-1)))
		}
	}
	if len(errors) == 0 {
		return 0
	}
	slices.Sort(errors)
	// A low quantile, because prompts differ more where some have degraded.
	return errors[len(errors)/4]
}

// bucketMeans averages y over ranges of width tokens, counted from the training length. starts are the indices into y at which they begin,
// followed by the end of the last one.
func bucketMeans(positions []int, y []float64, from, to, width, origin int) (means []float64, starts []int) {
	index := func(i int) int {
		d := positions[i] - origin
		if d < 0 {
			return -1 - (-d-1)/width
		}
		return d / width
	}
	for i := from; i < to; {
		end, sum := i, 0.0
		for end < to && index(end) == index(i) {
			sum += y[end]
			end++
		}
		means = append(means, sum/float64(end-i))
		starts = append(starts, i)
		i = end
	}
	return means, append(starts, to)
}

// degrade applies the three rules to one mean loss curve y over the positions of s.
func degrade(s *series, y []float64, b bucketing, rule Rule) degradation {
	n, settled := len(y), s.settled(rule.TrainLength)
	d := degradation{level: nanMean(y[settled:s.window])}

	inside, _ := bucketMeans(s.positions, y, 0, s.window, b.loose, rule.TrainLength)
	d.windowMax = slices.Max(inside)
	outside, _ := bucketMeans(s.positions, y, s.window, n, b.loose, rule.TrainLength)
	worst := slices.Max(outside)
	beyondChance := worst-d.windowMax > b.chance
	d.paper = d.windowMax > 0 && worst > rule.Factor*d.windowMax && beyondChance
	d.perplexity = worst-d.windowMax > math.Log(rule.Factor) && beyondChance

	d.threshold = d.level + rule.Margin + b.guard
	d.onset = strictOnset(s, y, d, b, rule)
	d.strict = d.onset >= 0
	return d
}

// strictOnset returns the index in y of the first run of buckets above d.threshold that is long enough in tokens and in buckets, or −1.
func strictOnset(s *series, y []float64, d degradation, b bucketing, rule Rule) int {
	means, starts := bucketMeans(s.positions, y, s.window, len(y), b.strict, rule.TrainLength)
	needed := bucketsNeeded(len(means), b.deviation, rule.Margin)
	for i := 0; i < len(means); i++ {
		if means[i] <= d.threshold {
			continue
		}
		end := i
		for end < len(means) && means[end] > d.threshold {
			end++
		}
		last := float64(s.positions[starts[end]-1]) + b.step
		if end < len(means) {
			last = float64(s.positions[starts[end]])
		}
		if end-i >= needed && last-float64(s.positions[starts[i]]) >= float64(rule.M) {
			return crossing(y, starts, i, d.level, d.threshold)
		}
		i = end
	}
	return -1
}

// bucketsNeeded is the number of consecutive buckets above the margin that noise of this standard deviation produces in at most one table
// of a hundred.
func bucketsNeeded(buckets int, deviation, margin float64) int {
	least := min(max((buckets+5)/6, 1), 2)
	if deviation <= 0 {
		return least
	}
	p := math.Erfc(margin/deviation/math.Sqrt2) / 2
	return max(least, int(math.Ceil(math.Log(0.01/float64(buckets))/math.Log(max(p, 1e-300)))))
}

// crossing refines the onset within the run's first bucket and the one before it: the cumulative sum of (y − level in between) is smallest
// where the curve begins to stay above that level.
func crossing(y []float64, starts []int, run int, level, threshold float64) int {
	after := starts[min(run+1, len(starts)-2)]
	upper := (level + nanMean(y[after:starts[min(run+2, len(starts)-1)]])) / 2
	threshold = max(threshold, upper)
	best, at, sum := 0.0, starts[max(run-1, 0)], 0.0
	for i := at; i < starts[run+1]; i++ {
		sum += y[i] - threshold
		if sum < best {
			best, at = sum, i+1
		}
	}
	return min(at, starts[run+1]-1)
}
