package intervene

import (
	"context"
	"fmt"
	"slices"

	"stuffed/pkg/table"
)

// Dose is a dose–response run: one kind of intervention at several strengths in chosen heads, and in random sets of as many
// other heads. Every strength runs the same compiled graph.
type Dose struct {
	Kind   string    `json:"kind"`  // of a value per head, or alpha_clamp_high, alpha_clamp_low
	Doses  []float64 `json:"doses"` // values
	Heads  []Head    `json:"heads"`
	Random int       `json:"random"` // sets
	From   int       `json:"from"`
	Seed   uint64    `json:"seed"`
}

// Responses is an empty table of what Dose.Run makes: set is "none", "chosen" or "random", draw numbers the random sets.
func Responses() *table.Table {
	t := table.New().AddText("model", nil).AddText("kind", nil).AddText("set", nil).AddInt("draw", nil).AddText("heads", nil).AddFloat("dose", nil).
		AddInt("multiple", nil).AddInt("position", nil)
	for _, name := range responded {
		t.AddFloat(name, nil)
	}
	return t
}

var responded = []string{"loss", "loss_low", "loss_high", "recall", "norm_ratio", "retention"}

// plan is the intervention at one strength.
func (d Dose) plan(heads []Head, dose float64) Plan {
	v := Intervention{Kind: d.Kind, Heads: heads, Value: dose, From: d.From}
	switch d.Kind {
	case "alpha_clamp_high":
		v.Kind, v.Value, v.High = "alpha_clamp", 0, &dose
	case "alpha_clamp_low":
		v.Kind, v.Value, v.Low = "alpha_clamp", 0, &dose
	}
	return Plan{v}
}

// Plan is the intervention in the chosen heads at the first dose.
func (d Dose) Plan() Plan { return d.plan(d.Heads, d.Doses[0]) }

// Steps lists what is to be run: the model as it is, then set by set all doses.
func (d Dose) Steps(b *Bench) ([]Step, error) {
	if len(d.Heads) == 0 || len(d.Doses) == 0 {
		return nil, fmt.Errorf("dose–response: %d heads and %d doses; give at least one of each", len(d.Heads), len(d.Doses))
	}
	steps := []Step{{Set: "none"}}
	add := func(set string, draw int, heads []Head) error {
		for _, dose := range d.Doses {
			plan := d.plan(heads, dose)
			if err := plan.Validate(b.Model); err != nil {
				return fmt.Errorf("dose %g: %w", dose, err)
			}
			steps = append(steps, Step{set, draw, heads, dose, plan})
		}
		return nil
	}
	if err := add("chosen", 0, d.Heads); err != nil {
		return nil, err
	}
	for draw := range d.Random {
		heads, err := Random(b.Model, d.Heads, len(d.Heads), d.Seed+uint64(draw))
		if err != nil {
			return nil, err
		}
		if err := add("random", draw, heads); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// Step is one plan of a dose–response run.
type Step struct {
	Set   string
	Draw  int
	Heads []Head
	Dose  float64
	Plan  Plan
}

// Run scores one step: a row of Responses for every multiple.
func (d Dose) Run(ctx context.Context, b *Bench, s Suite, model string, step Step) (*table.Table, error) {
	scores, err := s.Run(ctx, b, Method{Name: d.Kind, Plan: step.Plan})
	if err != nil {
		return nil, err
	}
	t, n := Responses(), len(scores)
	names := ""
	for i, h := range step.Heads {
		if i > 0 {
			names += " "
		}
		names += h.String()
	}
	for i, text := range []string{model, d.Kind, step.Set, "", names} {
		if i != 3 {
			t.Columns[i].Texts = slices.Repeat([]string{text}, n)
		}
	}
	t.Columns[3].Ints, t.Columns[5].Floats = slices.Repeat([]int64{int64(step.Draw)}, n), slices.Repeat([]float64{step.Dose}, n)
	for _, c := range scores {
		t.Columns[6].Ints, t.Columns[7].Ints = append(t.Columns[6].Ints, int64(c.Multiple)), append(t.Columns[7].Ints, int64(c.Multiple*s.TrainLength))
		for i, v := range []float64{c.Loss, c.LossLow, c.LossHigh, c.Recall, c.Norm, c.Retention} {
			t.Columns[8+i].Floats = append(t.Columns[8+i].Floats, v)
		}
	}
	return t, nil
}
