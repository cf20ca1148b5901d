package paper

import (
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// FamilyOf is the family of an architecture in words.
func FamilyOf(architecture string) string {
	switch {
	case slices.Contains(additive, architecture):
		return "only adding"
	case slices.Contains(erasing, architecture):
		return "erasing"
	}
	return "beside them"
}

// summaryDots draws summaries, one line for every architecture, with models that have not learned left out.
func summaryDots(all []Summary, series func(Summary) string, note string) report.Figure {
	var names, in []string
	var mean, low, high []float64
	for _, s := range all {
		if s.Learned == 0 {
			continue
		}
		names, in = append(names, fmt.Sprintf("%s (%s)", ArchitectureNames[s.Architecture], FamilyOf(s.Architecture))), append(in, series(s))
		mean, low, high = append(mean, s.Excess.Mean), append(low, s.Excess.Low), append(high, s.Excess.High)
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: note}, Category: "architecture", X: excessAxis, Lo: "low", Hi: "high",
		Series: []string{"series"}, Name: "%s", Marks: []figure.Mark{limitMark("fails", limits.Excess)}},
		Table: table.New().AddText("architecture", names).AddText("series", in).AddFloat("excess", mean).AddFloat("low", low).AddFloat("high", high)}
}

// architecturesFigure is the excess of every architecture on the recall stream.
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

// architecturesTextFigure is the same on prompts of text.
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

// architecturesLossFigure is the loss by position on the recall stream at the training length that decides.
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
	architectures, err := t.Text("architecture")
	if err != nil {
		return report.Figure{}, err
	}
	columns := map[string][]float64{}
	for _, name := range []string{"times", "loss", "loss_low", "loss_high"} {
		if columns[name], err = t.Float(name); err != nil {
			return report.Figure{}, err
		}
	}
	var panel, name []string
	var x, y, low, high []float64
	for _, a := range Architectures {
		for i := range architectures {
			if architectures[i] != a || math.IsNaN(columns["loss"][i]) {
				continue
			}
			panel, name = append(panel, FamilyOf(a)), append(name, ArchitectureNames[a])
			x, y, low, high = append(x, columns["times"][i]), append(y, columns["loss"][i]), append(low, columns["loss_low"][i]), append(high, columns["loss_high"][i])
		}
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Loss of values that were shown before; mean, smallest and largest of the seeds."},
		X: figure.Axis{Column: "times", Label: "Position / training length", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "loss", Label: "Loss", Unit: "nat", Scale: figure.Log10},
		Lo: "low", Hi: "high", Series: []string{"architecture"}, Name: "%s", Panel: "panel", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 1, Label: "T"}}},
		Table: table.New().AddText("panel", panel).AddText("architecture", name).AddFloat("times", x).AddFloat("loss", y).AddFloat("low", low).AddFloat("high", high)}, nil
}

// ByFamily adds the columns family and name to a table that has a column of architectures, in the order of Architectures; an
// architecture that is not among them is beside them under its own name.
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
