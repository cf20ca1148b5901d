package paper

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/datasets/published"
	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/study"
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
	if len(all) == 0 {
		return "All points are Zoology's, read off its picture; ours have not run (study mqar)."
	}
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

// collectedAssociations are [Associations], none where the study has not run.
func collectedAssociations(root string) ([]Associative, error) {
	if !study.Collected(root, MQARPlan) {
		return nil, nil
	}
	return Associations(root)
}

// mqarFigure is accuracy against the bytes of the state, ours beside Zoology's; Zoology's alone where ours has not run.
func mqarFigure(root string) (report.Figure, error) {
	all, err := collectedAssociations(root)
	if err != nil {
		return report.Figure{}, err
	}
	printed, err := published.MQAR()
	if err != nil {
		return report.Figure{}, err
	}
	note := sweep(all)
	if len(all) > 0 {
		missing, err := missingRows(root, MQARPlan)
		if err != nil {
			return report.Figure{}, err
		}
		if said, _, some := strings.Cut(strings.ReplaceAll(missing, "*", ""), ":"); some {
			note += " " + said + "."
		}
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
		Size: figure.Size{Width: "double", Note: note + " Zoology's count the state of one layer where another is a long convolution; ours count both. Attention: the cache of 1,024 tokens."},
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

// streamHeld is what a model of the recall stream holds at least and what its state could, in bits.
type streamHeld struct {
	name        string
	there, bits float64
}

// streamsHeld are the models of the studies of the recall stream.
func streamsHeld(root string) (out []streamHeld, err error) {
	for _, plan := range []string{"capacity", "forget"} {
		if !study.Collected(root, plan) {
			continue
		}
		t, err := Held(root, plan, "zero")
		if err != nil {
			return nil, err
		}
		there, err := t.Float("bound_bits")
		if err != nil {
			return nil, err
		}
		bits, err := t.Float("held_bits")
		if err != nil {
			return nil, err
		}
		for i := range bits {
			out = append(out, streamHeld{"recall stream, " + plan, there[i], bits[i]})
		}
	}
	return out, nil
}

// mqarHeldFigure is the memory that the recall takes at least against the memory that there is: of models of the recall stream, and of
// those of the study of association where it has run.
func mqarHeldFigure(root string) (report.Figure, error) {
	models, err := streamsHeld(root)
	if err != nil {
		return report.Figure{}, err
	}
	all, err := collectedAssociations(root)
	if err != nil {
		return report.Figure{}, err
	}
	for _, a := range all {
		models = append(models, streamHeld{architectureName(a.Architecture), a.Bits, a.HeldBits()})
	}
	models = slices.DeleteFunc(models, func(m streamHeld) bool { return m.bits <= 0 })
	if len(models) == 0 {
		return report.Figure{}, fmt.Errorf("no model holds anything: %w", errNothing)
	}
	type place struct {
		name  string
		there float64
	}
	bits := map[place][]float64{}
	least, most := math.Inf(1), 0.0       // bits that there are
	nearest, farthest := math.Inf(1), 0.0 // factors
	var places []place
	for _, m := range models {
		at := place{m.name, m.there}
		if bits[at] == nil {
			places = append(places, at)
		}
		bits[at] = append(bits[at], m.bits)
		least, most = min(least, m.there), max(most, m.there)
		nearest, farthest = min(nearest, m.there/m.bits), max(farthest, m.there/m.bits)
	}
	var series []string
	var have, held, low, high []float64
	put := func(name string, there, mean, l, h float64) {
		series, have, held, low, high = append(series, name), append(have, there), append(held, mean), append(low, l), append(high, h)
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.there, b.there) })
	for _, at := range places {
		mean, l, h := spread(bits[at])
		put(at.name, at.there, mean, l, h)
	}
	for _, b := range []float64{least, most} {
		put("bound", b, b, b, b)
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: fmt.Sprintf("Means and ranges over models of a size. They stay below the bound by factors of %.0f to %.0f. Held: Fano's inequality at the measured accuracy; there: 32 bits for each number.", math.Floor(nearest), math.Ceil(farthest))},
		X:    figure.Axis{Column: "have", Label: "There", Unit: "bit", Scale: figure.Log2}, Y: figure.Axis{Column: "held", Label: "Held", Unit: "bit", Scale: figure.Log2},
		Lo: "low", Hi: "high", Series: []string{"series"},
	}, Table: table.New().AddText("series", series).AddFloat("have", have).AddFloat("held", held).AddFloat("low", low).AddFloat("high", high)}, nil
}
