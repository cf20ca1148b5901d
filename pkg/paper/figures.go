package paper

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/intervene"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// Figures maps an id to the figure that a claim points to, drawn from the tables that the claim is judged on.
var Figures = map[string]func(root string) (report.Figure, error){
	"03_states": statesFigure, "06_oracle": oracleFigure, "06_remembrance": remembranceFigure, "11_coherence": coherenceFigure,
	"05_drift": driftFigure, "07_causes": causesFigure, "07_dose": doseFigure, "07_matched": matchedFigure, "07_own_growth": ownGrowthFigure, "08_loss": methodsFigure, "08_paired": pairedFigure, "08_norm_limit": normLimitFigure, "09_excess": excessFigure, "09_all_tokens": allTokensFigure,
	"09_price": priceFigure, "09_cure": cureFigure, "09_gap": gapFigure, "11_growth": growthFigure, "11_order": orderFigure, "11_retention": retentionFigure, "15_prompts": promptsFigure,
	"18_architectures": architecturesFigure, "18_loss": architecturesLossFigure,
}

// Draw draws one of [Figures] from the collected studies in root. An unknown id is an error that lists those there are.
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

// band is the interval or range of a point; the figure's note says which.
type band struct {
	Low  float64 `parquet:"low" doc:"lower end of the interval or range; missing where a point has none"`
	High float64 `parquet:"high" doc:"upper end"`
}

var noBand = band{math.NaN(), math.NaN()}

// excessCell is one cell of the grid.
type excessCell struct {
	Stream  string  `parquet:"stream" doc:"recall stream that the models were trained on"`
	Setting string  `parquet:"setting" doc:"stream and training length"`
	State   int     `parquet:"state" doc:"state dimension N"`
	Excess  float64 `parquet:"excess" doc:"loss far beyond T less that within, nats, mean over seeds"`
	Cell    string  `parquet:"cell" doc:"the mean, models that fail / models"`
}

// excessFigure draws the N × T grid of the two recall streams: mean excess and the number of failing models.
func excessFigure(root string) (report.Figure, error) {
	models, err := Models(root, ForgetPlan, CapacityPlan)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, with("zero"), Model.Learned, func(m Model) bool { return m.Plan == CapacityPlan || m.Heads == 8 })
	slices.SortStableFunc(models, func(a, b Model) int {
		return strings.Compare(b.Plan, a.Plan)*1e6 + a.T*1000 + a.State - b.T*1000 - b.State
	})
	names, by := groups(models, func(m Model) string { return fmt.Sprint(m.stream(), m.T, m.State) })
	var cells []excessCell
	for _, name := range names {
		some := by[name]
		m := some[0]
		label := fmt.Sprintf("gap 64, T %d", m.T)
		if m.Plan == CapacityPlan {
			label = fmt.Sprintf("gap = T = %d", m.T)
		}
		value := meanOf(values(some, excess)).Value
		cells = append(cells, excessCell{m.stream(), label, m.State, value, fmt.Sprintf("%.2g · %d/%d", value, count(some, Model.failing), len(some))})
	}
	low, high := 0.0, 0.8
	return report.Figure{Spec: figure.HeatMap{
		Size: figure.Size{Width: "double", Note: cellNote(cells, func(c excessCell) int { return c.State }, func(c excessCell) string { return c.Setting })},
		X:    figure.Axis{Column: "setting", Label: "Stream and training length", Unit: "1"}, Y: figure.Axis{Column: "state", Label: "State size N", Unit: "1"},
		Value: figure.Axis{Column: "excess", Label: "Mean excess loss", Unit: "nat", Min: &low, Max: &high}, Cell: "cell",
	}, Table: table.Of(cells)}, nil
}

// cellNote explains the cells of a map of models and the combinations of row and column without a model.
func cellNote[E any, R, C cmp.Ordered](cells []E, row func(E) R, column func(E) C) string {
	note := fmt.Sprintf("In each cell: mean over seeds · models that fail / models (excess of %g nat or more, interval above 0).", limits.Excess)
	if len(cells) < distinct(cells, row)*distinct(cells, column) {
		note += " Hatched: not run."
	}
	return note
}

func distinct[E any, V cmp.Ordered](all []E, of func(E) V) int {
	seen := map[V]bool{}
	for _, e := range all {
		seen[of(e)] = true
	}
	return len(seen)
}

// allTokensPoint is one model.
type allTokensPoint struct {
	Condition string  `parquet:"condition" doc:"how the model was trained"`
	Ratio     float64 `parquet:"ratio" doc:"mean loss of all tokens: largest bucket beyond T over the largest within"`
}

func allTokensFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, with("zero"))
	var points []allTokensPoint
	for _, m := range models {
		points = append(points, allTokensPoint{m.condition(), m.AllRatio})
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Mean loss of all tokens: largest bucket beyond T over the largest within. Every model a point."},
		Category: "condition", X: figure.Axis{Column: "ratio", Label: "Loss of all tokens, beyond T / within", Unit: "1"},
		Marks: []figure.Mark{limitMark("the paper's rule", limits.Factor)}}, Table: table.Of(points)}, nil
}

// pricePoint is a difference of means over seeds.
type pricePoint struct {
	Size       string  `parquet:"size" doc:"state dimension N"`
	Difference float64 `parquet:"difference" doc:"loss of the first 64 tokens: trained at T 256 less at T 64, nats"`
	band
}

func priceFigure(root string) (report.Figure, error) {
	s, err := shortLosses(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []pricePoint
	for _, n := range s.sizes {
		d := minus(s.at[n][256], s.at[n][64])
		points = append(points, pricePoint{fmt.Sprintf("N %d", n), d.Value, band{d.Low, d.High}})
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: "Mean over 3 seeds each with 95 % intervals (Welch); right of 0: the longer training costs."}, Category: "size",
		X: figure.Axis{Column: "difference", Label: "Loss of the first 64 tokens, T 256 less T 64", Unit: "nat"}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("no price", 0)}}, Table: table.Of(points)}, nil
}

// curePoint is one model.
type curePoint struct {
	Size    string  `parquet:"size" doc:"state dimension N and tokens of training"`
	Trained string  `parquet:"trained" doc:"initial states of the sequences and training length"`
	Far     float64 `parquet:"far" doc:"loss far beyond T, nats"`
	Inside  float64 `parquet:"inside" doc:"loss within T, nats"`
	Excess  float64 `parquet:"excess" doc:"the former less the latter, nats"`
}

// cureFigure draws the far loss of every model at T 64 beside models of the same sizes with longer windows, carried states or
// passed states.
func cureFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.stream() == "recall, gap 64" && m.Heads == 8 && (m.T == 64 || m.T == 256) })
	slices.SortStableFunc(models, func(a, b Model) int { return a.State - b.State })
	var points []curePoint
	for _, m := range models {
		name := m.Policy + " states, T 64"
		if m.T == 256 {
			name = "zero states, T 256"
		}
		points = append(points, curePoint{fmt.Sprintf("N %d, %.0fM tokens", m.State, float64(m.Tokens)/1e6), name, far(m), inside(m), excess(m)})
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every model a point: mean loss over the last half of the sequence. Loss within and excess are in the table beside the figure."},
		Category: "size", Series: []string{"trained"}, X: figure.Axis{Column: "far", Label: "Far loss", Unit: "nat", Scale: figure.Log10}}, Table: table.Of(points)}, nil
}

// growthPoint is the fastest-growing head of one model.
type growthPoint struct {
	Panel    string  `parquet:"panel" doc:"growth of the norm as it is, or over what filling up explains"`
	Stream   string  `parquet:"stream" doc:"recall stream that the model was trained on"`
	Growth   float64 `parquet:"growth" doc:"growth of the head, by its panel"`
	Excess   float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
	Retained float64 `parquet:"retained" doc:"share of its state that the head keeps over T tokens"`
}

// growthFigure draws the growth of the fastest-growing head, by what filling up explains, against the excess loss.
func growthFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.Policy != "passed" })
	var points []growthPoint
	for _, m := range models {
		points = append(points, growthPoint{"Growth of the norm", m.stream(), m.Top().Growth, excess(m), m.Top().Retained})
	}
	for _, m := range models {
		points = append(points, growthPoint{"Growth / what filling up explains", m.stream(), m.Top().Growth / m.Top().Coherent, excess(m), m.Top().Retained})
	}
	return report.Figure{Spec: figure.Curves{Size: figure.Size{Width: "double", Note: "Every model a point: its head of the largest growth. A model that explodes and fails lies above the line and, in the right panel, right of 1. Passed states are left out: they are not trained on sequences from zeros, so that they have no level within."},
		X: figure.Axis{Column: "growth", Label: "Largest growth of a head", Unit: "1", Scale: figure.Log2}, Y: excessAxis, Series: []string{"stream"}, Panel: "panel", PanelName: "%s", Across: 2, Scatter: true,
		Marks: []figure.Mark{{At: limits.Excess, Label: "fails", Horizontal: true}}}, Table: table.Of(points)}, nil
}

// orderPoint is a count of models.
type orderPoint struct {
	Order  string  `parquet:"order" doc:"what comes first, growth of the state or of the loss"`
	Models float64 `parquet:"models" doc:"models of which that is so"`
}

func orderFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned, func(m Model) bool { return m.Strict })
	n := map[string]float64{}
	for _, m := range models {
		n[m.First]++
	}
	points := []orderPoint{{"state first", n["state"]}, {"loss first", n["loss"]}, {"undecided", n["undecided"]}}
	zero := 0.0
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Note: fmt.Sprintf("%d models of all studies that degrade by the strict rule.", len(models))}, Category: "order",
		X: figure.Axis{Column: "models", Label: "Models", Unit: "1", Min: &zero}}, Table: table.Of(points)}, nil
}

// retentionPoint is one model.
type retentionPoint struct {
	Condition string  `parquet:"condition" doc:"how the model was trained"`
	Verdict   string  `parquet:"verdict" doc:"fails or holds"`
	Kept      float64 `parquet:"kept" doc:"share of its state that the most retentive head keeps over T tokens"`
	Excess    float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
}

func retentionFigure(root string) (report.Figure, error) {
	models, err := Models(root, AllPlans...)
	if err != nil {
		return report.Figure{}, err
	}
	models = of(models, Model.Learned)
	verdicts := map[bool]string{true: "fails", false: "holds"}
	var points []retentionPoint
	for _, m := range models {
		points = append(points, retentionPoint{m.condition() + ", " + m.Policy, verdicts[m.failing()], kept(m), excess(m)})
	}
	zero, one := 0.0, 1.02
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every model a point: what its most retentive head keeps over T tokens of the window."}, Category: "condition", Series: []string{"verdict"},
		X: figure.Axis{Column: "kept", Label: "Retained over T", Unit: "share", Min: &zero, Max: &one}, Marks: []figure.Mark{limitMark("v1: 0.8", keptV1), limitMark("v2: 0.997", keptV2)}}, Table: table.Of(points)}, nil
}

// RecallByAge is intervene.RecallByAge with the methods spelled out.
func RecallByAge(results *table.Table) (*table.Table, error) {
	t, err := intervene.RecallByAge(results)
	if err != nil {
		return nil, err
	}
	names, err := t.Text("method")
	if err != nil {
		return nil, err
	}
	out := t.Without()
	for i, c := range out.Columns {
		if c.Name != "method" {
			continue
		}
		titles := make([]string, len(names))
		for k, name := range names {
			titles[k] = methodTitle(name)
		}
		out.Columns[i].Texts = titles
	}
	return out, nil
}

// methodTitle spells out the name of a method.
func methodTitle(name string) string {
	if name == "none" {
		return "as it is"
	}
	if title, known := methodTitles[name]; known {
		return title
	}
	return strings.ReplaceAll(name, "_", " ")
}

// methodTitles maps the name of a method to its title.
var methodTitles = map[string]string{"rri": "method 1: less retention and insertion", "rri_beyond": "method 1, beyond T only", "state_norm": "method 2: norm limit", "state_norm_chunked": "method 2, every 16 tokens",
	"window": "method 3: window", "filter": "token filter", "delta_constant": "constant Δ", "layer_delta": "Δ scaled by layer", "layer_delta_zeroth": "Δ scaled by layer, zeroth order", "layer_a": "A scaled by layer", "decimation": "decimation"}

// pairedPoint is one model under a method, or the mean over models.
type pairedPoint struct {
	Method string  `parquet:"method" doc:"mitigation"`
	What   string  `parquet:"what" doc:"one model or the mean"`
	Factor float64 `parquet:"factor" doc:"far loss under the method over that of the same model as it is"`
	band
}

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
	var methods []string
	var points []pairedPoint
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
		points = append(points, pairedPoint{methodTitles[name], "mean, 95 % interval", m.Value, band{m.Low, m.High}})
		for i := range p.with {
			points = append(points, pairedPoint{methodTitles[name], "one model", p.with[i] / p.without[i], noBand})
		}
	}
	least, most := 0.05, 64.0
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: fmt.Sprintf("Loss at %g T under a method over that of the same model as it is; left of 1: lower.", last)}, Category: "method", Series: []string{"what"},
		X: figure.Axis{Column: "factor", Label: "Far loss with / without", Unit: "1", Scale: figure.Log2, Min: &least, Max: &most}, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("as it is", 1)}}, Table: table.Of(points)}, nil
}

// matchedPoint is one set of heads of one model.
type matchedPoint struct {
	Run    string  `parquet:"run" doc:"by how much α was lowered or raised, and the model"`
	Set    string  `parquet:"set" doc:"the two most retentive heads or others"`
	Change float64 `parquet:"change" doc:"change of the excess loss, nats"`
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
	var points []matchedPoint
	for _, e := range effects {
		for i, m := range e.models {
			name := fmt.Sprintf("%s by %.2g: %s", directions[e.direction], e.shift, strings.TrimPrefix(m, "recall-"))
			points = append(points, matchedPoint{name, "two most retentive heads", e.chosen[i]}, matchedPoint{name, "others, equal change (mean)", e.control[i]})
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Change of Σ log α over T tokens, per head; paired by model."}, Category: "run", Series: []string{"set"},
		X: figure.Axis{Column: "change", Label: "Change of the excess loss", Unit: "nat"}, Marks: []figure.Mark{limitMark("no change", 0)}}, Table: table.Of(points)}, nil
}

// promptPoint is one model on one kind of prompt.
type promptPoint struct {
	Prompt string  `parquet:"prompt" doc:"kind of prompt"`
	Model  string  `parquet:"model" doc:"model"`
	Excess float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
	band
}

func promptsFigure(root string) (report.Figure, error) {
	seen, err := promptsOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []promptPoint
	for _, s := range seen {
		if strings.HasPrefix(s.model, "text") {
			points = append(points, promptPoint{s.prompt, s.model, s.Excess.Mean, band{s.Excess.Low, s.Excess.High}})
		}
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Mean loss of the last half of the sequence less that in ½T … T; 95 % over sequences where there are several."}, Category: "prompt", Series: []string{"model"},
		X: excessAxis, Lo: "low", Hi: "high", Marks: []figure.Mark{limitMark("fails", limits.Excess)}}, Table: table.Of(points)}, nil
}

// driftPoint is one head, or one layer of the convolution state.
type driftPoint struct {
	Quantity string  `parquet:"quantity" doc:"what is written to the state, or a norm"`
	Models   string  `parquet:"models" doc:"models of text or of the recall stream"`
	Change   float64 `parquet:"change" doc:"mean far beyond T over the mean within"`
}

func driftFigure(root string) (report.Figure, error) {
	all, err := componentsOf(root)
	if err != nil {
		return report.Figure{}, err
	}
	half, double := 0.5, 2.0
	titles := map[string]string{"delta": "Δ", "b_norm": "norm of B", "x_norm": "norm of x", "write_norm": "norm of Δ x Bᵀ"}
	kinds := map[bool]string{true: "text models", false: "recall models"}
	var points []driftPoint
	for _, c := range all {
		title := titles[c.quantity]
		if title == "" {
			title = c.quantity
		}
		points = append(points, driftPoint{title, kinds[strings.HasPrefix(c.model, "text")], c.change})
	}
	return report.Figure{Spec: figure.Dots{Size: figure.Size{Width: "double", Note: "Every head (of the convolution state every layer) a point: mean over the last half of the sequence over that in ½T … T."}, Category: "quantity", Series: []string{"models"},
		X: figure.Axis{Column: "change", Label: "Far beyond T / within", Unit: "1", Scale: figure.Log2, Min: &half, Max: &double}, Marks: []figure.Mark{limitMark("", 1/drift), limitMark("a quarter more", drift)}}, Table: table.Of(points)}, nil
}
