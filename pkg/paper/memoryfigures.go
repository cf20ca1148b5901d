package paper

import (
	"fmt"
	"path/filepath"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// memoryTable is a table of stuffed memory in root/memory, with models named without the stream.
func memoryTable(root, name string) (*table.Table, error) {
	t, err := table.Read(filepath.Join(root, "memory", name+".csv"))
	if err != nil {
		return nil, err
	}
	models, err := t.Text("model")
	if err != nil {
		return nil, err
	}
	for i, m := range models {
		models[i] = strings.TrimPrefix(m, "recall-")
	}
	return t, nil
}

// oracleFigure is the loss beyond T beside that of the same model that has read the last ½T … T tokens alone.
func oracleFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "oracle")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"train_length", "position", "gap", "gap_low", "gap_high"})
	if err != nil {
		return report.Figure{}, err
	}
	var model []string
	var times, gap, low, high []float64
	for i, at := range c.float["position"] {
		if at > 0 {
			model, times = append(model, c.text["model"][i]), append(times, at/c.float["train_length"][i])
			gap, low, high = append(gap, c.float["gap"][i]), append(low, c.float["gap_low"][i]), append(high, c.float["gap_high"][i])
		}
	}
	out := table.New().AddText("model", model).AddFloat("times", times).AddFloat("gap", gap).AddFloat("low", low).AddFloat("high", high)
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Loss less that of an oracle of short memory: the same model, started from zeros so that it has read the last ½T … T tokens. Above 0, what is older than the window does harm. Octaves by their first position; 95 % bootstrap over sequences."},
		X:    figure.Axis{Column: "times", Label: "Position", Unit: "T", Scale: figure.Log2}, Y: figure.Axis{Column: "gap", Label: "Loss − oracle's", Unit: "nat"},
		Lo: "low", Hi: "high", Panel: "model", PanelName: "%s", Across: 4, Marks: []figure.Mark{{At: 0, Horizontal: true}},
	}, Table: out}, nil
}

// remembranceFigure is the effective remembrance of arXiv 2507.02782.
func remembranceFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "remembrance")
	if err != nil {
		return report.Figure{}, err
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Total variation distance between the predictions at the end after all tokens and after those from a start on. Near 0 at early starts: the model has forgotten its earliest tokens; shaded: 95 % bootstrap over sequences."},
		X:    figure.Axis{Column: "times", Label: "First token read", Unit: "T", Scale: figure.Log2}, Y: figure.Axis{Column: "distance", Label: "Effective remembrance", Unit: "share"},
		Lo: "low", Hi: "high", Panel: "model", PanelName: "%s", Across: 4, Marks: []figure.Mark{{At: 1, Label: "T"}},
	}, Table: t}, nil
}

// statesFigure is how far the states beyond T lie from those within, every head a point.
func statesFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "states")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"train_length", "position", "distance", "direction"})
	if err != nil {
		return report.Figure{}, err
	}
	var model, place, what []string
	var value []float64
	for i, at := range c.float["position"] {
		label := "window, other sequences"
		if at > 0 {
			label = fmt.Sprintf("from %.0f T", at/c.float["train_length"][i])
		}
		if label != "window, other sequences" && label != "from 1 T" && label != "from 16 T" {
			continue
		}
		for k, name := range []string{"States", "States divided by their norms"} {
			model, place, what = append(model, c.text["model"][i]), append(place, label), append(what, name)
			value = append(value, [][]float64{c.float["distance"], c.float["direction"]}[k][i])
		}
	}
	out := table.New().AddText("model", model).AddText("place", place).AddText("what", what).AddFloat("distance", value)
	states := out.Filter(func(i int) bool { return what[i] == "States" })
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "Energy coefficient of the states of a head beyond T and those of other sequences within: 0 for one distribution, towards 1 apart. Every head a point."},
		Category: "model", Series: []string{"place"}, X: figure.Axis{Column: "distance", Label: "Distance from the states within the window", Unit: "1"},
		Marks: []figure.Mark{limitMark("alike", 0)},
	}, Table: states}, nil
}

// coherenceFigure is the growth of every head beside what filling up at its own retention and coherence gives.
func coherenceFigure(root string) (report.Figure, error) {
	t, err := memoryTable(root, "coherence")
	if err != nil {
		return report.Figure{}, err
	}
	c, err := readOf(t, []string{"model"}, []string{"growth", "coherent", "expected"})
	if err != nil {
		return report.Figure{}, err
	}
	var what, kind []string
	var explained, growth []float64
	for i, m := range c.text["model"] {
		for k, name := range []string{"Expected: retention and coherence measured within", "Bound: all writes point the same way"} {
			what, kind = append(what, name), append(kind, map[bool]string{true: "text", false: "recall"}[strings.HasPrefix(m, "text")])
			explained = append(explained, [][]float64{c.float["expected"], c.float["coherent"]}[k][i])
			growth = append(growth, c.float["growth"][i])
		}
	}
	out := table.New().AddText("what", what).AddText("models", kind).AddFloat("explained", explained).AddFloat("growth", growth)
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Every head of the models that ship a point; growth of the root mean square norm from ½T … T to the last half of 32 T. On the diagonal a head fills up as it does within the window and nothing else happens."},
		X:    figure.Axis{Column: "explained", Label: "Growth of a head that goes on as within", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "growth", Label: "Growth measured", Unit: "1", Scale: figure.Log2},
		Series: []string{"models"}, Panel: "what", PanelName: "%s", Across: 2, Scatter: true,
	}, Table: out}, nil
}
