package paper

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// memoryTable reads a table written by stuffed memory to root/memory, models of the recall stream before those of text, with
// their names spelled out.
func memoryTable(root, name string) (*table.Table, error) {
	t, err := table.Read(filepath.Join(root, "memory", name+".csv"))
	if err != nil {
		return nil, err
	}
	models, err := t.Text("model")
	if err != nil {
		return nil, err
	}
	order := make([]int, len(models))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		text := func(i int) bool { return strings.HasPrefix(models[i], "text") }
		switch {
		case text(a) != text(b):
			return map[bool]int{true: 1, false: -1}[text(a)]
		case len(models[a]) != len(models[b]):
			return len(models[a]) - len(models[b])
		}
		return strings.Compare(models[a], models[b])
	})
	t = t.Take(order)
	if models, err = t.Text("model"); err != nil {
		return nil, err
	}
	for i, m := range models {
		models[i] = memoryNames.Replace(m)
	}
	return t, nil
}

// memoryNames spells out the names of models, all of training length 64.
var memoryNames = strings.NewReplacer("recall-n", "recall, N ", "-t64", "", "-seed", ", seed ", "-passed", ", passed", "-carried", ", carried")

// oraclePoint is one octave of positions of one model.
type oraclePoint struct {
	Model string  `parquet:"model" doc:"model"`
	Times float64 `parquet:"times" doc:"first position, in training lengths"`
	Gap   float64 `parquet:"gap" doc:"loss less that of the oracle of short memory, nats"`
	band
}

// oracleFigure draws the loss beyond T less that of the same model when it has read only the last ½T … T tokens.
func oracleFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "oracle")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"train_length", "position", "gap", "gap_low", "gap_high"})
	if err != nil {
		return report.Figure{}, err
	}
	var points []oraclePoint
	for i, at := range c.float["position"] {
		if at > 0 {
			points = append(points, oraclePoint{c.text["model"][i], at / c.float["train_length"][i], c.float["gap"][i], band{c.float["gap_low"][i], c.float["gap_high"][i]}})
		}
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Loss less that of an oracle of short memory: the same model, started from zeros so that it has read the last ½T … T tokens. Above 0, what is older does harm. In the recall stream some pairs are older than what the oracle has read, which speaks for the model. Octaves by their first position; shaded: 95 % bootstrap over 8 sequences."},
		X:    figure.Axis{Column: "times", Label: "Position", Unit: "T", Scale: figure.Log2}, Y: figure.Axis{Column: "gap", Label: "Loss − oracle's", Unit: "nat"},
		Lo: "low", Hi: "high", Panel: "model", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 0, Horizontal: true}},
	}, Table: table.Of(points)}, nil
}

// remembrancePoint is one model that has read only its last tokens.
type remembrancePoint struct {
	Model    string  `parquet:"model" doc:"model"`
	Kind     string  `parquet:"kind" doc:"models of text or of the recall stream"`
	Read     float64 `parquet:"read" doc:"last tokens read, in training lengths"`
	Distance float64 `parquet:"distance" doc:"effective remembrance; 1e-6 where it is smaller"`
	band
}

// remembranceFigure draws effective remembrance (arXiv 2507.02782).
func remembranceFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "remembrance")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"read", "distance", "low", "high"})
	if err != nil {
		return report.Figure{}, err
	}
	least := 1e-6 // rounding to float32 alone makes predictions differ by this much
	var points []remembrancePoint
	for i, m := range c.text["model"] {
		points = append(points, remembrancePoint{m, streams[strings.HasPrefix(m, "text")], c.float["read"][i], max(c.float["distance"][i], least),
			band{max(c.float["low"][i], least), max(c.float["high"][i], least)}})
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Half the sum of |p − p'| over the next token: p after all 32 T tokens, p' after the last ones alone, started from zeros. Where a curve has come down, what is older no longer matters. Shaded: 95 % bootstrap over 8 sequences; below 10⁻⁶, the rounding of float32, drawn there."},
		X:    figure.Axis{Column: "read", Label: "Last tokens read", Unit: "T", Scale: figure.Log2}, Y: figure.Axis{Column: "distance", Label: "Effective remembrance", Unit: "share", Scale: figure.Log10},
		Lo: "low", Hi: "high", Panel: "kind", PanelName: "%s", Series: []string{"model"}, Across: 2, Marks: []figure.Mark{{At: 1, Label: "T"}},
	}, Table: table.Of(points)}, nil
}

var streams = map[bool]string{true: "models of text", false: "models of the recall stream"}

// statePoint is one head.
type statePoint struct {
	Model    string  `parquet:"model" doc:"model"`
	Place    string  `parquet:"place" doc:"where the states were taken"`
	Distance float64 `parquet:"distance" doc:"energy coefficient between these states and those within the window"`
}

// statesFigure draws how far the states beyond T lie from those within, one point per head.
func statesFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "states")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"train_length", "position", "distance"})
	if err != nil {
		return report.Figure{}, err
	}
	var points []statePoint
	for i, at := range c.float["position"] {
		label := "within T, other sequences"
		if at > 0 {
			label = fmt.Sprintf("from %.0f T", at/c.float["train_length"][i])
		}
		if at > 0 && label != "from 1 T" && label != "from 16 T" {
			continue
		}
		points = append(points, statePoint{c.text["model"][i], label, c.float["distance"][i]})
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "Energy coefficient between the states of a head in T … 2T or 16T … 32T and those of other sequences in ½T … T: 0 for one distribution, towards 1 the farther apart. Every head a point; filled: what no difference looks like."},
		Category: "model", Series: []string{"place"}, X: figure.Axis{Column: "distance", Label: "Distance from the states within the window", Unit: "1"},
		Marks: []figure.Mark{limitMark("alike", 0)},
	}, Table: table.Of(points)}, nil
}

// coherencePoint is one head.
type coherencePoint struct {
	What      string  `parquet:"what" doc:"how its growth was foretold"`
	Models    string  `parquet:"models" doc:"models of text or of the recall stream"`
	Explained float64 `parquet:"explained" doc:"growth by filling up alone"`
	Ratio     float64 `parquet:"ratio" doc:"growth measured over growth by filling up"`
}

// coherenceFigure draws the growth of every head against the growth predicted by filling up at its own retention and coherence.
func coherenceFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "coherence")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"growth", "coherent", "expected"})
	if err != nil {
		return report.Figure{}, err
	}
	var points []coherencePoint
	for i, m := range c.text["model"] {
		kind, growth := streams[strings.HasPrefix(m, "text")], c.float["growth"][i]
		expected, bound := c.float["expected"][i], c.float["coherent"][i]
		points = append(points, coherencePoint{"Expected: retention and coherence as measured within", kind, expected, growth / expected},
			coherencePoint{"Bound: all writes point the same way", kind, bound, growth / bound})
	}
	least, most := 0.4, 2.5
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Every head of six models that ship a point; growth of the root mean square norm from ½T … T to the last half of 32 T. At 1 a head has filled up as it began to within the window, and nothing else has happened."},
		X:    figure.Axis{Column: "explained", Label: "Growth by filling up alone", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "ratio", Label: "Growth measured / by filling up", Unit: "1", Scale: figure.Log2, Min: &least, Max: &most},
		Series: []string{"models"}, Panel: "what", PanelName: "%s", Across: 2, Scatter: true, Marks: []figure.Mark{{At: 1, Horizontal: true}},
	}, Table: table.Of(points)}, nil
}
