package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

func init() {
	Figures["22_matrix"], Figures["22_excess"], Figures["22_threshold"] = textMatrixFigure, textExcessFigure, textThresholdFigure
	Figures["22_matrix_512"] = text512MatrixFigure
	Figures["22_prompts"], Figures["22_loss"], Figures["22_growth"] = textPromptsFigure, textLossFigure, textGrowthFigure
	Figures["22_ways"], Figures["22_states"], Figures["22_longer"] = textWaysFigure, textStatesFigure, textLongerFigure
	Figures["22_bounds"], Figures["22_flat"], Figures["22_again"] = textBoundsFigure, textFlatFigure, textAgainFigure
}

// promptNames spells out the kinds of prompt; constant tokens are bytes.
var promptNames = map[string]string{"newlines": "newlines", "constant:32": "spaces", "constant:95": "“_”", "constant:112": "“p”", "constant:54": "“6”",
	"repeated": "a sentence, repeated", "shuffled": "shuffled documents", "documents": "documents"}

func textNewlines(root string) ([]TextModel, error) {
	all, err := TextModels(root)
	return ofKind(all, "newlines"), err
}

// textMatrixFigure draws the N × T grid on newlines: mean excess and the number of failing seeds.
func textMatrixFigure(root string) (report.Figure, error) {
	models, err := textNewlines(root)
	return matrixFigure(models), err
}

// text512MatrixFigure draws the same for the models of text-law-512 that know newlines; a cell in which none does is left empty.
func text512MatrixFigure(root string) (report.Figure, error) {
	all, err := promptedModels(root, Text512Plan)
	if errors.Is(err, fs.ErrNotExist) {
		return report.Figure{}, fmt.Errorf("%w: no row of %s has run", errNothing, Text512Plan)
	}
	known := slices.DeleteFunc(ofKind(all, "newlines"), func(m TextModel) bool { return m.Inside.Mean > knows })
	return matrixFigure(known), err
}

// textCell is one cell of the grid.
type textCell struct {
	State       int     `parquet:"state" doc:"state dimension N"`
	TrainLength int     `parquet:"train_length" doc:"tokens"`
	Excess      float64 `parquet:"excess" doc:"loss far beyond T less that within, nats, mean over seeds"`
	Cell        string  `parquet:"cell" doc:"the mean, models that fail / models"`
}

func matrixFigure(models []TextModel) report.Figure {
	type cell struct{ N, T int }
	by, order := map[cell][]TextModel{}, []cell(nil)
	for _, m := range models {
		k := cell{m.State, m.T}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], m)
	}
	var cells []textCell
	for _, k := range order {
		sum := 0.0
		for _, m := range by[k] {
			sum += m.Excess.Mean / float64(len(by[k]))
		}
		text := fmt.Sprintf("%.2f · %d/%d", math.Round(100*sum)/100+0, failingText(by[k]), len(by[k])) // + 0 avoids −0
		cells = append(cells, textCell{k.N, k.T, sum, text})
	}
	return report.Figure{Spec: figure.HeatMap{
		Size: figure.Size{Width: "double", Note: cellNote(cells, func(c textCell) int { return c.State }, func(c textCell) int { return c.TrainLength })},
		X:    figure.Axis{Column: "train_length", Label: "Training length", Unit: "tokens", Scale: figure.Tokens}, Y: figure.Axis{Column: "state", Label: "State size N", Unit: "1"},
		Value: figure.Axis{Column: "excess", Label: "Mean excess loss on newlines", Unit: "nat"}, Cell: "cell",
	}, Table: table.Of(cells)}
}

// textExcessPoint is one model.
type textExcessPoint struct {
	Panel  string  `parquet:"panel" doc:"training length"`
	Seed   string  `parquet:"seed" doc:"seed of weights and data"`
	State  float64 `parquet:"state" doc:"state dimension N, moved aside by seed"`
	Excess float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
	band
}

// textExcessFigure draws every model on newlines with its interval over sequences.
func textExcessFigure(root string) (report.Figure, error) {
	models, err := textNewlines(root)
	if err != nil {
		return report.Figure{}, err
	}
	slices.SortStableFunc(models, func(a, b TextModel) int { return a.T - b.T })
	var points []textExcessPoint
	for _, m := range models {
		x := float64(m.State) * math.Pow(2, 0.12*float64(m.Seed-1)) // sets seeds side by side
		points = append(points, textExcessPoint{"T = " + figure.Length(float64(m.T)), fmt.Sprint("seed ", m.Seed), x, m.Excess.Mean, band{m.Excess.Low, m.Excess.High}})
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Every model a point, with the bootstrap interval over its eight sequences; seeds stand side by side."},
		X: figure.Axis{Column: "state", Label: "State size N", Unit: "1", Scale: figure.Log2}, Y: excessAxis, Lo: "low", Hi: "high", Series: []string{"seed"},
		Panel: "panel", PanelName: "%s", Across: 3, Scatter: true, Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}},
		Table: table.Of(points)}, nil
}

// textThresholdFigure draws one bracket per N and seed, the best form and the published one.
func textThresholdFigure(root string) (report.Figure, error) {
	models, err := textNewlines(root)
	if err != nil {
		return report.Figure{}, err
	}
	points, _ := TextPoints(models, "newlines")
	t, _, err := FitOrPoints("forget", points)
	if err != nil {
		return report.Figure{}, err
	}
	return report.Figure{Spec: figure.Fit{Size: figure.Size{Note: "One bracket for each N and seed; a constant and a line."}, X: figure.Axis{Label: "State size", Unit: "scalars", Scale: figure.Log2},
		Y: figure.Axis{Label: "Forget threshold on newlines", Unit: "tokens", Scale: figure.Log2}}, Table: t}, nil
}

// textPromptPoint is one kind of prompt.
type textPromptPoint struct {
	Prompt string  `parquet:"prompt" doc:"kind of prompt"`
	Share  float64 `parquet:"share" doc:"share of the models that fail"`
	band
}

// textPromptsFigure draws the share of failing models by kind of prompt.
func textPromptsFigure(root string) (report.Figure, error) {
	all, err := TextModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []textPromptPoint
	for _, k := range TextPrompts {
		some := ofKind(all, k)
		if len(some) == 0 {
			continue
		}
		n := failingText(some)
		low, high, err := prompt.Wilson(n, len(some), 1.96)
		if err != nil {
			return report.Figure{}, err
		}
		points = append(points, textPromptPoint{promptNames[k], float64(n) / float64(len(some)), band{low, high}})
	}
	zero := 0.0
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: fmt.Sprintf("%d models; intervals of Wilson.", len(ofKind(all, TextPrompts[0])))}, Category: "prompt",
		X: figure.Axis{Column: "share", Label: "Models that fail", Unit: "share", Min: &zero}, Lo: "low", Hi: "high"},
		Table: table.Of(points)}, nil
}

// textLossFigure draws the loss by position on newlines, mean over sequences, for every model.
func textLossFigure(root string) (report.Figure, error) {
	t, err := study.Read(root, TextLawPlan, "prompt_loss")
	if err != nil {
		return report.Figure{}, err
	}
	if t, err = Where(t, "kind", "newlines"); err != nil {
		return report.Figure{}, err
	}
	if t, err = Where(t, "policy", "zero"); err != nil {
		return report.Figure{}, err
	}
	if t, err = OverSeeds(t, []string{"state", "train_length", "seed", "position", "end"}, "loss"); err != nil { // over sequences
		return report.Figure{}, err
	}
	if t, err = Times(t); err != nil {
		return report.Figure{}, err
	}
	if t, err = Sorted(t, "train_length", "state", "seed", "position"); err != nil {
		return report.Figure{}, err
	}
	length, err := t.Float("train_length")
	if err != nil {
		return report.Figure{}, err
	}
	seed, err := t.Text("seed")
	if err != nil {
		return report.Figure{}, err
	}
	panel, name := make([]string, len(length)), make([]string, len(length))
	for i, T := range length {
		panel[i], name[i] = "T = "+figure.Length(T), "seed "+seed[i]
	}
	if t, err = Only(t, "state", "times", "loss"); err != nil {
		return report.Figure{}, err
	}
	t.AddText("panel", panel).AddText("seeds", name)
	shown := []any{16, 256}
	if t, err = Where(t, "state", shown...); err != nil {
		return report.Figure{}, err
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Newlines; mean over eight sequences; every seed of the smallest and the largest state a line."},
		X: figure.Axis{Column: "times", Label: "Position / training length", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "loss", Label: "Loss", Unit: "nat", Scale: figure.Log10},
		Series: []string{"state", "seeds"}, Name: "N %s, %s", Panel: "panel", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 1, Label: "T"}}}, Table: t}, nil
}

// textGrowthPoint is one model.
type textGrowthPoint struct {
	TrainLength string  `parquet:"train_length" doc:"training length"`
	Growth      float64 `parquet:"growth" doc:"largest growth of a head's state"`
	Excess      float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
}

// textGrowthFigure draws the growth of states against the excess on newlines.
func textGrowthFigure(root string) (report.Figure, error) {
	models, err := textNewlines(root)
	if err != nil {
		return report.Figure{}, err
	}
	slices.SortStableFunc(models, func(a, b TextModel) int { return a.T - b.T })
	var points []textGrowthPoint
	for _, m := range models {
		if len(m.All) > 0 {
			points = append(points, textGrowthPoint{figure.Length(float64(m.T)), m.growth(), m.Excess.Mean})
		}
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Note: "Every model a point: its head of the largest growth on newlines."},
		X: figure.Axis{Column: "growth", Label: "Largest growth of a head", Unit: "1", Scale: figure.Log2}, Y: excessAxis, Series: []string{"train_length"}, Name: "T = %s", Scatter: true,
		Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}},
		Table: table.Of(points)}, nil
}
