package paper

import (
	"fmt"
	"math"

	"stuffed/datasets/published"
	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

func init() {
	Figures["20_mqar"], Figures["20_pairs"], Figures["20_held"] = mqarFigure, mqarPairsFigure, mqarHeldFigure
}

// architectureNames as papers write them.
var architectureNames = map[string]string{"mamba2": "Mamba-2", "mamba1": "Mamba", "deltanet": "DeltaNet", "gated-deltanet": "Gated DeltaNet", "gla": "GLA", "llama": "attention"}

func architectureName(name string) string {
	if known := architectureNames[name]; known != "" {
		return known
	}
	return name
}

// sweep says how much of the sweep of rates there is.
func sweep(all []Associative) string {
	least := mqarRates
	for _, a := range all {
		least = min(least, a.Rates)
	}
	if least == mqarRates {
		return "Best of four learning rates, as published."
	}
	return fmt.Sprintf("Partial sweep: ours is the best of at least %d of the four learning rates that the published points are the best of.", least)
}

var bytesAxis = figure.Axis{Column: "bytes", Label: "State", Unit: "B", Scale: figure.Log2}

// mqarFigure is accuracy against the bytes of the state, ours beside Zoology's.
func mqarFigure(root string) (report.Figure, error) {
	all, err := Associations(root)
	if err != nil {
		return report.Figure{}, err
	}
	printed, err := published.MQAR()
	if err != nil {
		return report.Figure{}, err
	}
	var panel, from []string
	var bytes, accuracy []float64
	put := func(architecture, source string, x, y float64) {
		panel, from = append(panel, architectureName(architecture)), append(from, source)
		bytes, accuracy = append(bytes, x), append(accuracy, y)
	}
	for _, a := range all {
		put(a.Architecture, "ours", a.Bytes, a.Accuracy)
	}
	for _, p := range printed {
		put(p.Architecture, "Zoology", p.Bytes, p.Accuracy)
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: sweep(all) + " Zoology's count the state of one layer where another is a long convolution; ours count both. Attention: the cache of 1,024 tokens."},
		X:    bytesAxis, Y: figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"}, Series: []string{"from"},
		Panel: "architecture", PanelName: "%s", Across: 3, Scatter: true,
	}, Table: table.New().AddText("architecture", panel).AddText("from", from).AddFloat("bytes", bytes).AddFloat("accuracy", accuracy)}, nil
}

// mqarPairsFigure is accuracy against the number of pairs, one curve for each size.
func mqarPairsFigure(root string) (report.Figure, error) {
	all, err := Associations(root)
	if err != nil {
		return report.Figure{}, err
	}
	var panel, size []string
	var pairs []int64
	var accuracy []float64
	for _, a := range all {
		most := map[int]float64{} // of several lengths with as many pairs the first
		for _, p := range a.ByPairs {
			if _, seen := most[p.Pairs]; seen {
				continue
			}
			most[p.Pairs] = p.Accuracy
			panel, size = append(panel, architectureName(a.Architecture)), append(size, fmt.Sprintf("%.0fK", a.Bytes/1024))
			pairs, accuracy = append(pairs, int64(p.Pairs)), append(accuracy, p.Accuracy)
		}
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: sweep(all) + " Training has at most 64 pairs in 256 tokens: 128 and 256 pairs are longer than trained."},
		X:    figure.Axis{Column: "pairs", Label: "Pairs", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"},
		Series: []string{"size"}, Name: "%s", Panel: "architecture", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 64, Label: "trained"}},
	}, Table: table.New().AddText("architecture", panel).AddText("size", size).AddInt("pairs", pairs).AddFloat("accuracy", accuracy)}, nil
}

// mqarHeldFigure is the memory that the recall takes at least against the memory that there is.
func mqarHeldFigure(root string) (report.Figure, error) {
	all, err := Associations(root)
	if err != nil {
		return report.Figure{}, err
	}
	var series []string
	var have, held []float64
	least, most := math.Inf(1), 0.0
	for _, a := range all {
		bits := a.HeldBits()
		if bits <= 0 {
			continue
		}
		series, have, held = append(series, architectureName(a.Architecture)), append(have, a.Bits), append(held, bits)
		least, most = min(least, a.Bits), max(most, a.Bits)
	}
	for _, b := range []float64{least, most} {
		series, have, held = append(series, "bound"), append(have, b), append(held, b)
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: sweep(all) + " Held: Fano's inequality at the measured accuracy, the most over the numbers of pairs; there: 32 bits for each number carried."},
		X:    figure.Axis{Column: "have", Label: "There", Unit: "bit", Scale: figure.Log2}, Y: figure.Axis{Column: "held", Label: "Held", Unit: "bit", Scale: figure.Log2},
		Series: []string{"series"},
	}, Table: table.New().AddText("series", series).AddFloat("have", have).AddFloat("held", held)}, nil
}
