package collapse

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// series is one quantity of several prompts on the union of their positions.
type series struct {
	positions []int       // ascending, tokens
	values    [][]float64 // [prompt][position], NaN where a prompt has no row
	window    int         // number of positions inside the training length
}

// headKey names one head of one layer.
type headKey struct{ layer, head int64 }

// columns reads the position and prompt columns and checks them.
func columns(t *table.Table, what string) (prompts []string, positions []int64, err error) {
	if prompts, err = t.Text("prompt"); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	if positions, err = t.Int("position"); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(positions) == 0 {
		return nil, nil, fmt.Errorf("%s: the table has no rows", what)
	}
	for i, p := range positions {
		if p < 0 {
			return nil, nil, fmt.Errorf("%s: column \"position\", row %d: %d, want tokens from 0 on", what, i+1, p)
		}
	}
	return prompts, positions, nil
}

// gather builds one series per key from rows; keys[i] < 0 is not allowed.
// Rows of equal prompt and position are averaged. NaN rows are left out.
func gather(prompts []string, positions []int64, values []float64, group []int, groups int, trainLength int) []series {
	promptIndex, promptOf := map[string]int{}, make([]int, len(prompts))
	for row, p := range prompts {
		if row > 0 && p == prompts[row-1] {
			promptOf[row] = promptOf[row-1]
			continue
		}
		if _, ok := promptIndex[p]; !ok {
			promptIndex[p] = len(promptIndex)
		}
		promptOf[row] = promptIndex[p]
	}
	byGroup := make([][]int, groups)
	for row, v := range values {
		if !math.IsNaN(v) {
			byGroup[group[row]] = append(byGroup[group[row]], row)
		}
	}
	out := make([]series, groups)
	for g, rows := range byGroup {
		s := &out[g]
		grid := make([]int, len(rows))
		for i, row := range rows {
			grid[i] = int(positions[row])
		}
		slices.Sort(grid)
		s.positions = slices.Compact(grid)
		s.values = make([][]float64, len(promptIndex))
		counts := make([][]int, len(promptIndex))
		for p := range s.values {
			s.values[p] = make([]float64, len(s.positions))
			counts[p] = make([]int, len(s.positions))
		}
		i := -1
		for _, row := range rows {
			p, position := promptOf[row], int(positions[row])
			if i++; i >= len(s.positions) || s.positions[i] != position { // not the one after the row before
				i, _ = slices.BinarySearch(s.positions, position)
			}
			s.values[p][i] += values[row]
			counts[p][i]++
		}
		for p := range s.values {
			for i, n := range counts[p] {
				if n == 0 {
					s.values[p][i] = math.NaN()
				} else {
					s.values[p][i] /= float64(n)
				}
			}
		}
		s.dropEmptyPrompts()
		s.window, _ = slices.BinarySearch(s.positions, trainLength)
	}
	return out
}

func (s *series) dropEmptyPrompts() {
	s.values = slices.DeleteFunc(s.values, func(v []float64) bool {
		return !slices.ContainsFunc(v, func(x float64) bool { return !math.IsNaN(x) })
	})
}

// level removes the prompts' differences of level over positions from … window,
// so that a prompt that ends early does not shift the mean.
func (s *series) level(from int) {
	complete := true
	for _, v := range s.values {
		complete = complete && !slices.ContainsFunc(v, math.IsNaN)
	}
	if complete || len(s.values) < 2 {
		return
	}
	offsets := make([]float64, len(s.values))
	total, known := 0.0, 0
	for p, v := range s.values {
		offsets[p] = nanMean(v[min(from, s.window):s.window])
		if !math.IsNaN(offsets[p]) {
			total += offsets[p]
			known++
		}
	}
	for p, v := range s.values {
		if math.IsNaN(offsets[p]) {
			continue
		}
		shift := total/float64(known) - offsets[p]
		for i := range v {
			v[i] += shift
		}
	}
}

// mean averages the prompts with weights (nil: equal) at each position; where
// no weighted prompt has a value, the last one before is kept.
func (s *series) mean(weights []float64) []float64 {
	out := make([]float64, len(s.positions))
	all := 0.0
	for p, v := range s.values {
		w := 1.0
		if weights != nil {
			w = weights[p]
		}
		if w == 0 {
			continue
		}
		all += w
		for i, x := range v {
			out[i] += w * x
		}
	}
	if all > 0 && !slices.ContainsFunc(out, math.IsNaN) { // no prompt lacks a position
		for i := range out {
			out[i] /= all
		}
		return out
	}
	return s.sparseMean(weights)
}

func (s *series) sparseMean(weights []float64) []float64 {
	out := make([]float64, len(s.positions))
	total := make([]float64, len(s.positions))
	for p, v := range s.values {
		w := 1.0
		if weights != nil {
			w = weights[p]
		}
		if w == 0 {
			continue
		}
		for i, x := range v {
			if x == x {
				out[i] += w * x
				total[i] += w
			}
		}
	}
	last := math.NaN()
	for i := range out {
		if total[i] > 0 {
			last = out[i] / total[i]
		}
		out[i] = last
	}
	for i := len(out) - 2; i >= 0; i-- {
		if math.IsNaN(out[i]) {
			out[i] = out[i+1]
		}
	}
	return out
}

// coarse merges neighbouring positions into bins so that about limit remain; no
// bin crosses the end of the window. A bin's position is its first one.
func (s *series) coarse(limit int) series {
	if len(s.positions) <= limit {
		return *s
	}
	span := s.positions[len(s.positions)-1] + 1
	width := (span + limit - 1) / limit
	edge := s.positions[s.window]
	bin := func(position int) int {
		if position < edge {
			return -1 - (edge-1-position)/width
		}
		return (position - edge) / width
	}
	out := series{values: make([][]float64, len(s.values))}
	for from := 0; from < len(s.positions); {
		to := from + 1
		for to < len(s.positions) && bin(s.positions[to]) == bin(s.positions[from]) {
			to++
		}
		if from < s.window {
			out.window++
		}
		out.positions = append(out.positions, s.positions[from])
		for p, v := range s.values {
			out.values[p] = append(out.values[p], nanMean(v[from:to]))
		}
		from = to
	}
	return out
}

func nanMean(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if v == v {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// stride is the median distance between neighbouring positions, at least 1.
func stride(positions []int) float64 {
	if len(positions) < 2 {
		return 1
	}
	gaps := make([]float64, len(positions)-1)
	for i := range gaps {
		gaps[i] = float64(positions[i+1] - positions[i])
	}
	slices.Sort(gaps)
	return max(1, gaps[len(gaps)/2])
}

// runningMedian is the median over width (odd) samples around each one; at the
// borders the window is cut. Steps and monotone parts pass unchanged.
func runningMedian(y []float64, width int) []float64 {
	out := make([]float64, 0, len(y))
	eachMedian(y, width, func(m float64) bool {
		out = append(out, m)
		return true
	})
	return out
}

// eachMedian hands out the running medians one by one until visit says no.
func eachMedian(y []float64, width int, visit func(median float64) bool) {
	half := width / 2
	window := make([]float64, min(half, len(y)), width+1)
	copy(window, y) // in order
	slices.Sort(window)
	for i := range y {
		in, old := i+half, i-half-1
		switch {
		case in < len(y) && old >= 0:
			exchange(window, y[old], y[in])
		case in < len(y):
			window = slices.Insert(window, lowest(window, y[in]), y[in])
		case old >= 0:
			at := lowest(window, y[old])
			window = slices.Delete(window, at, at+1)
		}
		n := len(window)
		if n == 0 || !visit((window[(n-1)/2]+window[n/2])/2) {
			return
		}
	}
}

// exchange puts a value into an ordered window in place of another.
func exchange(window []float64, old, in float64) {
	from := lowest(window, old)
	to := lowest(window, in)
	if to > from {
		to--
		copy(window[from:to], window[from+1:to+1])
	} else {
		copy(window[to+1:from+1], window[to:from])
	}
	window[to] = in
}

// lowest is the first place in an ordered window whose value is not below v.
func lowest(window []float64, v float64) int {
	low, high := 0, len(window)
	for low < high {
		if mid := (low + high) / 2; window[mid] < v {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}
