package eval

import (
	"fmt"
	"math"

	"stuffed/pkg/table"
)

// Octaves is MeanLoss in buckets that grow with the position, which smooths the noise at far positions: the first bucket holds the positions
// below first, followed by per buckets per doubling. The column read is the number of tokens read at the end of a bucket; unlike the
// position of the first bucket it can be plotted on a logarithmic axis. A row of the table is never split: its position decides the
// bucket.
func Octaves(t *table.Table, first, per int) (*table.Table, error) {
	switch {
	case first < 1:
		return nil, fmt.Errorf("octaves: first = %d must be at least 1 token", first)
	case per < 1 || per > 64:
		return nil, fmt.Errorf("octaves: per = %d is outside 1 … 64", per)
	}
	mean, err := MeanLoss(t, 0)
	if err != nil {
		return nil, err
	}
	position, err := mean.Int("position")
	if err != nil {
		return nil, err
	}
	last := position[len(position)-1]
	edges := []int{0}
	for k := 0; ; k++ {
		edge := int(math.Round(float64(first) * math.Exp2(float64(k)/float64(per))))
		if int64(edge) > last {
			break
		}
		if edge > edges[len(edges)-1] {
			edges = append(edges, edge)
		}
	}
	merged, err := merge(t, edges)
	if err != nil {
		return nil, err
	}
	if mean, err = MeanLoss(merged, 0); err != nil {
		return nil, err
	}
	if position, err = mean.Int("position"); err != nil {
		return nil, err
	}
	tokens, err := mean.Int("tokens")
	if err != nil {
		return nil, err
	}
	prompts, err := mean.Int("prompts")
	if err != nil {
		return nil, err
	}
	read := make([]int64, len(position))
	for i := range read {
		read[i] = position[i] + tokens[i]/max(prompts[i], 1)
	}
	return mean.AddInt("read", read), nil
}

// merge combines the rows of a loss table whose positions share a bucket, by prompt and member.
func merge(t *table.Table, edges []int) (*table.Table, error) {
	names, position, loss, tokens, err := LossColumns(t)
	if err != nil {
		return nil, err
	}
	member := make([]int64, len(names))
	if t.Has("replica") {
		if member, err = t.Int("replica"); err != nil {
			return nil, err
		}
	}
	type key struct {
		member int64
		prompt string
		bucket int
	}
	at := map[key]int{}
	var keys []key
	var sums []float64
	var counts []int64
	for i := range names {
		k := key{member[i], names[i], bucketOf(edges, int(position[i]))}
		row, known := at[k]
		if !known {
			row = len(keys)
			at[k] = row
			keys, sums, counts = append(keys, k), append(sums, 0), append(counts, 0)
		}
		if tokens[i] > 0 {
			sums[row] += loss[i] * float64(tokens[i])
			counts[row] += tokens[i]
		}
	}
	var rows []LossRow
	for i, k := range keys {
		rows = append(rows, LossRow{int(k.member), k.prompt, edges[k.bucket], sums[i] / float64(counts[i]), counts[i]})
	}
	return lossTable(rows, t.Has("replica")), nil
}
