package trace

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// StatesAt runs a prompt and returns the recurrent state after each token in positions (ascending, from 0), on the host:
// [positions][layers · heads · values · keys].
func StatesAt(ctx context.Context, r *lm.Runner, p prompt.Probe, positions []int) ([][]float64, error) {
	if _, err := checkPositions(positions, len(p.IDs)); err != nil {
		return nil, fmt.Errorf("prompt %q: %w", p.Name, err)
	}
	spec, err := lm.StateOf(r.Weights.Model, "")
	if err != nil {
		return nil, err
	}
	var state lm.State
	var all [][]float64
	from := 0
	for _, at := range positions {
		var err error
		if state, err = r.Run(ctx, [][]int32{p.IDs[from : at+1]}, state, lm.Request{}, nil); err != nil {
			return nil, fmt.Errorf("prompt %q: %w", p.Name, err)
		}
		v, err := spec.OnHost(state[spec.Name])
		if err != nil {
			return nil, err
		}
		all, from = append(all, v), at+1
	}
	return all, nil
}

func checkPositions(positions []int, tokens int) ([]int, error) {
	for i, at := range positions {
		if at < 0 || at >= tokens {
			return nil, fmt.Errorf("position %d does not exist, want 0 … %d", at, tokens-1)
		}
		if i > 0 && at <= positions[i-1] {
			return nil, fmt.Errorf("positions %v do not ascend", positions)
		}
	}
	return positions, nil
}

// Bin is one bin of the histogram of a head's state entries.
type Bin struct {
	Layer    int     `parquet:"layer" doc:"layer, from 0"`
	Head     int     `parquet:"head" doc:"head, from 0"`
	Position int     `parquet:"position" doc:"token after which the state is taken"`
	Left     float64 `parquet:"left" doc:"left edge of the bin"`
	Right    float64 `parquet:"right" doc:"right edge"`
	Count    int64   `parquet:"count" doc:"entries of the state in the bin, over all prompts"`
}

// Histograms counts the state entries of every layer and head after the tokens at positions, pooled over all prompts, in bins equal-width
// bins whose edges are shared by the positions: a table of [Bin]. It holds the states of all prompts and positions in memory.
func Histograms(ctx context.Context, r *lm.Runner, probes []prompt.Probe, positions []int, bins int) (*table.Table, error) {
	if bins < 1 || bins > 1<<16 {
		return nil, fmt.Errorf("trace: %d bins, want 1 … %d", bins, 1<<16)
	}
	if err := check(r, Config{}, probes); err != nil {
		return nil, err
	}
	d, err := dimsOf(r.Weights.Model, "")
	if err != nil {
		return nil, err
	}
	states := make([][][]float64, len(positions)) // [positions][probes]
	for _, p := range probes {
		s, err := StatesAt(ctx, r, p, positions)
		if err != nil {
			return nil, err
		}
		for i := range s {
			states[i] = append(states[i], s[i])
		}
	}
	var rows []Bin
	size := d.values * d.keys
	for l := range d.layers {
		for h := range d.heads {
			of := func(s []float64) []float64 { return s[(l*d.heads+h)*size:][:size] }
			low, high := math.Inf(1), math.Inf(-1)
			for _, at := range states {
				for _, s := range at {
					low, high = min(low, slices.Min(of(s))), max(high, slices.Max(of(s)))
				}
			}
			if low == high { // a constant state gets bins of total width 1 around it
				low, high = low-0.5, high+0.5
			}
			width := (high - low) / float64(bins)
			for i, at := range states {
				counts := make([]int64, bins)
				for _, s := range at {
					for _, v := range of(s) {
						if !math.IsNaN(v) {
							counts[min(int((v-low)/width), bins-1)]++
						}
					}
				}
				for b, n := range counts {
					rows = append(rows, Bin{l, h, positions[i], low + float64(b)*width, low + float64(b+1)*width, n})
				}
			}
		}
	}
	return table.Of(rows), nil
}
