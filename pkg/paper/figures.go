package paper

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// Figures are those that the claims point to, each drawn from the tables that its claim is judged by.
var Figures = map[string]func(root string) (report.Figure, error){
	"03_states": statesFigure, "06_oracle": oracleFigure, "06_remembrance": remembranceFigure, "11_coherence": coherenceFigure,
	"05_drift": driftFigure, "07_causes": causesFigure, "07_dose": doseFigure, "07_matched": matchedFigure, "07_own_growth": ownGrowthFigure, "08_loss": methodsFigure, "08_paired": pairedFigure, "08_norm_limit": normLimitFigure, "09_excess": excessFigure, "09_all_tokens": allTokensFigure,
	"09_price": priceFigure, "09_cure": cureFigure, "09_gap": gapFigure, "11_growth": growthFigure, "11_order": orderFigure, "11_retention": retentionFigure, "15_prompts": promptsFigure,
	"18_architectures": architecturesFigure, "18_loss": architecturesLossFigure,
}

// Draw makes one of Figures.
func Draw(id, root string) (report.Figure, error) {
	f, known := Figures[id]
	if !known {
		return report.Figure{}, fmt.Errorf("figure %q is unknown; choose one of %s", id, strings.Join(figureNames(), ", "))
	}
	out, err := f(root)
	if err != nil {
		return out, fmt.Errorf("figure %s: %w", id, err)
	}
	return out, nil
}

func figureNames() (names []string) {
	for name := range Figures {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var excessAxis = figure.Axis{Column: "excess", Label: "Excess loss far beyond T", Unit: "nat"}

func limitMark(label string, at float64) figure.Mark { return figure.Mark{At: at, Label: label} }

// excessFigure is the grid of N and T of the two recall streams: mean excess and how many models fail.
func excessFigure(root string) (report.Figure, error) {
	models, err := Models(root, ForgetPlan, CapacityPlan)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, with("zero"), Model.Learned, func(m Model) bool { return m.Plan == CapacityPlan || m.Heads == 8 })
	var stream, cells []string
	var x []string
	var state []int64
	var mean []float64
	slices.SortStableFunc(models, func(a, b Model) int {
		return strings.Compare(b.Plan, a.Plan)*1e6 + a.T*1000 + a.State - b.T*1000 - b.State
	})
	names, by := groups(models, func(m Model) string { return fmt.Sprint(m.stream(), m.T, m.State) })
	for _, name := range names {
		some := by[name]
		m := some[0]
		label := fmt.Sprintf("gap 64, T %d", m.T)
		if m.Plan == CapacityPlan {
			label = fmt.Sprintf("gap = T = %d", m.T)
		}
		stream, x, state = append(stream, m.stream()), append(x, label), append(state, int64(m.State))
		value := meanOf(values(some, excess)).Value
		mean = append(mean, value)
		cells = append(cells, fmt.Sprintf("%.2g · %d/%d", value, count(some, Model.failing), len(some)))
	}
	t := table.New().AddText("stream", stream).AddText("setting", x).AddInt("state", state).AddFloat("excess", mean).AddText("cell", cells)
	low, high := 0.0, 0.8
	return report.Figure{Spec: figure.HeatMap{
		Size: figure.Size{Width: "double", Note: cellNote(state, x)},
		X:    figure.Axis{Column: "setting", Label: "Stream and training length", Unit: "1"}, Y: figure.Axis{Column: "state", Label: "State size N", Unit: "1"},
		Value: figure.Axis{Column: "excess", Label: "Mean excess loss", Unit: "nat", Min: &low, Max: &high}, Cell: "cell",
	}, Table: t}, nil
}

// cellNote explains the cells of a map of models, and those that a column and a row have none for.
func cellNote[R, C cmp.Ordered](rows []R, columns []C) string {
	note := fmt.Sprintf("In each cell: mean over seeds · models that fail / models (excess of %g nat or more, interval above 0).", limits.Excess)
	if len(rows) < distinct(rows)*distinct(columns) {
		note += " Hatched: not run."
	}
	return note
}

func distinct[T cmp.Ordered](values []T) int {
	return len(slices.Compact(slices.Sorted(slices.Values(values))))
}

func allTokensFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, with("zero"))
	var condition []string
	for _, m := range models {
		condition = append(condition, m.condition())
	}
	t := table.New().AddText("condition", condition).AddFloat("ratio", values(models, func(m Model) float64 { return m.AllRatio }))
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Mean loss of all tokens: largest bucket beyond T over the largest within. Every model a point."},
		Category: "condition", X: figure.Axis{Column: "ratio", Label: "Loss of all tokens, beyond T / within", Unit: "1"},
		Marks: []figure.Mark{limitMark("the paper's rule", limits.Factor)}}, Table: t}, nil
}

func priceFigure(root string) (report.Figure, error) {
	s, err := shortLosses(root)
	if err != nil {
		return report.Figure{}, err
	}
	var size []string
	var mean, low, high []float64
	for _, n := range s.sizes {
		d := minus(s.at[n][256], s.at[n][64])
		size, mean, low, high = append(size, fmt.Sprintf("N %d", n)), append(mean, d.Value), append(low, d.Low), append(high, d.High)
	}
	t := table.New().AddText("size", size).AddFloat("difference", mean).AddFloat("low", low).AddFloat("high", high)
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: "Mean over 3 seeds each with 95 % intervals (Welch); right of 0: the longer training costs."}, Category: "size",
		X: figure.Axis{Column: "difference", Label: "Loss of the first 64 tokens, T 256 less T 64", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("no price", 0)}}, Table: t}, nil
}

// cureFigure is the far loss of every model at T 64 beside the same sizes with longer windows, carried or passed states.
func cureFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.stream() == "recall, gap 64" && m.Heads == 8 && (m.T == 64 || m.T == 256) })
	slices.SortStableFunc(models, func(a, b Model) int { return a.State - b.State })
	var size, kind []string
	for _, m := range models {
		size = append(size, fmt.Sprintf("N %d, %.0fM tokens", m.State, float64(m.Tokens)/1e6))
		name := m.Policy + " states, T 64"
		if m.T == 256 {
			name = "zero states, T 256"
		}
		kind = append(kind, name)
	}
	t := table.New().AddText("size", size).AddText("trained", kind).AddFloat("far", values(models, far)).AddFloat("inside", values(models, inside)).AddFloat("excess", values(models, excess))
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every model a point: mean loss over the last half of the sequence. Loss within and excess are in the table beside the figure."},
		Category: "size", Series: []string{"trained"}, X: figure.Axis{Column: "far", Label: "Far loss", Unit: "nat", Scale: figure.Log10}}, Table: t}, nil
}

// growthFigure is the growth of the head that grows most, by what filling up explains, against the excess loss.
func growthFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.Policy != "passed" })
	var kind []string
	var x, explained []float64
	for _, m := range models {
		kind = append(kind, m.stream())
		x, explained = append(x, m.Top().Growth), append(explained, m.Top().Growth/m.Top().Coherent)
	}
	n := len(models)
	t := table.New().AddText("panel", append(slices.Repeat([]string{"Growth of the norm"}, n), slices.Repeat([]string{"Growth / what filling up explains"}, n)...)).
		AddText("stream", append(slices.Clone(kind), kind...)).AddFloat("growth", append(slices.Clone(x), explained...)).
		AddFloat("excess", append(values(models, excess), values(models, excess)...)).AddFloat("retained", append(values(models, func(m Model) float64 { return m.Top().Retained }), values(models, func(m Model) float64 { return m.Top().Retained })...))
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Every model a point: its head of the largest growth. A model that explodes and fails lies above the line and, in the right panel, right of 1. Passed states are left out: they are not trained on sequences from zeros, so that they have no level within."},
		X: figure.Axis{Column: "growth", Label: "Largest growth of a head", Unit: "1", Scale: figure.Log2}, Y: excessAxis, Series: []string{"stream"}, Panel: "panel", PanelName: "%s", Across: 2, Scatter: true,
		Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}}, Table: t}, nil
}

func orderFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.Strict })
	names := []string{"state first", "loss first", "undecided"}
	n := map[string]float64{}
	for _, m := range models {
		n[m.First]++
	}
	t := table.New().AddText("order", names).AddFloat("models", []float64{n["state"], n["loss"], n["undecided"]})
	zero := 0.0
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: fmt.Sprintf("%d models of all studies that degrade by the strict rule.", len(models))}, Category: "order",
		X: figure.Axis{Column: "models", Label: "Models", Unit: "1", Min: &zero}}, Table: t}, nil
}

func retentionFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned)
	var condition, fails []string
	for _, m := range models {
		condition = append(condition, m.condition()+", "+m.Policy)
		fails = append(fails, map[bool]string{true: "fails", false: "holds"}[m.failing()])
	}
	t := table.New().AddText("condition", condition).AddText("verdict", fails).AddFloat("kept", values(models, kept)).AddFloat("excess", values(models, excess))
	zero, one := 0.0, 1.02
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every model a point: what its most retentive head keeps over T tokens of the window."}, Category: "condition", Series: []string{"verdict"},
		X: figure.Axis{Column: "kept", Label: "Retained over T", Unit: "share", Min: &zero, Max: &one}, Marks: []figure.Mark{limitMark("v1: 0.8", keptV1), limitMark("v2: 0.997", keptV2)}}, Table: t}, nil
}

// methodTitles are methods in words.
var methodTitles = map[string]string{"rri": "method 1: less retention and insertion", "rri_beyond": "method 1, beyond T only", "state_norm": "method 2: norm limit", "state_norm_chunked": "method 2, every 16 tokens",
	"window": "method 3: window", "filter": "token filter", "delta_constant": "constant Δ", "layer_delta": "Δ scaled by layer", "layer_delta_zeroth": "Δ scaled by layer, zeroth order", "layer_a": "A scaled by layer", "decimation": "decimation"}

func pairedFigure(root string) (report.Figure, error) {
	t, err := methodsTable(root)
	if err != nil {
		return report.Figure{}, err
	}
	multiples, err := t.Float("multiple")
	if err != nil {
		return report.Figure{}, err
	}
	last := slices.Max(multiples)
	all, err := t.Text("method")
	if err != nil {
		return report.Figure{}, err
	}
	var names, methods, what []string
	var factor, low, high []float64
	for _, name := range all {
		if name == "none" || slices.Contains(methods, name) {
			continue
		}
		methods = append(methods, name)
		p, err := method(t, name, "loss", last)
		if err != nil {
			return report.Figure{}, err
		}
		m := meanOf(p.factors()).exp()
		add := func(kind string, v, lo, hi float64) {
			names, what, factor, low, high = append(names, methodTitles[name]), append(what, kind), append(factor, v), append(low, lo), append(high, hi)
		}
		add("mean, 95 % interval", m.Value, m.Low, m.High)
		for i := range p.with {
			add("one model", p.with[i]/p.without[i], math.NaN(), math.NaN())
		}
	}
	out := table.New().AddText("method", names).AddText("what", what).AddFloat("factor", factor).AddFloat("low", low).AddFloat("high", high)
	least, most := 0.05, 64.0
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: fmt.Sprintf("Loss at %g T under a method over that of the same model as it is; left of 1: lower.", last)}, Category: "method", Series: []string{"what"},
		X: figure.Axis{Column: "factor", Label: "Far loss with / without", Unit: "1", Scale: figure.Log2, Min: &least, Max: &most}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("as it is", 1)}}, Table: out}, nil
}

func matchedFigure(root string) (report.Figure, error) {
	t, err := table.Read(filepath.Join(root, "interventions", "matched.csv"))
	if err != nil {
		return report.Figure{}, err
	}
	effects, err := matchedEffects(t)
	if err != nil {
		return report.Figure{}, err
	}
	var line, set []string
	var change []float64
	for _, e := range effects {
		for i, m := range e.models {
			name := fmt.Sprintf("%s by %.2g: %s", map[string]string{"lower": "lowered", "raise": "raised"}[e.direction], e.shift, strings.TrimPrefix(m, "recall-"))
			line, set, change = append(line, name, name), append(set, "two most retentive heads", "others, equal change (mean)"), append(change, e.chosen[i], e.control[i])
		}
	}
	out := table.New().AddText("run", line).AddText("set", set).AddFloat("change", change)
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Change of Σ log α over T tokens, per head; paired by model."}, Category: "run", Series: []string{"set"},
		X: figure.Axis{Column: "change", Label: "Change of the excess loss", Unit: "nat"}, Marks: []figure.Mark{limitMark("no change", 0)}}, Table: out}, nil
}

func promptsFigure(root string) (report.Figure, error) {
	seen, err := promptsOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	var name, model []string
	var x, low, high []float64
	for _, s := range seen {
		if !strings.HasPrefix(s.model, "text") {
			continue
		}
		name, model = append(name, s.prompt), append(model, s.model)
		x, low, high = append(x, s.Excess.Mean), append(low, s.Excess.Low), append(high, s.Excess.High)
	}
	t := table.New().AddText("prompt", name).AddText("model", model).AddFloat("excess", x).AddFloat("low", low).AddFloat("high", high)
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Mean loss of the last half of the sequence less that in ½T … T; 95 % over sequences where there are several."}, Category: "prompt", Series: []string{"model"},
		X: excessAxis, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("fails", limits.Excess)}}, Table: t}, nil
}

func driftFigure(root string) (report.Figure, error) {
	all, err := componentsOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	half, double := 0.5, 2.0
	titles := map[string]string{"delta": "Δ", "b_norm": "norm of B", "x_norm": "norm of x", "write_norm": "norm of Δ x Bᵀ"}
	var name, kind []string
	var change []float64
	for _, c := range all {
		title := titles[c.quantity]
		if title == "" {
			title = c.quantity
		}
		name, change = append(name, title), append(change, c.change)
		kind = append(kind, map[bool]string{true: "text models", false: "recall models"}[strings.HasPrefix(c.model, "text")])
	}
	t := table.New().AddText("quantity", name).AddText("models", kind).AddFloat("change", change)
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every head (of the convolution state every layer) a point: mean over the last half of the sequence over that in ½T … T."}, Category: "quantity", Series: []string{"models"},
		X: figure.Axis{Column: "change", Label: "Far beyond T / within", Unit: "1", Scale: figure.Log2, Min: &half, Max: &double}, Marks: []figure.Mark{limitMark("", 1/drift), limitMark("a quarter more", drift)}}, Table: t}, nil
}
