// Package eval measures how a model behaves far beyond its training length: loss by position on texts, streams and constant prompts, recall
// by position and age on the recall stream, and passkey and multi-key retrieval by depth and length (arXiv 2410.07145, sections 3 and 4).
// All results are tables.
//
// A loss is indexed by the position of the last token read, from 0: at position t it is −log p(token t+1 | tokens 0 … t), so that positions
// 0 … T−1 lie within the training length T.
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

// Doublings returns the bucket edges 0, T/2, T, 2T, 4T, … below length for a training length T.
func Doublings(trainLength, length int) []int {
	edges := []int{0}
	for edge := max(trainLength/2, 1); edge < length-1; edge *= 2 {
		edges = append(edges, edge)
	}
	return edges
}

// Even returns the edges of buckets of equal width, below length.
func Even(width, length int) []int {
	var edges []int
	for edge := 0; edge < length-1; edge += max(width, 1) {
		edges = append(edges, edge)
	}
	return edges
}

// checkEdges requires ascending edges that start at first and stay below a limit; the last bucket is open-ended.
func checkEdges(name string, edges []int, first, below int) error {
	if len(edges) == 0 || edges[0] != first || !slices.IsSorted(edges) || len(slices.Compact(slices.Clone(edges))) != len(edges) {
		return fmt.Errorf("%s are %v, want ascending numbers that begin with %d", name, edges, first)
	}
	if last := edges[len(edges)-1]; last >= below {
		return fmt.Errorf("%s: %d is not below %d", name, last, below)
	}
	return nil
}

// bucketOf is the index of the bucket that contains at, which must not be below the first edge.
func bucketOf(edges []int, at int) int {
	i, found := slices.BinarySearch(edges, at)
	if !found {
		i--
	}
	return i
}

// cells holds sums and counts of one quantity by unit (document or sequence) and bucket.
type cells struct {
	units, buckets int
	sums, counts   []float64 // [units, buckets]
}

func newCells(units, buckets int) *cells {
	return &cells{units, buckets, make([]float64, units*buckets), make([]float64, units*buckets)}
}

// add adds a value; NaN counts as infinite so that it cannot be mistaken for a missing one.
func (c *cells) add(unit, bucket int, value float64) {
	if math.IsNaN(value) {
		value = math.Inf(1)
	}
	c.sums[unit*c.buckets+bucket] += value
	c.counts[unit*c.buckets+bucket]++
}

// of is the mean over the tokens of all units in a bucket and the token count; NaN if there are none.
func (c *cells) of(bucket int) (mean float64, count int64) {
	sum, n := 0.0, 0.0
	for u := range c.units {
		sum += c.sums[u*c.buckets+bucket]
		n += c.counts[u*c.buckets+bucket]
	}
	return sum / n, int64(n)
}

// intervals returns 95 % bootstrap intervals of the means, resampling units with the same draws for every bucket. They are NaN for buckets
// with fewer than two units.
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

// filled is the number of units with data in a bucket.
func (c *cells) filled(bucket int) (n int) {
	for u := range c.units {
		if c.counts[u*c.buckets+bucket] > 0 {
			n++
		}
	}
	return n
}
