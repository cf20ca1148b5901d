package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// FamilyOf names the family that an architecture belongs to.
func FamilyOf(architecture string) string {
	switch {
	case slices.Contains(additive, architecture):
		return "only adding"
	case slices.Contains(erasing, architecture):
		return "erasing"
	}
	return "beside them"
}

// architecturePoint is one architecture on one stream or prompt.
type architecturePoint struct {
	Architecture string  `parquet:"architecture" doc:"architecture and its family"`
	Series       string  `parquet:"series" doc:"prompt, training length, or both"`
	Excess       float64 `parquet:"excess" doc:"loss far beyond T less that within, nats, mean over models"`
	band
}

// summaryDots draws the summaries, one line per architecture, leaving out models that have not learned.
func summaryDots(all []Summary, series func(Summary) string, note string) report.Figure {
	var points []architecturePoint
	for _, s := range all {
		if s.Learned == 0 {
			continue
		}
		name := fmt.Sprintf("%s (%s)", ArchitectureNames[s.Architecture], FamilyOf(s.Architecture))
		points = append(points, architecturePoint{name, series(s), s.Excess.Mean, band{s.Excess.Low, s.Excess.High}})
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: note}, Category: "architecture", X: excessAxis, Lo: "low", Hi: "high",
		Series: []string{"series"}, Name: "%s", Marks: []figure.Mark{limitMark("fails", limits.Excess)}},
		Table: table.Of(points)}
}

// architecturesFigure draws the excess of every architecture on the recall stream.
func architecturesFigure(root string) (report.Figure, error) {
	models, err := ComparedModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	models = slices.DeleteFunc(models, func(m Compared) bool { return m.Kind != streamKind })
	if len(models) == 0 {
		return report.Figure{}, orMissing(nil, "models of the recall stream")
	}
	return summaryDots(Summaries(models), func(s Summary) string { return fmt.Sprintf("T = %d", s.T) },
		"Recall stream; mean over the models that have learned it, bootstrap intervals over seeds."), nil
}

// architecturesTextFigure draws the same on prompts of text.
func architecturesTextFigure(root string) (report.Figure, error) {
	models, err := ComparedModels(root)
	if err != nil {
		return report.Figure{}, err
	}
	models = slices.DeleteFunc(models, func(m Compared) bool { return m.Kind != "newlines" && m.Kind != "documents" })
	if len(models) == 0 {
		return report.Figure{}, orMissing(nil, "models of text")
	}
	return summaryDots(Summaries(models), func(s Summary) string {
		return fmt.Sprintf("%s, T = %s", promptNames[s.Kind], figure.Length(float64(s.T)))
	}, "Models of text; mean over those that have learned it, bootstrap intervals over seeds where there are several."), nil
}

// architectureLossPoint is the loss of one architecture at one position.
type architectureLossPoint struct {
	Panel        string  `parquet:"panel" doc:"family of the architecture"`
	Architecture string  `parquet:"architecture" doc:"architecture"`
	Times        float64 `parquet:"times" doc:"position, in training lengths"`
	Loss         float64 `parquet:"loss" doc:"nats, mean over seeds"`
	band
}

// architecturesLossFigure draws the loss by position on the recall stream, at the training length on which the verdict rests.
func architecturesLossFigure(root string) (report.Figure, error) {
	t, err := chosen(root, ArchitecturesPlan, "loss", "data", "recall", "train_length", streamShort)
	if err != nil {
		return report.Figure{}, err
	}
	if t, err = OverSeeds(t, []string{"architecture", "position", "end", "train_length"}, "loss"); err != nil {
		return report.Figure{}, err
	}
	if t, err = Times(t); err != nil {
		return report.Figure{}, err
	}
	type mean struct {
		Architecture string  `parquet:"architecture" doc:"architecture"`
		Times        float64 `parquet:"times" doc:"position, in training lengths"`
		Loss         float64 `parquet:"loss" doc:"nats, mean over seeds"`
		Low          float64 `parquet:"loss_low" doc:"of the best seed"`
		High         float64 `parquet:"loss_high" doc:"of the worst"`
	}
	means, err := table.Rows[mean](t)
	if err != nil {
		return report.Figure{}, err
	}
	var points []architectureLossPoint
	for _, a := range Architectures {
		for _, m := range means {
			if m.Architecture == a && !math.IsNaN(m.Loss) {
				points = append(points, architectureLossPoint{FamilyOf(a), ArchitectureNames[a], m.Times, m.Loss, band{m.Low, m.High}})
			}
		}
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Loss of values that were shown before; mean, smallest and largest of the seeds."},
		X: figure.Axis{Column: "times", Label: "Position / training length", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "loss", Label: "Loss", Unit: "nat", Scale: figure.Log10},
		Lo: "low", Hi: "high", Series: []string{"architecture"}, Name: "%s", Panel: "panel", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 1, Label: "T"}}},
		Table: table.Of(points)}, nil
}

// ByFamily adds the columns family and name to a table with a column of architectures and sorts its rows in the order of
// Architectures. An architecture that is not listed there gets the family "beside them" and keeps its own name.
func ByFamily(t *table.Table, column string) (*table.Table, error) {
	architecture, err := t.Text(column)
	if err != nil {
		return nil, err
	}
	place := func(a string) int {
		if i := slices.Index(Architectures, a); i >= 0 {
			return i
		}
		return len(Architectures)
	}
	rows := make([]int, len(architecture))
	for i := range rows {
		rows[i] = i
	}
	slices.SortStableFunc(rows, func(a, b int) int { return place(architecture[a]) - place(architecture[b]) })
	out := t.Take(rows)
	var family, name []string
	for _, r := range rows {
		a := architecture[r]
		if family = append(family, FamilyOf(a)); ArchitectureNames[a] != "" {
			a = ArchitectureNames[a]
		}
		name = append(name, a)
	}
	return out.AddText("family", family).AddText("name", name), nil
}
