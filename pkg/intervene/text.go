package intervene

import (
	"context"
	"fmt"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// Ablate sets the outputs of heads to 0.
func Ablate(heads ...Head) Plan { return Plan{{Kind: "ablate", Heads: heads}} }

// Clamp keeps the gates α of heads at most at high.
func Clamp(high float64, heads ...Head) Plan {
	return Plan{{Kind: "alpha_clamp", Heads: heads, High: &high}}
}

// OnText measures what a plan does to the loss on texts: columns prompt, position (first token of the bucket), tokens, loss of the model as it
// is, changed (the loss under the plan) and change (their difference), in nats. With buckets of one token, text is the token that the
// loss is of, where the model has a tokenizer.
func OnText(ctx context.Context, m *models.Opened, texts prompt.Texts, plan Plan, bucket int) (*table.Table, error) {
	probes, err := eval.Probes(m, texts)
	if err != nil {
		return nil, err
	}
	bench, err := NewBench(m.Runner)
	if err != nil {
		return nil, err
	}
	runner, controls, err := bench.Apply(Method{Name: "plan", Plan: plan})
	if err != nil {
		return nil, err
	}
	before, err := eval.Loss{Bucket: bucket}.Table(ctx, m.Runner, probes)
	if err != nil {
		return nil, err
	}
	after, err := eval.Loss{Bucket: bucket, Controls: controls}.Table(ctx, runner, probes)
	if err != nil {
		return nil, err
	}
	return beside(m, probes, before, after, bucket)
}

// beside joins two tables of losses of the same prompts.
func beside(m *models.Opened, probes []prompt.Probe, before, after *table.Table, bucket int) (*table.Table, error) {
	loss, err := before.Float("loss")
	if err != nil {
		return nil, err
	}
	changed, err := after.Float("loss")
	if err != nil {
		return nil, err
	}
	if len(loss) != len(changed) {
		return nil, fmt.Errorf("%d losses as it is, %d under the plan", len(loss), len(changed))
	}
	change := make([]float64, len(loss))
	for i := range change {
		change[i] = changed[i] - loss[i]
	}
	out := before.AddFloat("changed", changed).AddFloat("change", change)
	if bucket > 1 {
		return out, nil
	}
	texts, err := tokenTexts(m, probes, out)
	if err != nil {
		return nil, err
	}
	return out.AddText("text", texts), nil
}

// tokenTexts are the tokens that the losses of a table with one row a token are of; empty without a tokenizer.
func tokenTexts(m *models.Opened, probes []prompt.Probe, t *table.Table) ([]string, error) {
	names, err := t.Text("prompt")
	if err != nil {
		return nil, err
	}
	positions, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(names))
	enc, err := m.Encoder()
	if err != nil {
		return texts, nil
	}
	ids := map[string][]int32{}
	for _, p := range probes {
		ids[p.Name] = p.IDs
	}
	for i, name := range names {
		if next := int(positions[i]) + 1; next < len(ids[name]) {
			if texts[i], err = enc.Decode([]int{int(ids[name][next])}); err != nil {
				return nil, err
			}
		}
	}
	return texts, nil
}
