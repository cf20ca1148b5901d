package collapse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"stuffed/pkg/table"
)

var nan = math.NaN()

// Select returns the n heads with the largest explosion ratio in decreasing order; ties are ordered by layer and head.
func Select(heads []Head, n int) []Head {
	out := slices.Clone(heads)
	slices.SortStableFunc(out, func(a, b Head) int {
		switch {
		case a.Ratio > b.Ratio:
			return -1
		case a.Ratio < b.Ratio:
			return 1
		case a.Layer != b.Layer:
			return a.Layer - b.Layer
		}
		return a.Head - b.Head
	})
	return out[:min(max(n, 0), len(out))]
}

// HeadRetention is the share of the first token that a head retains at the end of the training length.
type HeadRetention struct {
	Layer     int64   `parquet:"layer" doc:"layer, from 0"`
	Head      int64   `parquet:"head" doc:"head, from 0"`
	Retention float64 `parquet:"retention" doc:"share that is retained, mean over prompts"`
}

// RetentionAt computes, from a state table as a trace writes it (layer, head, position and log_retention or retention), the share of the
// first token retained at the end of the training length: a table of [HeadRetention]. It averages the logarithm where that is available,
// since retention itself may underflow.
func RetentionAt(states *table.Table, trainLength int) (*table.Table, error) {
	column := "log_retention"
	if !states.Has(column) {
		column = "retention"
	}
	if err := states.Require("prompt", "position", "layer", "head", column); err != nil {
		return nil, fmt.Errorf("states: %w", err)
	}
	prompts, positions, err := columns(states, "states")
	if err != nil {
		return nil, err
	}
	layers, err := states.Int("layer")
	if err != nil {
		return nil, fmt.Errorf("states: %w", err)
	}
	heads, err := states.Int("head")
	if err != nil {
		return nil, fmt.Errorf("states: %w", err)
	}
	values, err := states.Float(column)
	if err != nil {
		return nil, fmt.Errorf("states: %w", err)
	}
	width := make([]int64, len(values)) // tokens of a row
	if states.Has("tokens") {
		if width, err = states.Int("tokens"); err != nil {
			return nil, fmt.Errorf("states: %w", err)
		}
	}
	type series struct {
		headKey
		prompt string
	}
	latest := map[series]int{} // row
	var order []series
	for row := range values {
		if positions[row]+max(width[row], 1) > int64(trainLength) || math.IsNaN(values[row]) {
			continue
		}
		key := series{headKey{layers[row], heads[row]}, prompts[row]}
		if at, ok := latest[key]; !ok {
			order = append(order, key)
			latest[key] = row
		} else if positions[row] > positions[at] {
			latest[key] = row
		}
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("states: no row ends within the training length %d; trace with a smaller bucket", trainLength)
	}
	sums, counts := map[headKey]float64{}, map[headKey]float64{}
	var keys []headKey
	for _, key := range order {
		if counts[key.headKey] == 0 {
			keys = append(keys, key.headKey)
		}
		sums[key.headKey] += values[latest[key]]
		counts[key.headKey]++
	}
	var rows []HeadRetention
	for _, key := range keys {
		v := sums[key] / counts[key]
		if column == "log_retention" {
			v = math.Exp(v)
		}
		rows = append(rows, HeadRetention{key.layer, key.head, v})
	}
	return table.Of(rows), nil
}

// Correlation is Spearman's rank correlation with a 95 % bootstrap interval.
type Correlation struct {
	Rho  float64 `json:"rho"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	N    int     `json:"n"` // heads
}

// RetentionCorrelation computes the rank correlation, over heads, of retention at the training length (table layer, head, retention) with
// the explosion ratio. Heads present on one side only are left out; fewer than four common heads are an error. Constant columns have no
// rank order and give NaN.
func RetentionCorrelation(heads []Head, retention *table.Table, seed uint64) (Correlation, error) {
	if err := retention.Require("layer", "head", "retention"); err != nil {
		return Correlation{}, fmt.Errorf("retention: %w", err)
	}
	layers, err := retention.Int("layer")
	if err != nil {
		return Correlation{}, fmt.Errorf("retention: %w", err)
	}
	numbers, err := retention.Int("head")
	if err != nil {
		return Correlation{}, fmt.Errorf("retention: %w", err)
	}
	values, err := retention.Float("retention")
	if err != nil {
		return Correlation{}, fmt.Errorf("retention: %w", err)
	}
	ratios := map[headKey]float64{}
	for _, h := range heads {
		ratios[headKey{int64(h.Layer), int64(h.Head)}] = h.Ratio
	}
	var x, y []float64
	for i, v := range values {
		if ratio, ok := ratios[headKey{layers[i], numbers[i]}]; ok && !math.IsNaN(v) {
			x, y = append(x, v), append(y, ratio)
		}
	}
	if len(x) < 4 {
		return Correlation{}, fmt.Errorf("retention: %d heads are in both tables, at least 4 are needed", len(x))
	}
	out := Correlation{Rho: spearman(x, y), N: len(x)}
	random := rand.New(rand.NewPCG(seed, 0xc0))
	rhos := make([]float64, 0, 2000)
	a, b := make([]float64, len(x)), make([]float64, len(x))
	for range cap(rhos) {
		for i := range a {
			k := random.IntN(len(x))
			a[i], b[i] = x[k], y[k]
		}
		if rho := spearman(a, b); !math.IsNaN(rho) {
			rhos = append(rhos, rho)
		}
	}
	out.Low, out.High = nan, nan
	if len(rhos) > 0 && !math.IsNaN(out.Rho) {
		slices.Sort(rhos)
		out.Low, out.High = rhos[len(rhos)*25/1000], rhos[(len(rhos)*975-1)/1000]
	}
	return out, nil
}

// spearman is the Pearson correlation of ranks, ties sharing their mean rank.
func spearman(x, y []float64) float64 {
	return stat.Correlation(ranks(x), ranks(y), nil)
}

func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case values[a] < values[b]:
			return -1
		case values[a] > values[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j-1) / 2
		}
		i = j
	}
	return out
}
