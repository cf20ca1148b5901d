package baseline

import (
	"context"
	"fmt"
	"slices"

	"stuffed/datasets"
)

// Line is the result of one baseline.
type Line struct {
	Name        string  `json:"name"`
	BitsPerByte float64 `json:"bits_per_byte"`
}

// Compare measures the valid documents of some domains (none means all): by a bigram and an n-gram trained on the train documents
// of the same domains, by compression alone, and by compression after train.
func Compare(ctx context.Context, c *datasets.Corpus, domains []string, order int) ([]Line, error) {
	var train, valid []string
	err := c.Each(func(d datasets.Document) error {
		if len(domains) > 0 && !slices.Contains(domains, d.Domain) {
			return nil
		}
		switch d.Split {
		case "train":
			train = append(train, d.Text)
		case "valid":
			valid = append(valid, d.Text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(train) == 0 || len(valid) == 0 {
		return nil, fmt.Errorf("corpus %s: %d train and %d valid documents in domains %q; a baseline needs both", c.Name, len(train), len(valid), domains)
	}
	var lines []Line
	for _, n := range []int{2, order} {
		m, err := NewNGram(n, train)
		if err != nil {
			return nil, err
		}
		bits, err := BitsPerByte(m, valid)
		if err != nil {
			return nil, err
		}
		lines = append(lines, Line{m.Name(), bits})
	}
	packed, err := XZ(ctx, train, valid)
	if err != nil {
		return nil, err
	}
	return append(lines, Line{packed.Program + ", valid alone", packed.Alone}, Line{packed.Program + ", valid after train", packed.AfterTrain}), nil
}
