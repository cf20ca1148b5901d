package eval

import (
	"fmt"
	"math"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/table"
)

// interval95 is the half-width of a 95 % normal interval in standard errors.
const interval95 = 1.96

// tally accumulates the trials in one cell of a grid.
type tally struct {
	sum   float64
	n     int
	share bool // every value so far was 0 or 1
}

func (c *tally) add(v float64) {
	c.share = (c.share || c.n == 0) && (v == 0 || v == 1)
	c.sum += v
	c.n++
}

// wilson is the Wilson interval of a proportion, NaN for means of other values.
func (c *tally) wilson() (low, high float64, err error) {
	if !c.share {
		return math.NaN(), math.NaN(), nil
	}
	return prompt.Wilson(int(c.sum), c.n, interval95)
}

// tallies groups a column of a passkey table by length and, if byDepth, by depth.
func tallies(t *table.Table, column string, byDepth bool) (lengths []int, depths []float64, cells map[[2]float64]*tally, err error) {
	if err := t.Require("length", "depth", column); err != nil {
		return nil, nil, nil, fmt.Errorf("passkey table: %w", err)
	}
	length, err := t.Int("length")
	if err != nil {
		return nil, nil, nil, err
	}
	depth, err := t.Float("depth")
	if err != nil {
		return nil, nil, nil, err
	}
	values, err := t.Float(column)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(values) == 0 {
		return nil, nil, nil, fmt.Errorf("passkey table: no rows")
	}
	cells = map[[2]float64]*tally{}
	for i, v := range values {
		key := [2]float64{float64(length[i]), depth[i]}
		if !byDepth {
			key[1] = 0
		}
		if cells[key] == nil {
			cells[key] = &tally{}
		}
		cells[key].add(v)
		lengths, depths = append(lengths, int(length[i])), append(depths, key[1])
	}
	slices.Sort(lengths)
	slices.Sort(depths)
	return slices.Compact(lengths), slices.Compact(depths), cells, nil
}

// Share is the mean of a column of a passkey table over trials.
type Share struct {
	Length   int     `parquet:"length" doc:"length of the prompts in tokens"`
	Depth    float64 `parquet:"depth" doc:"where the key stands, from 0 (start) to 1 (end)"`
	Accuracy float64 `parquet:"accuracy" doc:"mean of the column"`
	Low      float64 `parquet:"low" doc:"lower end of its 95 % Wilson interval, where all values are 0 or 1"`
	High     float64 `parquet:"high" doc:"upper end"`
	Trials   int     `parquet:"trials" doc:"number of prompts"`
}

// Grid averages a column of a passkey table (exact, substring, probability, …) over trials, by length and depth: a table of Share.
func Grid(t *table.Table, column string) (*table.Table, error) { return grid(t, column, true) }

// ByLength also averages over depths; the depth column is 0.
func ByLength(t *table.Table, column string) (*table.Table, error) { return grid(t, column, false) }

func grid(t *table.Table, column string, byDepth bool) (*table.Table, error) {
	lengths, depths, cells, err := tallies(t, column, byDepth)
	if err != nil {
		return nil, err
	}
	var out []Share
	for _, n := range lengths {
		for _, d := range depths {
			c := cells[[2]float64{float64(n), d}]
			if c == nil {
				continue
			}
			l, h, err := c.wilson()
			if err != nil {
				return nil, err
			}
			out = append(out, Share{n, d, c.sum / float64(c.n), l, h, c.n})
		}
	}
	return table.Of(out), nil
}

// LongestRecall is T_recall: the largest length at which a 0/1 column (exact, substring, …) averages at least threshold (0.95 in the paper)
// over all depths and trials, with Wilson intervals.
func LongestRecall(t *table.Table, column string, threshold float64) (prompt.RecallLength, error) {
	lengths, _, cells, err := tallies(t, column, false)
	if err != nil {
		return prompt.RecallLength{}, err
	}
	var trials []prompt.Trials
	for _, n := range lengths {
		c := cells[[2]float64{float64(n), 0}]
		if !c.share {
			return prompt.RecallLength{}, fmt.Errorf("recall length: column %q holds other values than 0 and 1", column)
		}
		trials = append(trials, prompt.Trials{Length: n, Successes: int(c.sum), Trials: c.n})
	}
	return prompt.Recall(trials, threshold, interval95)
}

// LastShare is the accuracy on keys that lie within the last tokens, for prompts of one length.
type LastShare struct {
	Length   int     `parquet:"length" doc:"length of the prompts in tokens"`
	Last     int     `parquet:"last" doc:"number of last tokens"`
	Accuracy float64 `parquet:"accuracy" doc:"accuracy on keys that stand among them"`
}

// LastTokens returns one LastShare for each length and each entry of last. Combinations without any depth inside the last tokens are
// omitted. Depths must be evenly spaced.
func LastTokens(t *table.Table, column string, last []int) (*table.Table, error) {
	lengths, depths, cells, err := tallies(t, column, true)
	if err != nil {
		return nil, err
	}
	var out []LastShare
	for _, n := range lengths {
		var byDepth []float64
		for _, d := range depths {
			if c := cells[[2]float64{float64(n), d}]; c != nil {
				byDepth = append(byDepth, c.sum/float64(c.n))
			}
		}
		for _, r := range last {
			if r > n || r*len(byDepth) < n {
				continue
			}
			a, err := prompt.LastTokens(byDepth, n, r)
			if err != nil {
				return nil, err
			}
			out = append(out, LastShare{n, r, a})
		}
	}
	return table.Of(out), nil
}
