package intervene

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// Compare puts mitigations of one model to the same test. Parameters are chosen on the selection split by the mean loss
// over the multiples; the rows that count come from the test split.
type Compare struct {
	Suite    Suite    `json:"suite"`    // of the test
	Methods  []string `json:"methods"`  // names of families; none is always among them
	Choosing int      `json:"choosing"` // sequences of the selection split
}

// Validate names the first field that is out of range.
func (c Compare) Validate(vocab int) error {
	if c.Suite.Split != "test" {
		return fmt.Errorf("split %q: results are reported on the test split", c.Suite.Split)
	}
	if c.Choosing < 1 {
		return fmt.Errorf("choosing is %d sequences, want 1 or more", c.Choosing)
	}
	for _, name := range c.Methods {
		if _, err := FindFamily(name); err != nil {
			return err
		}
	}
	return c.Suite.Validate(vocab)
}

// Results and Sweeps are empty tables of what Compare.Run makes.
func Results() *table.Table {
	t := table.New().AddText("model", nil).AddText("method", nil).AddText("parameters", nil).AddInt("multiple", nil).AddInt("position", nil)
	for _, name := range measured {
		t.AddFloat(name, nil)
	}
	return t
}

var measured = []string{"loss", "loss_low", "loss_high", "recall", "recall_inside", "recall_outside", "norm_ratio", "retention", "tokens_per_second"}

// Sweeps has one row per combination of parameters and multiple, on the selection split; first and second are the values of
// the parameters named so, NaN where there is none.
func Sweeps() *table.Table {
	return table.New().AddText("model", nil).AddText("method", nil).AddText("first_name", nil).AddFloat("first", nil).
		AddText("second_name", nil).AddFloat("second", nil).AddInt("multiple", nil).AddFloat("loss", nil).AddFloat("mean_loss", nil)
}

// resultRows are the rows of scores.
func resultRows(model string, m Method, s Suite, scores []Score) *table.Table {
	t := Results()
	n := len(scores)
	t.Columns[0].Texts, t.Columns[1].Texts = slices.Repeat([]string{model}, n), slices.Repeat([]string{m.Name}, n)
	t.Columns[2].Texts = slices.Repeat([]string{m.describe()}, n)
	for _, c := range scores {
		t.Columns[3].Ints = append(t.Columns[3].Ints, int64(c.Multiple))
		t.Columns[4].Ints = append(t.Columns[4].Ints, int64(c.Multiple*s.TrainLength))
		for i, v := range []float64{c.Loss, c.LossLow, c.LossHigh, c.Recall, c.RecallInside, c.RecallOutside, c.Norm, c.Retention, c.TokensPerSecond} {
			t.Columns[5+i].Floats = append(t.Columns[5+i].Floats, v)
		}
	}
	return t
}

// describe writes the parameters, or the factors per layer of a calibrated method.
func (m Method) describe() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		parts = append(parts, fmt.Sprintf("%s=%.4g", name, m.Parameters[name]))
	}
	if len(parts) == 0 {
		for _, v := range m.Plan {
			if len(v.Layers) == 1 {
				parts = append(parts, fmt.Sprintf("layer%d=%.4g", v.Layers[0], v.Value))
			}
		}
	}
	return strings.Join(parts, " ")
}

// Run chooses the parameters of one family and scores it: rows of Results, and of Sweeps where there was a choice. Progress
// counts methods tried.
func (c Compare) Run(ctx context.Context, b *Bench, model, family string, progress func(done, total int)) (results, sweep *table.Table, err error) {
	f, err := FindFamily(family)
	if err != nil {
		return nil, nil, err
	}
	choose := c.Suite
	choose.Split, choose.Sequences, choose.Wide = "selection", c.Choosing, false
	grid := f.Grid(c.Suite.TrainLength)
	sweep = Sweeps()
	best, bestLoss := Method{}, math.Inf(1)
	for i, p := range grid {
		m, err := f.Method(ctx, b, c.Suite, p)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			best = m
		}
		if len(grid) > 1 {
			scores, err := choose.Run(ctx, b, m)
			if err != nil {
				return nil, nil, err
			}
			mean := 0.0
			for _, s := range scores {
				mean += s.Loss / float64(len(scores))
			}
			if mean < bestLoss {
				best, bestLoss = m, mean
			}
			sweepRows(sweep, model, f, p, scores, mean)
		}
		if progress != nil {
			progress(i+1, len(grid)+1)
		}
	}
	scores, err := c.Suite.Run(ctx, b, best)
	if err != nil {
		return nil, nil, err
	}
	if progress != nil {
		progress(len(grid)+1, len(grid)+1)
	}
	return resultRows(model, best, c.Suite, scores), sweep, nil
}

func sweepRows(t *table.Table, model string, f Family, p []float64, scores []Score, mean float64) {
	names, values := []string{"", ""}, []float64{math.NaN(), math.NaN()}
	for i := range min(2, len(p)) {
		names[i], values[i] = f.Parameters[i], p[i]
	}
	for _, s := range scores {
		for i, text := range []string{model, f.Name, names[0], "", names[1]} {
			if i != 3 {
				t.Columns[i].Texts = append(t.Columns[i].Texts, text)
			}
		}
		t.Columns[3].Floats, t.Columns[5].Floats = append(t.Columns[3].Floats, values[0]), append(t.Columns[5].Floats, values[1])
		t.Columns[6].Ints = append(t.Columns[6].Ints, int64(s.Multiple))
		t.Columns[7].Floats, t.Columns[8].Floats = append(t.Columns[7].Floats, s.Loss), append(t.Columns[8].Floats, mean)
	}
}

// Summary is the mean of Results over models (seeds) with 95 % intervals: columns method, multiple, position, models, loss,
// loss_low, loss_high (Student's t over models; of the one model's sequences where there is only one), cost (loss at the
// smallest multiple minus that of none), cost_low, cost_high, recall, recall_inside, recall_outside, norm_ratio,
// tokens_per_second.
func Summary(results *table.Table) (*table.Table, error) {
	if err := results.Require(append([]string{"model", "method", "multiple", "position"}, measured...)...); err != nil {
		return nil, err
	}
	method, _ := results.Text("method")
	model, _ := results.Text("model")
	multiple, err := results.Int("multiple")
	if err != nil {
		return nil, err
	}
	position, err := results.Int("position")
	if err != nil {
		return nil, err
	}
	values := map[string][]float64{}
	for _, name := range measured {
		if values[name], err = results.Float(name); err != nil {
			return nil, err
		}
	}
	type cell struct {
		method   string
		multiple int64
	}
	rows := map[cell][]int{}
	var order []cell
	least := int64(math.MaxInt64)
	for i := range method {
		c := cell{method[i], multiple[i]}
		if rows[c] == nil {
			order = append(order, c)
		}
		rows[c] = append(rows[c], i)
		least = min(least, multiple[i])
	}
	first := func(name, of string) float64 { // loss of a model's method at the smallest multiple
		for i := range method {
			if method[i] == name && model[i] == of && multiple[i] == least {
				return values["loss"][i]
			}
		}
		return math.NaN()
	}
	methods, multiples, positions, counts := []string{}, []int64{}, []int64{}, []int64{}
	columns := map[string][]float64{}
	put := func(name string, v float64) { columns[name] = append(columns[name], v) }
	for _, c := range order {
		of := rows[c]
		methods, multiples = append(methods, c.method), append(multiples, c.multiple)
		positions, counts = append(positions, position[of[0]]), append(counts, int64(len(of)))
		var losses, costs []float64
		for _, i := range of {
			losses = append(losses, values["loss"][i])
			costs = append(costs, first(c.method, model[i])-first("none", model[i]))
		}
		mean, low, high := student(losses)
		if len(of) == 1 {
			low, high = values["loss_low"][of[0]], values["loss_high"][of[0]]
		}
		put("loss", mean)
		put("loss_low", low)
		put("loss_high", high)
		mean, low, high = student(costs)
		put("cost", mean)
		put("cost_low", low)
		put("cost_high", high)
		for _, name := range []string{"recall", "recall_inside", "recall_outside", "norm_ratio", "retention", "tokens_per_second"} {
			sum := 0.0
			for _, i := range of {
				sum += values[name][i] / float64(len(of))
			}
			put(name, sum)
		}
	}
	t := table.New().AddText("method", methods).AddInt("multiple", multiples).AddInt("position", positions).AddInt("models", counts)
	for _, name := range []string{"loss", "loss_low", "loss_high", "cost", "cost_low", "cost_high", "recall", "recall_inside", "recall_outside", "norm_ratio", "retention", "tokens_per_second"} {
		t.AddFloat(name, columns[name])
	}
	return t, nil
}

// RecallByAge is recall beyond T from Results, one row per method and kind of pairs: columns method, pairs ("at most T old",
// "older"), recall, recall_low, recall_high (Student's t over models, NaN for one), models.
func RecallByAge(results *table.Table) (*table.Table, error) {
	method, err := results.Text("method")
	if err != nil {
		return nil, err
	}
	model, err := results.Text("model")
	if err != nil {
		return nil, err
	}
	var names, pairs []string
	var counts []int64
	var recall, lows, highs []float64
	for _, part := range []struct{ column, pairs string }{{"recall_inside", "at most T old"}, {"recall_outside", "older"}} {
		v, err := results.Float(part.column)
		if err != nil {
			return nil, err
		}
		values, seen, order := map[string][]float64{}, map[[2]string]bool{}, []string{}
		for i, name := range method { // the same at every multiple
			if key := [2]string{name, model[i]}; !seen[key] && !math.IsNaN(v[i]) {
				if values[name] == nil {
					order = append(order, name)
				}
				seen[key], values[name] = true, append(values[name], v[i])
			}
		}
		for _, name := range order {
			mean, low, high := student(values[name])
			names, pairs, counts = append(names, name), append(pairs, part.pairs), append(counts, int64(len(values[name])))
			recall, lows, highs = append(recall, mean), append(lows, low), append(highs, high)
		}
	}
	return table.New().AddText("method", names).AddText("pairs", pairs).AddFloat("recall", recall).AddFloat("recall_low", lows).
		AddFloat("recall_high", highs).AddInt("models", counts), nil
}

// SweepMap is the mean loss over models for every pair of a family's two parameters: columns first, second, mean_loss.
func SweepMap(sweeps *table.Table, family string) (*table.Table, error) {
	method, err := sweeps.Text("method")
	if err != nil {
		return nil, err
	}
	columns := map[string][]float64{}
	for _, name := range []string{"first", "second", "mean_loss"} {
		if columns[name], err = sweeps.Float(name); err != nil {
			return nil, err
		}
	}
	sums, order := map[[2]float64][]float64{}, [][2]float64{}
	for i := range method {
		at := [2]float64{columns["first"][i], columns["second"][i]}
		if method[i] != family || math.IsNaN(at[0]) || math.IsNaN(at[1]) {
			continue
		}
		if sums[at] == nil {
			order = append(order, at)
		}
		sums[at] = append(sums[at], columns["mean_loss"][i])
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("no sweep of two parameters of %s is there", family)
	}
	var first, second, loss []float64
	for _, at := range order {
		mean, _, _ := student(sums[at])
		first, second, loss = append(first, at[0]), append(second, at[1]), append(loss, mean)
	}
	return table.New().AddFloat("first", first).AddFloat("second", second).AddFloat("mean_loss", loss), nil
}
