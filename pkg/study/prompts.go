package study

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/collapse"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/tokenizer"
	"stuffed/pkg/train"
)

// sentence is the text of the repeated prompt.
const sentence = "The state of a recurrent model holds what it has read, and nothing else. "

func (p *PromptConfig) validate(c Config) error {
	if p == nil {
		return nil
	}
	if d := c.Train.Data; d.Kind != "corpus" {
		return fmt.Errorf("evaluate.prompts: they are made of the tokens of a corpus, not of data.kind = %q", d.Kind)
	}
	ids := c.Train.Model.Sizes().Vocab
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"sequences", p.Sequences, 1, 1 << 12}, {"lead", p.Lead, 1, c.Train.TrainLength / 2},
		{"kinds", len(p.Kinds), 1, 64},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("evaluate.prompts.%s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	if !slices.Contains([]string{"valid", "test"}, p.Split) {
		return fmt.Errorf("evaluate.prompts.split = %q is unknown; choose valid or test", p.Split)
	}
	for _, k := range p.Kinds {
		if k == newlines {
			continue
		}
		if id, err := constantOf(k); err == nil && id >= ids {
			return fmt.Errorf("evaluate.prompts.kinds holds %q; the model has %d tokens", k, ids)
		} else if err != nil && !slices.Contains([]string{"documents", "shuffled", "repeated"}, k) {
			return fmt.Errorf("evaluate.prompts.kinds holds %q; choose documents, shuffled, repeated, newlines or constant:ID", k)
		}
	}
	for _, k := range p.Traced {
		if !slices.Contains(p.Kinds, k) {
			return fmt.Errorf("evaluate.prompts.traced holds %q, which is not among the kinds", k)
		}
	}
	return nil
}

const newlines = "newlines"

// constantOf parses the token id of a constant:ID prompt.
func constantOf(kind string) (int, error) {
	id, found := strings.CutPrefix(kind, "constant:")
	if !found {
		return 0, fmt.Errorf("%s has no constant token", kind)
	}
	n, err := strconv.Atoi(id)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %q is not a token", kind, id)
	}
	return n, nil
}

// again returns the deterministic prompt of a kind: its unit repeated up to length tokens.
func again(kind string, enc tokenizer.Tokenizer, length int) (prompt.Probe, error) {
	switch kind {
	case newlines:
		ids, err := datasets.Part(enc, "\n")
		if err == nil && len(ids) != 1 {
			err = fmt.Errorf("tokenizer %s writes a newline as %d tokens; name one as constant:ID", enc.Name(), len(ids))
		}
		if err != nil {
			return prompt.Probe{}, err
		}
		return prompt.Constant(ids[0], length)
	case "repeated":
		return prompt.Repeated(enc, sentence, length)
	}
	id, err := constantOf(kind)
	if err != nil {
		return prompt.Probe{}, err
	}
	return prompt.Constant(id, length)
}

// Prompts returns sequences of one kind, length tokens each. documents: prefixes of held-out documents. shuffled: their tokens in random
// order. repeated, newlines, constant:ID: a repeated sentence or token; the first sequence consists of nothing else, the others are preceded
// by the first lead tokens of a held-out document each, so that a deterministic prompt has an interval. The tokenizer must be that of the
// documents.
func (p *PromptConfig) Prompts(kind string, enc tokenizer.Tokenizer, documents [][]int32, length int) ([][]int32, error) {
	rows := make([][]int32, 0, p.Sequences)
	for i, d := range documents {
		switch kind {
		case "documents":
			rows = append(rows, d[:length])
			continue
		case "shuffled":
			rows = append(rows, prompt.Shuffled(prompt.Probe{IDs: d[:length]}, int64(i)).IDs)
			continue
		}
		again, err := again(kind, enc, length)
		if err != nil {
			return nil, err
		}
		lead := 0
		if i > 0 {
			lead = p.Lead
		}
		rows = append(rows, append(slices.Clone(d[:lead]), again.IDs[:length-lead]...))
	}
	return rows, nil
}

// prompted reads all prompts with all members and fills the tables of PromptLossRow, PromptHeadRow and PromptStateRow.
func (m *measure) prompted(ctx context.Context, t *train.Trainer) error {
	p := m.config.Evaluate.Prompts
	if p == nil {
		return nil
	}
	data, has := t.Data.(train.Splits)
	if !has {
		return fmt.Errorf("%s has no documents of split %s", t.Data.Describe(), p.Split)
	}
	documents, err := data.Beginnings(p.Split, p.Sequences, m.config.Length())
	if err != nil {
		return err
	}
	if len(documents) < p.Sequences {
		return fmt.Errorf("split %s has %d documents of %d tokens, %d are asked for", p.Split, len(documents), m.config.Length(), p.Sequences)
	}
	m.prompts = Tables{"prompt_loss": table.New(), "prompt_state": table.New(), "prompt_heads": table.New()}
	for _, kind := range p.Kinds {
		rows, err := p.Prompts(kind, data.Encoder(), documents, m.config.Length())
		if err != nil {
			return err
		}
		loss, err := m.bySequence(ctx, kind, rows)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if err := m.prompts["prompt_loss"].Append(table.Of(loss)); err != nil {
			return err
		}
		if !slices.Contains(p.Traced, kind) {
			continue
		}
		if err := m.promptStates(ctx, kind, rows); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// bySequence returns mean loss and accuracy by member, sequence and bucket.
func (m *measure) bySequence(ctx context.Context, kind string, rows [][]int32) (out []PromptLossRow, err error) {
	R, S, B, last := len(m.members), len(rows), len(m.starts), m.config.Length()-1
	sums, correct, counts := make([]float64, R*S*B), make([]float64, R*S*B), make([]float64, R*S*B)
	_, err = m.far.Run(ctx, forAll(R, rows), nil, lm.Request{Loss: true, Correct: true, Controls: m.controls}, func(p lm.Piece) error {
		for row := range R * S {
			for i := range p.Tokens {
				if at := p.Start + i; at < last {
					k := row*B + m.bucket(at)
					sums[k] += float64(p.Loss[row*p.Tokens+i])
					correct[k] += float64(p.Correct[row*p.Tokens+i])
					counts[k]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for k := range sums {
		b, r := k%B, k/B/S
		out = append(out, PromptLossRow{kind, memberOf(r, m.members[r]), k / B % S, m.starts[b], m.end(b), sums[k] / counts[k], correct[k] / counts[k]})
	}
	return out, nil
}

// promptStates records states over Watched tokens for the first sequences of a kind.
func (m *measure) promptStates(ctx context.Context, kind string, rows [][]int32) error {
	var short [][]int32
	for _, r := range rows[:min(m.config.Evaluate.Traced, len(rows))] {
		short = append(short, r[:m.config.Watched()])
	}
	all, err := m.watch(ctx, short, nil)
	if err != nil {
		return err
	}
	if !m.recurrent() {
		return nil
	}
	var states []PromptStateRow
	for _, one := range m.stateRows(all) {
		states = append(states, PromptStateRow{kind, one})
	}
	var heads []PromptHeadRow
	for r, w := range all {
		v, err := m.config.verdict(w)
		if err != nil {
			return fmt.Errorf("member %d: %w", r, err)
		}
		for _, one := range m.config.headRows(memberOf(r, m.members[r]), v, w) {
			heads = append(heads, PromptHeadRow{kind, one})
		}
	}
	return errors.Join(m.prompts["prompt_state"].Append(table.Of(states)), m.prompts["prompt_heads"].Append(table.Of(heads)))
}

// verdict runs the collapse detector on the recorded sequences of one member.
func (c Config) verdict(w *watched) (*collapse.Verdict, error) {
	rule := collapse.DefaultRule(c.Train.TrainLength)
	rule.Resamples = 200
	return collapse.Judge(table.Of(w.states), table.Of(w.losses), rule)
}
