package datasets

import (
	"cmp"
	"fmt"
	"slices"
)

// Count sums up the documents of one domain and split.
type Count struct {
	Domain, Split string
	Documents     int
	Bytes         int64
	Tokens        int64  // without EOS; 0 when no tokenizer was given
	AtLeast       [3]int // documents of at least 4,096, 16,384 and 65,536 tokens (bytes when no tokenizer was given)
}

// lengths are the bounds of Count.AtLeast.
var lengths = [3]int{4096, 16384, 65536}

// Stats counts a corpus by domain and split and, in the last entry (split "all"), as a whole. Without a tokenizer only bytes are
// counted. An empty corpus is an error.
func Stats(c *Corpus, enc Encoder) ([]Count, error) {
	type place struct{ domain, split string }
	counts := map[place]*Count{}
	total := Count{Domain: "all", Split: "all"}
	err := c.Each(func(d Document) error {
		k := place{d.Domain, d.Split}
		if counts[k] == nil {
			counts[k] = &Count{Domain: d.Domain, Split: d.Split}
		}
		size, tokens := len(d.Text), 0
		if enc != nil {
			ids, err := enc.Encode(d.Text)
			if err != nil {
				return fmt.Errorf("document %s: %w", d.ID, err)
			}
			size, tokens = len(ids), len(ids)
		}
		for _, sum := range []*Count{counts[k], &total} {
			sum.Documents++
			sum.Bytes += int64(len(d.Text))
			sum.Tokens += int64(tokens)
			for i, l := range lengths {
				if size >= l {
					sum.AtLeast[i]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if total.Documents == 0 {
		return nil, fmt.Errorf("corpus %s is empty", c.Name)
	}
	var rows []Count
	for _, n := range counts {
		rows = append(rows, *n)
	}
	slices.SortFunc(rows, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), slices.Index(Splits, a.Split)-slices.Index(Splits, b.Split))
	})
	return append(rows, total), nil
}
