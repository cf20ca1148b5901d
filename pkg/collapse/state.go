package collapse

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// Head is the finding for one head.
type Head struct {
	Layer int     `json:"layer"`
	Head  int     `json:"head"`
	Onset *int    `json:"onset"` // tokens; null where the head does not explode
	Ratio float64 `json:"ratio"` // largest norm beyond the training length over the largest within
}

// headSeries is one head with its log-norms.
type headSeries struct {
	headKey
	series
}

// loadStates reads prompt, position, layer, head and the rule's column.
func loadStates(t *table.Table, rule Rule) ([]headSeries, []string, error) {
	const what = "states"
	if err := t.Require("prompt", "position", "layer", "head", rule.Column); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	prompts, positions, err := columns(t, what)
	if err != nil {
		return nil, nil, err
	}
	layers, err := t.Int("layer")
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	heads, err := t.Int("head")
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	values, err := t.Float(rule.Column)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	logs, warnings, err := logarithms(values, rule.Column)
	if err != nil {
		return nil, nil, err
	}
	index := map[headKey]int{}
	var keys []headKey
	group := make([]int, len(values))
	for i := range values {
		key := headKey{layers[i], heads[i]}
		g, ok := index[key]
		if !ok {
			g = len(keys)
			index[key] = g
			keys = append(keys, key)
		}
		group[i] = g
	}
	out := make([]headSeries, len(keys))
	for g, s := range gather(prompts, positions, logs, group, len(keys), rule.TrainLength) {
		key := keys[g]
		if s.window < 3 && s.window < len(s.positions) && s.positions[s.window] == rule.TrainLength {
			s.window++
		}
		if s.window == 0 {
			return nil, nil, fmt.Errorf("states: layer %d head %d has no value at a position below the training length %d", key.layer, key.head, rule.TrainLength)
		}
		if s.window == len(s.positions) {
			return nil, nil, fmt.Errorf("states: layer %d head %d ends at position %d, positions beyond the training length %d are needed: trace a longer text or lower the training length",
				key.layer, key.head, s.positions[len(s.positions)-1], rule.TrainLength)
		}
		s.level(0)
		out[g] = headSeries{key, s}
	}
	slices.SortFunc(out, func(a, b headSeries) int {
		if a.layer != b.layer {
			return int(a.layer - b.layer)
		}
		return int(a.head - b.head)
	})
	if out[0].window < 4 {
		warnings = append(warnings, fmt.Sprintf("states: only %d positions within the training length; the band rests on them", out[0].window))
	}
	return out, warnings, nil
}

// logarithms returns the logs of values. Zeros are replaced by 1e-12 of the largest value and +Inf by the largest float; NaN is kept and
// counts as missing.
func logarithms(values []float64, column string) ([]float64, []string, error) {
	largest, bad := 0.0, 0
	for i, v := range values {
		switch {
		case math.IsNaN(v):
			bad++
		case v < 0:
			return nil, nil, fmt.Errorf("states: column %q, row %d: %v, want values of at least 0", column, i+1, v)
		case !math.IsInf(v, 1):
			largest = max(largest, v)
		}
	}
	if bad == len(values) {
		return nil, nil, fmt.Errorf("states: column %q holds no number in %d rows", column, len(values))
	}
	var warnings []string
	if bad > 0 {
		warnings = append(warnings, fmt.Sprintf("states: %d of %d values are missing and left out", bad, len(values)))
	}
	floor := max(largest*1e-12, 1e-300)
	logs := make([]float64, len(values))
	for i, v := range values {
		logs[i] = v
		if !math.IsNaN(v) {
			logs[i] = math.Log(min(max(v, floor), math.MaxFloat64))
		}
	}
	return logs, warnings, nil
}

// smoothing holds the widths, in samples, of the running medians of a log-norm series (narrow within the window, wide beyond) and the excess
// over the in-window band, in log, that counts as above it. All are chosen from the noise of the series.
type smoothing struct {
	narrow, wide int
	excess       float64
	step         float64 // tokens between samples
}

// chooseSmoothing estimates the noise of y. If noise alone would exceed K in more than one of a hundred tables with this many heads, the
// excess is raised until it does not.
func chooseSmoothing(positions []int, window int, y []float64, heads int, rule Rule) smoothing {
	step := stride(positions)
	samples := float64(rule.M) / 2 / step
	noise, logK, beyond := spread(y), math.Log(rule.K), len(y)-window
	m := smoothing{narrow: 1, step: step}
	if window >= 6 {
		m.narrow = odd(max(3, min(samples, float64(window)/8)))
	}
	m.wide = odd(max(3, samples, min(square(15*noise/logK), float64(beyond)/4, 257)))
	m.excess = max(logK, noise*unlucky(window, m.narrow, beyond, m.wide, heads))
	return m
}

// explosion finds the first run above the band in one log-norm series. It returns the index of the onset (−1: none) and the log of the
// ratio.
//
// A running median keeps steps in place and removes single outliers. A run lasts from its first sample to the next one below the threshold.
func explosion(positions []int, window int, y []float64, m smoothing, rule Rule) (onset int, logRatio float64) {
	band := slices.Max(runningMedian(y[:window], m.narrow))
	onset, highest := firstRun(positions, window, y, band+m.excess, m, rule, true)
	return onset, highest - band
}

// explosionOnset returns only the onset, so it can stop there.
func explosionOnset(positions []int, window int, y []float64, m smoothing, rule Rule) int {
	band := slices.Max(runningMedian(y[:window], m.narrow))
	onset, _ := firstRun(positions, window, y, band+m.excess, m, rule, false)
	return onset
}

// firstRun returns the index of the first sample of the first sufficiently long run above the threshold, and the largest running median:
// of all samples beyond the window, or of those up to the run.
func firstRun(positions []int, window int, y []float64, threshold float64, m smoothing, rule Rule, all bool) (onset int, highest float64) {
	beyond := positions[window:]
	needed := min(max((len(beyond)+5)/6, 1), 3)
	onset, highest = -1, math.Inf(-1)
	enough := func(start, samples int, span float64) {
		if onset < 0 && span >= float64(rule.M) && samples >= needed {
			onset = window + start
		}
	}
	// The wide median also covers the last samples within the window.
	from := max(0, window-m.wide/2)
	i, start := from-window-1, -1
	eachMedian(y[from:], m.wide, func(median float64) bool {
		if i++; i < 0 {
			return true
		}
		highest = max(highest, median)
		switch {
		case median > threshold && start < 0:
			start = i
		case median > threshold: // the run lasts at least up to here
			enough(start, i+1-start, float64(beyond[i]-beyond[start]))
		case start >= 0:
			enough(start, i-start, float64(beyond[i]-beyond[start]))
			start = -1
		}
		return all || onset < 0
	})
	if last := len(beyond) - 1; start >= 0 {
		enough(start, last+1-start, float64(beyond[last]-beyond[start])+m.step)
	}
	return onset, highest
}

// unlucky is how far, in units of the sample noise, smoothed noise can exceed the band by chance, when the largest median beyond the window
// happens to be high and the largest within it low.
func unlucky(window, narrow, beyond, width, heads int) float64 {
	chance := 0.01 / float64(heads) * min(1, float64(width)/float64(beyond))
	independent := max(1, 0.75*float64(window)/float64(narrow))
	high := 1.25 / math.Sqrt(float64(width)) * normalQuantile(1-chance)
	low := 1.25 / math.Sqrt(float64(narrow)) * normalQuantile(1-math.Pow(chance, 1/independent))
	return high + max(0, low)
}

// normalQuantile is the p-quantile of the standard normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

func odd(x float64) int { return int(x)/2*2 + 1 }

func square(x float64) float64 { return x * x }

// spread estimates the sample noise of a smooth series from the median magnitude of its second differences, whose standard deviation is √6
// times the noise.
func spread(y []float64) float64 {
	if len(y) < 5 {
		return 0
	}
	d := make([]float64, len(y)-2)
	for i := range d {
		d[i] = math.Abs(y[i+2] - 2*y[i+1] + y[i])
	}
	slices.Sort(d)
	return 1.4826 * d[len(d)/2] / math.Sqrt(6)
}

// judgeHead applies the rule to one head's mean over prompts.
func judgeHead(h headSeries, heads int, rule Rule) Head {
	y := h.mean(nil)
	m := chooseSmoothing(h.positions, h.window, y, heads, rule)
	at, logRatio := explosion(h.positions, h.window, y, m, rule)
	out := Head{Layer: int(h.layer), Head: int(h.head), Ratio: math.Exp(min(logRatio, 709))}
	if at >= 0 {
		out.Onset = &h.positions[at]
	}
	return out
}
