package paper

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/datasets/published"
	"stuffed/pkg/figure"
	"stuffed/pkg/numeral"
	"stuffed/pkg/report"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

func init() {
	Figures["20_mqar"], Figures["20_pairs"], Figures["20_held"] = mqarFigure, mqarPairsFigure, mqarHeldFigure
}

// architectureNames maps an architecture to its name as papers write it.
var architectureNames = map[string]string{"mamba2": "Mamba-2", "mamba1": "Mamba", "deltanet": "DeltaNet", "gated-deltanet": "Gated DeltaNet", "gla": "GLA", "llama": "attention"}

func architectureName(name string) string {
	if known := architectureNames[name]; known != "" {
		return known
	}
	return name
}

// sweep says how much of the sweep over learning rates has run.
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

// collectedAssociations returns [Associations], or none where the study has not run.
func collectedAssociations(root string) ([]Associative, error) {
	if !study.Collected(root, MQARPlan) {
		return nil, nil
	}
	return Associations(root)
}

// mqarPoint is one size of one architecture.
type mqarPoint struct {
	Architecture string  `parquet:"architecture" doc:"architecture"`
	From         string  `parquet:"from" doc:"ours or Zoology's"`
	Bytes        float64 `parquet:"bytes" doc:"size of the state"`
	Accuracy     float64 `parquet:"accuracy" doc:"share of values recalled"`
}

// mqarFigure draws accuracy against the bytes of the state, ours next to Zoology's, or Zoology's alone where ours has not run.
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
		if said, _, some := strings.Cut(strings.NewReplacer("*", "", "`", "").Replace(missing), ":"); some {
			note += " " + said + "."
		}
	}
	var points []mqarPoint
	for _, a := range all {
		points = append(points, mqarPoint{architectureName(a.Architecture), a.with("ours"), a.Bytes, a.Accuracy})
	}
	for _, p := range printed {
		points = append(points, mqarPoint{architectureName(p.Architecture), "Zoology", p.Bytes, p.Accuracy})
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: note + " Zoology's count the state of one layer where another is a long convolution; ours count both. Attention: the cache of 1,024 tokens."},
		X:    bytesAxis, Y: figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"}, Series: []string{"from"},
		Panel: "architecture", PanelName: "%s", Across: 3, Scatter: true,
	}, Table: table.Of(points)}, nil
}

// mqarPairsPoint is one size of one architecture at one number of pairs.
type mqarPairsPoint struct {
	Architecture string  `parquet:"architecture" doc:"architecture"`
	Size         string  `parquet:"size" doc:"size of the state, KiB"`
	Pairs        int     `parquet:"pairs" doc:"number of pairs"`
	Accuracy     float64 `parquet:"accuracy" doc:"share of values recalled"`
}

// mqarPairsFigure draws accuracy against the number of pairs, one curve per size.
func mqarPairsFigure(root string) (report.Figure, error) {
	all, err := Associations(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []mqarPairsPoint
	for _, a := range all {
		most := map[int]float64{} // of several lengths with the same number of pairs, the first
		for _, p := range a.ByPairs {
			if _, seen := most[p.Pairs]; seen {
				continue
			}
			most[p.Pairs] = p.Accuracy
			points = append(points, mqarPairsPoint{architectureName(a.Architecture), a.with(figure.Length(a.Bytes)), p.Pairs, p.Accuracy})
		}
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: sweep(all) + " Training has at most 64 pairs in 256 tokens: 128 and 256 pairs are longer than trained."},
		X:    figure.Axis{Column: "pairs", Label: "Pairs", Unit: "1", Scale: figure.Log2}, Y: figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"},
		Series: []string{"size"}, Name: "%s", Panel: "architecture", PanelName: "%s", Across: 3, Marks: []figure.Mark{{At: 64, Label: "trained"}},
	}, Table: table.Of(points)}, nil
}

// streamHeld is the least that a model of the recall stream must hold and the most that its state could, in bits.
type streamHeld struct {
	name        string
	there, bits float64
}

// streamsHeld returns the models of the studies of the recall stream.
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

// heldPoint is a mean over the models of one size, or a point of the bound.
type heldPoint struct {
	Series string  `parquet:"series" doc:"stream or architecture of the models, or the bound"`
	Have   float64 `parquet:"have" doc:"bits of the state"`
	Held   float64 `parquet:"held" doc:"bits that the recall takes at least"`
	band
}

// mqarHeldFigure draws the least memory that the recall requires against the memory available, for models of the recall stream
// and, where it has run, of the study of associative recall.
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
		models = append(models, streamHeld{a.with(architectureName(a.Architecture)), a.Bits, a.HeldBits()})
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
	least, most := math.Inf(1), 0.0       // bits available
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
	var points []heldPoint
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.there, b.there) })
	for _, at := range places {
		mean, low, high := spread(bits[at])
		points = append(points, heldPoint{at.name, at.there, mean, band{low, high}})
	}
	for _, b := range []float64{least, most} {
		points = append(points, heldPoint{"bound", b, b, band{b, b}})
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: fmt.Sprintf("Means and ranges over models of a size. They stay below the bound by factors of %s to %s. Recalled: the least that the accuracy takes, by Fano's inequality; carried: 32 bits for each number.",
			numeral.Grouped(int(nearest)), numeral.Grouped(int(math.Ceil(farthest))))},
		X: figure.Axis{Column: "have", Label: "Carried from token to token", Unit: "bit", Scale: figure.Log2}, Y: figure.Axis{Column: "held", Label: "Recalled", Unit: "bit", Scale: figure.Log2},
		Lo: "low", Hi: "high", Series: []string{"series"},
	}, Table: table.Of(points)}, nil
}
