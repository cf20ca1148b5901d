package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/datasets"
	"stuffed/datasets/baseline"
	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// BaselineRow is the loss of one model on the common windows.
type BaselineRow struct {
	Model  string  `parquet:"model" doc:"the bigram or the model"`
	Loss   float64 `parquet:"loss" doc:"nats per byte"`
	Bits   float64 `parquet:"bits" doc:"bits per byte"`
	Tokens int     `parquet:"tokens" doc:"bytes that were predicted"`
}

// Bigram compares a byte model with a bigram model estimated from the training documents of the domains (all if none is given), on the
// same tokens: count windows of length tokens, evenly spaced over the validation documents, each read from an empty state. The first byte
// of a window is not predicted. The table has one [BaselineRow] per model.
func Bigram(ctx context.Context, r *lm.Runner, corpus *datasets.Corpus, domains []string, length, count int) (*table.Table, error) {
	if length < 2 || count < 1 {
		return nil, fmt.Errorf("bigram: length = %d and count = %d must be at least 2 and 1", length, count)
	}
	texts := map[string][]string{}
	err := corpus.Each(func(d datasets.Document) error {
		if len(domains) == 0 || slices.Contains(domains, d.Domain) {
			texts[d.Split] = append(texts[d.Split], d.Text)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := baseline.Bigram(texts["train"])
	if err != nil {
		return nil, err
	}
	probes, err := windows(texts["valid"], length, count)
	if err != nil {
		return nil, err
	}
	losses, err := Loss{Bucket: length, Batch: min(count, 64)}.Table(ctx, r, probes)
	if err != nil {
		return nil, err
	}
	loss, err := losses.Float("loss")
	if err != nil {
		return nil, err
	}
	var means [2]float64
	for i, p := range probes {
		means[1] += loss[i] / float64(count)
		means[0] += bigramLoss(b, p.IDs) / float64(count)
	}
	tokens := count * (length - 1)
	return table.Of([]BaselineRow{{b.Name(), means[0], means[0] / math.Ln2, tokens}, {r.Weights.Model.Name(), means[1], means[1] / math.Ln2, tokens}}), nil
}

// windows cuts count windows of length bytes out of the concatenated texts, evenly spaced; none crosses a text boundary.
func windows(texts []string, length, count int) ([]prompt.Probe, error) {
	var pieces []string
	for _, text := range texts {
		for at := 0; at+length <= len(text); at += length {
			pieces = append(pieces, text[at:at+length])
		}
	}
	if len(pieces) < count {
		return nil, fmt.Errorf("bigram: the valid documents have %d windows of %d bytes, %d are asked for", len(pieces), length, count)
	}
	probes := make([]prompt.Probe, count)
	for i := range probes {
		piece := pieces[i*len(pieces)/count]
		ids := make([]int32, length)
		for k := range ids {
			ids[k] = int32(piece[k])
		}
		probes[i] = prompt.Probe{Name: fmt.Sprintf("window %d", i), Kind: "windows", IDs: ids}
	}
	return probes, nil
}

// bigramLoss is the mean loss in nats over all bytes but the first.
func bigramLoss(m baseline.Model, ids []int32) float64 {
	text := make([]byte, len(ids))
	for i, id := range ids {
		text[i] = byte(id)
	}
	sum := 0.0
	for i := 1; i < len(text); i++ {
		sum -= math.Log(m.Probability(text[:i], text[i]))
	}
	return sum / float64(len(text)-1)
}
