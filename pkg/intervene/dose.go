package intervene

import (
	"context"
	"fmt"
	"math"
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

// Response is a row of a dose–response run.
type Response struct {
	Model     string  `parquet:"model" doc:"name of the model"`
	Kind      string  `parquet:"kind" doc:"kind of intervention"`
	Set       string  `parquet:"set" doc:"which heads are changed: none, chosen or random"`
	Draw      int     `parquet:"draw" doc:"number of the random set, from 0"`
	Heads     string  `parquet:"heads" doc:"the heads that are changed, layer.head, separated by blanks"`
	Dose      float64 `parquet:"dose" doc:"value of the intervention"`
	Multiple  int     `parquet:"multiple" doc:"position in units of the training length T"`
	Position  int     `parquet:"position" doc:"the same in tokens"`
	Loss      float64 `parquet:"loss" doc:"nats at values of repeated pairs, in the ½T tokens before the position"`
	LossLow   float64 `parquet:"loss_low" doc:"lower end of its 95 % interval over sequences"`
	LossHigh  float64 `parquet:"loss_high" doc:"upper end"`
	Recall    float64 `parquet:"recall" doc:"share of these values that were the likeliest token"`
	Norm      float64 `parquet:"norm_ratio" doc:"largest growth of a head's state over its maximum within T"`
	Retention float64 `parquet:"retention" doc:"largest exp(T · mean log α) of a head"`
}

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

// Run scores one step: a Response for every multiple.
func (d Dose) Run(ctx context.Context, b *Bench, s Suite, model string, step Step) ([]Response, error) {
	scores, err := s.Run(ctx, b, Method{Name: d.Kind, Plan: step.Plan})
	if err != nil {
		return nil, err
	}
	var rows []Response
	for _, c := range scores {
		rows = append(rows, Response{
			Model: model, Kind: d.Kind, Set: step.Set, Draw: step.Draw, Heads: headNames(step.Heads), Dose: step.Dose,
			Multiple: c.Multiple, Position: c.Multiple * s.TrainLength,
			Loss: c.Loss, LossLow: c.LossLow, LossHigh: c.LossHigh, Recall: c.Recall, Norm: c.Norm, Retention: c.Retention,
		})
	}
	return rows, nil
}

// AlphaDoses are upper bounds of α that leave the given shares of a token after T tokens.
func AlphaDoses(trainLength int, kept ...float64) (doses []float64) {
	for _, k := range kept {
		doses = append(doses, math.Pow(k, 1/float64(trainLength)))
	}
	return doses
}
