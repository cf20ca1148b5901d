// Package eval measures what a model does far beyond its training length: loss by position on texts, streams and
// constant prompts, recall by position and by age on the recall stream, and retrieval of passkeys and of several keys
// and values by depth and length (arXiv 2410.07145, sections 3 and 4). Everything comes out as tables.
//
// A loss stands at the position of the last token read, from 0: at position t it is −log p(token t+1 | tokens 0 … t), so
// that positions 0 … T−1 are those of the training length T.
package eval

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/pkg/interval"
)

const (
	resamples  = 1000
	resampling = 0xe5a1 // seed of the bootstrap
)

// Doublings are buckets 0, T/2, T, 2T, 4T … for a training length T, below length.
func Doublings(trainLength, length int) []int {
	edges := []int{0}
	for edge := max(trainLength/2, 1); edge < length-1; edge *= 2 {
		edges = append(edges, edge)
	}
	return edges
}

// Even are buckets of equal width, below length.
func Even(width, length int) []int {
	var edges []int
	for edge := 0; edge < length-1; edge += max(width, 1) {
		edges = append(edges, edge)
	}
	return edges
}

// checkEdges wants ascending edges from first on and below a limit; the last bucket has no end.
func checkEdges(name string, edges []int, first, below int) error {
	if len(edges) == 0 || edges[0] != first || !slices.IsSorted(edges) || len(slices.Compact(slices.Clone(edges))) != len(edges) {
		return fmt.Errorf("%s are %v, want ascending numbers that begin with %d", name, edges, first)
	}
	if last := edges[len(edges)-1]; last >= below {
		return fmt.Errorf("%s: %d is not below %d", name, last, below)
	}
	return nil
}

// bucketOf is the index of the bucket that holds at, which is not below the first edge.
func bucketOf(edges []int, at int) int {
	i, found := slices.BinarySearch(edges, at)
	if !found {
		i--
	}
	return i
}

// cells are sums and counts of one quantity for units (documents, sequences) in buckets.
type cells struct {
	units, buckets int
	sums, counts   []float64 // [units, buckets]
}

func newCells(units, buckets int) *cells {
	return &cells{units, buckets, make([]float64, units*buckets), make([]float64, units*buckets)}
}

// add counts a loss that is not a number as infinite, so that it cannot pass for one that is missing.
func (c *cells) add(unit, bucket int, value float64) {
	if math.IsNaN(value) {
		value = math.Inf(1)
	}
	c.sums[unit*c.buckets+bucket] += value
	c.counts[unit*c.buckets+bucket]++
}

// of is the mean over the tokens of all units in a bucket and their number, NaN where there are none.
func (c *cells) of(bucket int) (mean float64, count int64) {
	sum, n := 0.0, 0.0
	for u := range c.units {
		sum += c.sums[u*c.buckets+bucket]
		n += c.counts[u*c.buckets+bucket]
	}
	return sum / n, int64(n)
}

// intervals are 95 % bootstrap intervals of the means, over units: the same draws in every bucket. Buckets with fewer
// than two units have none (NaN).
func (c *cells) intervals() (low, high []float64) {
	low, high = make([]float64, c.buckets), make([]float64, c.buckets)
	random := rand.New(rand.NewPCG(resampling, uint64(c.units)))
	means := make([][]float64, c.buckets)
	sums, counts := make([]float64, c.buckets), make([]float64, c.buckets)
	for range resamples {
		clear(sums)
		clear(counts)
		for range c.units {
			u := random.IntN(c.units)
			for b := range c.buckets {
				sums[b] += c.sums[u*c.buckets+b]
				counts[b] += c.counts[u*c.buckets+b]
			}
		}
		for b := range c.buckets {
			if counts[b] > 0 {
				means[b] = append(means[b], sums[b]/counts[b])
			}
		}
	}
	for b, m := range means {
		low[b], high[b] = math.NaN(), math.NaN()
		if c.filled(b) > 1 {
			low[b], high[b] = interval.Percentiles(m)
		}
	}
	return low, high
}

// filled is the number of units with something in a bucket.
func (c *cells) filled(bucket int) (n int) {
	for u := range c.units {
		if c.counts[u*c.buckets+bucket] > 0 {
			n++
		}
	}
	return n
}
