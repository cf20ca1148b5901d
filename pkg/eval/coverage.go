package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Coverage measures whether the states that a model reaches beyond its training length T resemble those reached within it (the “unexplored
// states” of arXiv 2507.02782). Reference states are those at ½T, ¾T and T of all rows, later states those at 5/4, 6/4 and 8/4 of T, 2T,
// 4T, …; each is the vector of all entries of a head.
type Coverage struct {
	T int
}

// Covered says how far the states of one head in one octave lie from the reference states.
type Covered struct {
	Position  int     `parquet:"position" doc:"first position of the octave, in tokens; 0: the two halves of the sequences within the window, where nothing differs"`
	End       int     `parquet:"end" doc:"position after the octave"`
	Layer     int     `parquet:"layer" doc:"layer, from 0"`
	Head      int     `parquet:"head" doc:"head, from 0"`
	Distance  float64 `parquet:"distance" doc:"energy coefficient of the two distributions: 0 where they are alike, towards 1 where they lie apart"`
	Low       float64 `parquet:"distance_low" doc:"lower end of its 95 % interval, jackknife over sequences"`
	High      float64 `parquet:"distance_high" doc:"upper end"`
	Direction float64 `parquet:"direction" doc:"the distance of the states divided by their norms"`
	Outside   float64 `parquet:"outside" doc:"share of states that are farther from the window's states of other sequences than 95 % of those are"`
}

// Run returns a table of Covered: one row per head and octave beyond T, and one at position 0 that compares reference states with each
// other. The energy coefficient over pairs from different rows is (2 E‖X−Y‖ − E‖X−X'‖ − E‖Y−Y'‖) / 2 E‖X−Y‖.
func (c Coverage) Run(ctx context.Context, r *lm.Runner, rows [][]int32) (*table.Table, error) {
	if c.T < 8 || c.T%4 != 0 || len(rows) < 4 || len(rows[0]) < 2*c.T {
		return nil, fmt.Errorf("coverage: T is %d and there are %d rows; want a T that is a multiple of 4, 8 or more, and 4 rows or more of at least 2 T tokens", c.T, len(rows))
	}
	spec, err := lm.StateOf(r.Weights.Model, "")
	if err != nil {
		return nil, err
	}
	heads, values, keys := spec.Matrices()
	size := values * keys
	ends, edges := c.looks(len(rows[0]))
	own := r.With(r.Weights)
	own.Piece = c.T / 4
	var samples [][]*cloud // [octave][layer · heads + head]
	for range edges {
		var some []*cloud
		for range r.Weights.Model.Layers() * heads {
			some = append(some, &cloud{})
		}
		samples = append(samples, some)
	}
	_, err = own.Run(ctx, cut(rows, 0, ends[len(ends)-1].at), nil, lm.Request{}, func(p lm.Piece) error {
		i := slices.IndexFunc(ends, func(e look) bool { return e.at == p.Start+p.Tokens })
		if i < 0 {
			return nil
		}
		v, err := spec.OnHost(p.State[spec.Name])
		if err != nil {
			return err
		}
		for l := range r.Weights.Model.Layers() {
			for row := range rows {
				for h := range heads {
					samples[ends[i].octave][l*heads+h].add(row, v[((l*len(rows)+row)*heads+h)*size:][:size])
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("coverage: %w", err)
	}
	return c.table(samples, edges, heads, len(rows)), nil
}

type look struct{ at, octave int }

// looks returns the token counts after which states are sampled, and the first position of each octave; octave 0 is the training length.
func (c Coverage) looks(length int) (ends []look, edges []int) {
	ends, edges = []look{{c.T / 2, 0}, {c.T / 4 * 3, 0}, {c.T, 0}}, []int{0}
	for at := c.T; 2*at <= length; at *= 2 {
		edges = append(edges, at)
		for _, quarters := range []int{5, 6, 8} {
			ends = append(ends, look{at / 4 * quarters, len(edges) - 1})
		}
	}
	return ends, edges
}

func (c Coverage) table(samples [][]*cloud, edges []int, heads, rows int) *table.Table {
	var out []Covered
	for octave, edge := range edges {
		for i := range samples[octave] {
			window, later, end := samples[0][i], samples[octave][i], 2*edge
			if octave == 0 {
				window, later = window.split(rows / 2)
				end = c.T
			}
			d, se := energy(window, later, rows)
			turned, _ := energy(window.unit(), later.unit(), rows)
			out = append(out, Covered{edge, end, i / heads, i % heads, d, d - 1.96*se, d + 1.96*se, turned, window.beyond(later)})
		}
	}
	return table.Of(out)
}

// cloud holds sampled states of one head, each with the index of its row.
type cloud struct {
	row    []int
	states [][]float64
}

func (c *cloud) add(row int, state []float64) {
	c.row, c.states = append(c.row, row), append(c.states, slices.Clone(state))
}

// split separates the states of the first rows from those of the others.
func (c *cloud) split(first int) (a, b *cloud) {
	a, b = &cloud{}, &cloud{}
	for i, s := range c.states {
		if c.row[i] < first {
			a.add(c.row[i], s)
		} else {
			b.add(c.row[i], s)
		}
	}
	return a, b
}

// unit returns the cloud with every state normalised to norm 1.
func (c *cloud) unit() *cloud {
	out := &cloud{row: c.row}
	for _, s := range c.states {
		n, u := max(euclid(s), math.SmallestNonzeroFloat64), make([]float64, len(s))
		for i, x := range s {
			u[i] = x / n
		}
		out.states = append(out.states, u)
	}
	return out
}

// between sums and counts the distances between two clouds for each pair of different rows.
func between(a, b *cloud, rows int) (sum, count []float64) {
	sum, count = make([]float64, rows*rows), make([]float64, rows*rows)
	for i, x := range a.states {
		for j, y := range b.states {
			if r, s := a.row[i], b.row[j]; r != s {
				sum[r*rows+s] += apart(x, y)
				count[r*rows+s]++
			}
		}
	}
	return sum, count
}

func apart(x, y []float64) float64 {
	sum := 0.0
	for i, v := range x {
		d := v - y[i]
		sum += d * d
	}
	return math.Sqrt(sum)
}

// energy is the energy coefficient of two clouds and its jackknife standard error over rows.
func energy(x, y *cloud, rows int) (coefficient, deviation float64) {
	var sums, counts [3][]float64
	for k, pair := range [][2]*cloud{{x, y}, {x, x}, {y, y}} {
		sums[k], counts[k] = between(pair[0], pair[1], rows)
	}
	without := func(left int) float64 {
		var mean [3]float64
		for k := range mean {
			s, n := 0.0, 0.0
			for r := range rows {
				for q := range rows {
					if r != left && q != left {
						s, n = s+sums[k][r*rows+q], n+counts[k][r*rows+q]
					}
				}
			}
			mean[k] = s / n
		}
		return 1 - (mean[1]+mean[2])/(2*mean[0])
	}
	mean, squares := 0.0, 0.0
	for left := range rows {
		v := without(left)
		mean, squares = mean+v, squares+v*v
	}
	n := float64(rows)
	return without(-1), math.Sqrt(max(0, squares-mean*mean/n) * (n - 1) / n)
}

// beyond is the share of the other states whose nearest-neighbour distance to c exceeds the 95th percentile of such distances within c.
func (c *cloud) beyond(other *cloud) float64 {
	own := c.nearest(c)
	slices.Sort(own)
	limit, n := own[min(len(own)-1, len(own)*95/100)], 0.0
	for _, d := range other.nearest(c) {
		if d > limit {
			n++
		}
	}
	return n / float64(len(other.states))
}

// nearest returns each state's distance to its nearest neighbour from another row of a cloud.
func (c *cloud) nearest(in *cloud) (all []float64) {
	for i, s := range c.states {
		least := math.Inf(1)
		for j, t := range in.states {
			if c.row[i] != in.row[j] {
				least = min(least, apart(s, t))
			}
		}
		all = append(all, least)
	}
	return all
}
