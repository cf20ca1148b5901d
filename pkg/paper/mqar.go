package paper

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/datasets/published"
	"stuffed/pkg/bound"
	"stuffed/pkg/numeral"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// MQARPlan is the study of associative recall after Zoology's recipe.
const MQARPlan = "mqar"

// The number of values in MQAR, and the longest sequence asked, which sets the size of a cache.
const (
	mqarValues  = 4096
	mqarLongest = 1024
)

// Parts of Zoology's recipe that only some rows share: weight decay also on norms, biases and gates; epochs that take one task
// after the other; both; or both and first weights of its standard deviation.
const (
	decayOfAll    = "decay of all"
	inOrder       = "in order"
	asPublished   = "as published"
	narrowWeights = "as published, from narrow weights"
)

// Associative is one model shape of the study at the learning rate that suited it best.
type Associative struct {
	Architecture string
	Recipe       string // decayOfAll, inOrder, asPublished for both, narrowWeights for both from other weights, or empty for none
	Width, State int
	Bytes        float64 // of the recurrent state in float32, both layers; for attention, of the cache of 1,024 tokens
	Bits         float64 // of everything carried from token to token, convolutions included: what the bounds apply to
	Rate         float64
	Rates        int     // learning rates that have run
	Least        float64 // accuracy of the worst of them
	Accuracy     float64 // over all sequences, at the end of training
	ByPairs      []AskedPairs
	Published    float64 // accuracy published for these bytes; NaN if there is none
	OneLayer     float64 // published accuracy for the bytes of one layer, interpolated in log bytes; NaN outside the published range
}

// AskedPairs is the accuracy on sequences with one number of pairs.
type AskedPairs struct {
	Pairs, Length       int
	Accuracy, Low, High float64
}

// HeldBits is the least memory, in bits, that the accuracy requires: the maximum over the numbers of pairs.
func (a Associative) HeldBits() (bits float64) {
	for _, p := range a.ByPairs {
		bits = max(bits, bound.Distinct(p.Pairs, mqarValues, 1-p.Accuracy))
	}
	return bits
}

// Associations returns the models of the study in root, by architecture and bytes. For each shape the learning rate with the
// highest accuracy counts, of those that have run, as in the published figure.
func Associations(root string) ([]Associative, error) {
	score, err := study.Read(root, MQARPlan, "score")
	if err != nil {
		return nil, err
	}
	byPairs, err := study.Read(root, MQARPlan, "task")
	if err != nil {
		return nil, err
	}
	c, err := mqarColumns(score)
	if err != nil {
		return nil, err
	}
	last := map[asked]int{} // last measurement of each model of a row
	for i, row := range c.row {
		model := asked{row, c.replica[i], 0}
		if at, seen := last[model]; !seen || c.tokens[i] >= c.tokens[at] {
			last[model] = i
		}
	}
	recipes, err := mqarRecipes()
	if err != nil {
		return nil, err
	}
	type shape struct {
		architecture        string
		recipe              string
		width, state, heads int64
	}
	best, rates, least := map[shape]int{}, map[shape]int{}, map[shape]float64{}
	for _, i := range last {
		s := shape{c.architecture[i], recipes[c.row[i]], c.width[i], c.state[i], c.heads[i]}
		if rates[s]++; rates[s] == 1 || c.accuracy[i] < least[s] {
			least[s] = c.accuracy[i]
		}
		if at, seen := best[s]; !seen || cmp.Or(cmp.Compare(c.accuracy[i], c.accuracy[at]), cmp.Compare(c.lr[at], c.lr[i])) > 0 {
			best[s] = i
		}
	}
	pairs, err := pairsAsked(byPairs)
	if err != nil {
		return nil, err
	}
	printed, err := published.MQAR()
	if err != nil {
		return nil, err
	}
	var out []Associative
	for s, i := range best {
		a := Associative{Architecture: s.architecture, Recipe: s.recipe, Width: int(s.width), State: int(s.state), Bytes: 4e6 * c.recurrent[i], Bits: stateBits * 1e6 * c.carried[i],
			Rate: c.lr[i], Rates: rates[s], Least: least[s], Accuracy: c.accuracy[i], ByPairs: pairs[asked{c.row[i], c.replica[i], c.tokens[i]}], Published: math.NaN()}
		if c.recurrent[i] == 0 { // a cache: what is carried grows with every token
			a.Bytes, a.Bits = 4e6*c.carried[i]*mqarLongest, a.Bits*mqarLongest
		}
		for _, p := range printed {
			if p.Architecture == a.Architecture && math.Abs(p.Bytes/a.Bytes-1) < 1e-3 {
				a.Published = p.Accuracy
			}
		}
		a.OneLayer = between(printed, a.Architecture, a.Bytes/mqarLayers)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b Associative) int {
		return cmp.Or(strings.Compare(a.Architecture, b.Architecture), cmp.Compare(a.Bytes, b.Bytes), cmp.Compare(a.Width, b.Width), strings.Compare(a.Recipe, b.Recipe))
	})
	return out, nil
}

// with appends the recipe to a name.
func (a Associative) with(name string) string {
	if a.Recipe == "" {
		return name
	}
	return name + ", " + a.Recipe
}

// mqarRecipes maps the rows of the plan to their recipes.
func mqarRecipes() (map[string]string, error) {
	rows, err := planRows(MQARPlan)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range rows {
		switch all, ordered := r.Config.Train.DecayAll, r.Config.Train.Data.Order != ""; {
		case slices.Contains(r.Groups, "mamba2-narrow"):
			out[r.Hash] = narrowWeights
		case all && ordered:
			out[r.Hash] = asPublished
		case all:
			out[r.Hash] = decayOfAll
		case ordered:
			out[r.Hash] = inOrder
		}
	}
	return out, nil
}

// between returns the published accuracy of an architecture at the given number of bytes: the point within 5 % of it, or else the
// value between its neighbours, linear in log bytes.
func between(printed []published.Recall, architecture string, bytes float64) float64 {
	low, high := -1, -1
	for i, p := range printed {
		if p.Architecture != architecture {
			continue
		}
		if math.Abs(p.Bytes/bytes-1) < 0.05 {
			return p.Accuracy
		}
		if p.Bytes <= bytes && (low < 0 || p.Bytes > printed[low].Bytes) {
			low = i
		}
		if p.Bytes >= bytes && (high < 0 || p.Bytes < printed[high].Bytes) {
			high = i
		}
	}
	if low < 0 || high < 0 {
		return math.NaN()
	}
	a, b := printed[low], printed[high]
	if a.Bytes == b.Bytes {
		return a.Accuracy
	}
	return a.Accuracy + (b.Accuracy-a.Accuracy)*math.Log(bytes/a.Bytes)/math.Log(b.Bytes/a.Bytes)
}

type mqarTable struct {
	row, architecture                []string
	width, state, heads              []int64
	replica, tokens                  []int64
	recurrent, carried, lr, accuracy []float64
}

func mqarColumns(t *table.Table) (c mqarTable, err error) {
	for name, into := range map[string]*[]string{"row": &c.row, "architecture": &c.architecture} {
		if *into, err = t.Text(name); err != nil {
			return c, err
		}
	}
	for name, into := range map[string]*[]int64{"width": &c.width, "state": &c.state, "heads": &c.heads, "replica": &c.replica, "tokens": &c.tokens} {
		if *into, err = t.Int(name); err != nil {
			return c, err
		}
	}
	for name, into := range map[string]*[]float64{"n_s": &c.recurrent, "n_s_carried": &c.carried, "lr": &c.lr, "accuracy": &c.accuracy} {
		if *into, err = t.Float(name); err != nil {
			return c, err
		}
	}
	return c, nil
}

// asked identifies one measurement of one model of a row.
type asked struct {
	row             string
	replica, tokens int64
}

// pairsAsked returns the accuracies by number of pairs at every measurement.
func pairsAsked(t *table.Table) (map[asked][]AskedPairs, error) {
	row, err := t.Text("row")
	if err != nil {
		return nil, err
	}
	group, err := t.Text("asked")
	if err != nil {
		return nil, err
	}
	var replica, tokens, length []int64
	for name, into := range map[string]*[]int64{"replica": &replica, "tokens": &tokens, "length": &length} {
		if *into, err = t.Int(name); err != nil {
			return nil, err
		}
	}
	var accuracy, low, high []float64
	for name, into := range map[string]*[]float64{"accuracy": &accuracy, "accuracy_low": &low, "accuracy_high": &high} {
		if *into, err = t.Float(name); err != nil {
			return nil, err
		}
	}
	out := map[asked][]AskedPairs{}
	for i := range row {
		p := AskedPairs{Length: int(length[i]), Accuracy: accuracy[i], Low: low[i], High: high[i]}
		if _, err := fmt.Sscanf(group[i], "pairs %d", &p.Pairs); err != nil {
			return nil, fmt.Errorf("task table of %s: group %q is not one of MQAR: %w", MQARPlan, group[i], err)
		}
		k := asked{row[i], replica[i], tokens[i]}
		out[k] = append(out[k], p)
	}
	return out, nil
}

// MQARReport says how far the study has come: sizes, learning rates, and Mamba-2's distance from the published curve.
func MQARReport(root string) (string, error) {
	all, err := Associations(root)
	if err != nil {
		return "", err
	}
	sizes, rates, full := map[string]int{}, 0, 0
	var order []string
	var far, others, cached []string
	worst, factor, best := 0.0, math.Inf(1), bestOfBytes(all)
	for i, a := range all {
		name := a.with(a.Architecture)
		if sizes[name]++; sizes[name] == 1 {
			order = append(order, name)
		}
		rates += a.Rates
		if a.Rates == mqarRates {
			full++
		}
		factor = min(factor, a.Bits/max(a.HeldBits(), 1))
		scatter := ""
		if a.Rates > 1 {
			scatter = fmt.Sprintf("; its rates %.3f to %.3f", a.Least, a.Accuracy)
		}
		if _, convolved := besideConvolution[a.Architecture]; convolved {
			known := "none printed near"
			if !math.IsNaN(a.OneLayer) {
				known = fmt.Sprintf("printed about %.3f, %+.3f", a.OneLayer, a.Accuracy-a.OneLayer)
			}
			others = append(others, fmt.Sprintf("%s %d × %d, %s B: %.3f (%s%s)", architectureName(a.Architecture), a.Width, a.State, numeral.Grouped(int(a.Bytes/mqarLayers)), a.Accuracy, known, scatter))
		}
		if a.Architecture == "llama" {
			cached = append(cached, fmt.Sprintf("width %d, %s B: %.3f (%s%s)", a.Width, numeral.Grouped(int(a.Bytes)), a.Accuracy, a.saidByPairs(), scatter))
		}
		if a.Architecture != "mamba2" || math.IsNaN(a.Published) || !best[i] {
			continue
		}
		d := a.Accuracy - a.Published
		worst = max(worst, math.Abs(d))
		far = append(far, fmt.Sprintf("%s: %.3f (published %.3f, %+.3f%s)", a.with(fmt.Sprintf("%d × %d", a.Width, a.State)), a.Accuracy, a.Published, d, scatter))
	}
	var b strings.Builder
	for i, name := range order {
		b.WriteString(map[bool]string{true: "", false: ", "}[i == 0] + fmt.Sprintf("%s %d", name, sizes[name]))
	}
	text := fmt.Sprintf("**Sizes measured**: %s. %d of the %d learning rates of each size are needed for “best of”; all of them ran for %d of %d sizes, %d runs in all.\n\n", b.String(), mqarRates, mqarRates, full, len(all), rates)
	if full < len(all) {
		text += "**A partial sweep**: the published points are the best of four rates, ours the best of those that ran, so that a size with fewer can only rise.\n\n"
	}
	if len(far) > 0 {
		text += fmt.Sprintf("**Mamba-2 beside Zoology's curve** (width × N): %s. Largest distance %.3f; asked 0.03.\n\n", strings.Join(far, "; "), worst)
	}
	if len(others) > 0 {
		text += fmt.Sprintf("**The others at the bytes of one layer**, as Zoology counts them (one layer of the mixer after one of a long convolution; ours have two of the mixer, with short convolutions; printed values between neighbours, linear in log bytes): %s.\n\n", strings.Join(others, "; "))
	}
	if len(cached) > 0 {
		text += fmt.Sprintf("**Attention**, of which no printed value was read off: %s.\n\n", strings.Join(cached, "; "))
	}
	missing, err := missingRows(root, MQARPlan)
	if err != nil {
		return "", err
	}
	return text + missing + fmt.Sprintf("**Bounds**: what the models recall takes at least %.0f times fewer bits than 32 for each number that they carry.\n", math.Floor(factor)), nil
}

// saidByPairs puts the accuracies by number of pairs into words.
func (a Associative) saidByPairs() string {
	var said []string
	for _, p := range a.ByPairs {
		said = append(said, fmt.Sprintf("%.3f", p.Accuracy))
	}
	last := a.ByPairs[len(a.ByPairs)-1]
	return fmt.Sprintf("%s at %d to %d pairs, the last in %s tokens", strings.Join(said, ", "), a.ByPairs[0].Pairs, last.Pairs, numeral.Grouped(last.Length))
}

// bestOfBytes marks the models that recall most among those of the same architecture, recipe and bytes: a published point is also
// the best over shapes.
func bestOfBytes(all []Associative) []bool {
	best := slices.Repeat([]bool{true}, len(all))
	for i, a := range all {
		for _, b := range all {
			if a.Architecture == b.Architecture && a.Recipe == b.Recipe && a.Bytes == b.Bytes && a.Accuracy < b.Accuracy {
				best[i] = false
			}
		}
	}
	return best
}

// besideConvolution lists the architectures of which Zoology's models have only one layer, after a layer of long convolution.
var besideConvolution = map[string]bool{"deltanet": true, "gated-deltanet": true, "gla": true}

// planRows returns the rows of a shipped plan.
func planRows(name string) ([]study.Row, error) {
	plan, err := study.ReadPlan(name)
	if err != nil {
		return nil, err
	}
	return plan.Rows()
}

// missingRows says, by group, which rows of a plan have not run; empty if all have.
func missingRows(root, name string) (string, error) {
	rows, err := planRows(name)
	if err != nil {
		return "", err
	}
	score, err := study.Read(root, name, "score")
	if err != nil {
		return "", err
	}
	done, err := score.Text("row")
	if err != nil {
		return "", err
	}
	var groups []string
	all, left, total := map[string]int{}, map[string]int{}, 0
	for _, r := range rows {
		g := r.Groups[0]
		if all[g]++; all[g] == 1 {
			groups = append(groups, g)
		}
		if !slices.Contains(done, r.Hash) {
			left[g]++
			total++
		}
	}
	if total == 0 {
		return "", nil
	}
	var words []string
	for _, g := range groups {
		if left[g] > 0 {
			words = append(words, fmt.Sprintf("%s %d of %d", g, left[g], all[g]))
		}
	}
	return fmt.Sprintf("**Missing** are %d of the %d rows of `%s`: %s.\n\n", total, len(rows), name, strings.Join(words, ", ")), nil
}

// mqarLayers is the number of layers whose states count.
const mqarLayers = 2

// mqarRates is the number of learning rates in the published recipe.
const mqarRates = 4
