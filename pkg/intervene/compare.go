package intervene

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/interval"
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

// Result is the score of a method at one multiple of the training length, on the test split.
type Result struct {
	Model      string `parquet:"model" doc:"name of the model"`
	Method     string `parquet:"method" doc:"mitigation; none is the model as it is"`
	Parameters string `parquet:"parameters" doc:"its parameters, chosen on the selection split"`
	Multiple   int    `parquet:"multiple" doc:"position in units of the training length T"`
	Position   int    `parquet:"position" doc:"the same in tokens"`
	lossColumns
	scoreColumns
}

// lossColumns and scoreColumns are what Result and Mean both say of the ½T tokens before a position. The values of repeated pairs
// count; of own text, all tokens.
type lossColumns struct {
	Loss     float64 `parquet:"loss" doc:"nats per value, in the ½T tokens before the position"`
	LossLow  float64 `parquet:"loss_low" doc:"lower end of its 95 % interval over sequences; of several models, the smallest"`
	LossHigh float64 `parquet:"loss_high" doc:"upper end of its 95 % interval over sequences; of several models, the largest"`
}

type scoreColumns struct {
	Recall          float64 `parquet:"recall" doc:"share of the values that were the likeliest token"`
	RecallInside    float64 `parquet:"recall_inside" doc:"beyond T, of pairs at most T tokens old"`
	RecallOutside   float64 `parquet:"recall_outside" doc:"beyond T, of older pairs"`
	Norm            float64 `parquet:"norm_ratio" doc:"largest norm of a head's state over its maximum within T"`
	Retention       float64 `parquet:"retention" doc:"largest exp(T · mean log α) of a head"`
	TokensPerSecond float64 `parquet:"tokens_per_second" doc:"reading speed without compilation"`
}

// Tried is one combination of a method's parameters at one multiple, on the selection split.
type Tried struct {
	Model      string  `parquet:"model" doc:"name of the model"`
	Method     string  `parquet:"method" doc:"mitigation"`
	FirstName  string  `parquet:"first_name" doc:"name of its first parameter"`
	First      float64 `parquet:"first" doc:"value of the first parameter"`
	SecondName string  `parquet:"second_name" doc:"name of its second parameter, if any"`
	Second     float64 `parquet:"second" doc:"value of the second parameter"`
	Multiple   int     `parquet:"multiple" doc:"position in units of the training length T"`
	Loss       float64 `parquet:"loss" doc:"nats per value"`
	MeanLoss   float64 `parquet:"mean_loss" doc:"mean over the multiples, by which parameters are chosen"`
}

// resultsOf are the rows of scores.
func resultsOf(model string, m Method, s Suite, scores []Score) (rows []Result) {
	for _, c := range scores {
		rows = append(rows, Result{model, m.Name, m.describe(), c.Multiple, c.Multiple * s.TrainLength, lossColumns{c.Loss, c.LossLow, c.LossHigh},
			scoreColumns{c.Recall, c.RecallInside, c.RecallOutside, c.Norm, c.Retention, c.TokensPerSecond}})
	}
	return rows
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

// Run chooses the parameters of one family and scores it; tried is empty where there was no choice. Progress counts methods tried.
func (c Compare) Run(ctx context.Context, b *Bench, model, family string, progress func(done, total int)) (chosen []Result, tried []Tried, err error) {
	f, err := FindFamily(family)
	if err != nil {
		return nil, nil, err
	}
	choose := c.Suite
	choose.Split, choose.Sequences, choose.Wide = "selection", c.Choosing, false
	grid := f.Grid(c.Suite.TrainLength)
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
			tried = append(tried, try(model, f, p, scores, mean)...)
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
	return resultsOf(model, best, c.Suite, scores), tried, nil
}

func try(model string, f Family, p []float64, scores []Score, mean float64) (rows []Tried) {
	one := Tried{Model: model, Method: f.Name, First: math.NaN(), Second: math.NaN(), MeanLoss: mean}
	if len(p) > 0 {
		one.FirstName, one.First = f.Parameters[0], p[0]
	}
	if len(p) > 1 {
		one.SecondName, one.Second = f.Parameters[1], p[1]
	}
	for _, s := range scores {
		one.Multiple, one.Loss = s.Multiple, s.Loss
		rows = append(rows, one)
	}
	return rows
}

// Mean is the mean of a method over models (seeds) at one multiple. Intervals are 95 %, by Student's t over models; with one model that
// of its loss is over sequences.
type Mean struct {
	Method   string `parquet:"method" doc:"mitigation; none is the model as it is"`
	Multiple int    `parquet:"multiple" doc:"position in units of the training length T"`
	Position int    `parquet:"position" doc:"the same in tokens"`
	Models   int    `parquet:"models" doc:"number of models"`
	lossColumns
	Cost     float64 `parquet:"cost" doc:"loss at the smallest multiple minus that of the model as it is, nats"`
	CostLow  float64 `parquet:"cost_low" doc:"lower end of its 95 % interval"`
	CostHigh float64 `parquet:"cost_high" doc:"upper end of its 95 % interval"`
	scoreColumns
}

// Summary has a Mean for each method and multiple of a table of Results.
func Summary(results *table.Table) (*table.Table, error) {
	rows, err := table.Rows[Result](results)
	if err != nil {
		return nil, err
	}
	type cell struct {
		method   string
		multiple int
	}
	cells, order := map[cell][]Result{}, []cell{}
	least := math.MaxInt
	for _, r := range rows {
		c := cell{r.Method, r.Multiple}
		if cells[c] == nil {
			order = append(order, c)
		}
		cells[c], least = append(cells[c], r), min(least, r.Multiple)
	}
	first := func(method, model string) float64 { // loss at the smallest multiple
		for _, r := range cells[cell{method, least}] {
			if r.Model == model {
				return r.Loss
			}
		}
		return math.NaN()
	}
	var means []Mean
	for _, c := range order {
		means = append(means, meanOf(cells[c], first))
	}
	return table.Of(means), nil
}

// meanOf is the mean of one method's rows at one multiple.
func meanOf(rows []Result, first func(method, model string) float64) Mean {
	m, n := Mean{Method: rows[0].Method, Multiple: rows[0].Multiple, Position: rows[0].Position, Models: len(rows)}, float64(len(rows))
	var losses, costs []float64
	for _, r := range rows {
		losses, costs = append(losses, r.Loss), append(costs, first(r.Method, r.Model)-first("none", r.Model))
		m.Recall += r.Recall / n
		m.RecallInside += r.RecallInside / n
		m.RecallOutside += r.RecallOutside / n
		m.Norm += r.Norm / n
		m.Retention += r.Retention / n
		m.TokensPerSecond += r.TokensPerSecond / n
	}
	m.Loss, m.LossLow, m.LossHigh = interval.Range(losses)
	if len(rows) == 1 {
		m.LossLow, m.LossHigh = rows[0].LossLow, rows[0].LossHigh
	}
	m.Cost, m.CostLow, m.CostHigh = interval.Student(costs)
	return m
}

// Aged is the mean recall of a method beyond T, of pairs of one kind, over models.
type Aged struct {
	Method string  `parquet:"method" doc:"mitigation; none is the model as it is"`
	Pairs  string  `parquet:"pairs" doc:"at most T old, or older"`
	Recall float64 `parquet:"recall" doc:"share of the values that were the likeliest token"`
	Low    float64 `parquet:"recall_low" doc:"lower end of its 95 % interval over models (Student's t); none for one model"`
	High   float64 `parquet:"recall_high" doc:"upper end"`
	Models int     `parquet:"models" doc:"number of models"`
}

// RecallByAge has a row of Aged for each method and kind of pairs of a table of Results.
func RecallByAge(results *table.Table) (*table.Table, error) {
	rows, err := table.Rows[Result](results)
	if err != nil {
		return nil, err
	}
	var out []Aged
	for _, part := range []struct {
		pairs string
		of    func(Result) float64
	}{
		{"at most T old", func(r Result) float64 { return r.RecallInside }},
		{"older", func(r Result) float64 { return r.RecallOutside }},
	} {
		values, seen, order := map[string][]float64{}, map[[2]string]bool{}, []string{}
		for _, r := range rows { // the same at every multiple
			if key := [2]string{r.Method, r.Model}; !seen[key] && !math.IsNaN(part.of(r)) {
				if values[r.Method] == nil {
					order = append(order, r.Method)
				}
				seen[key], values[r.Method] = true, append(values[r.Method], part.of(r))
			}
		}
		for _, name := range order {
			mean, low, high := interval.Student(values[name])
			out = append(out, Aged{name, part.pairs, mean, low, high, len(values[name])})
		}
	}
	return table.Of(out), nil
}

// Pair is the mean loss over models at one pair of a method's two parameters.
type Pair struct {
	First    float64 `parquet:"first" doc:"value of the first parameter"`
	Second   float64 `parquet:"second" doc:"value of the second parameter"`
	MeanLoss float64 `parquet:"mean_loss" doc:"mean loss over the multiples and models, nats"`
}

// SweepMap has a Pair for every combination of a family's two parameters in a table of Tried.
func SweepMap(sweeps *table.Table, family string) (*table.Table, error) {
	rows, err := table.Rows[Tried](sweeps)
	if err != nil {
		return nil, err
	}
	sums, order := map[[2]float64][]float64{}, [][2]float64{}
	for _, r := range rows {
		at := [2]float64{r.First, r.Second}
		if r.Method != family || math.IsNaN(at[0]) || math.IsNaN(at[1]) {
			continue
		}
		if sums[at] == nil {
			order = append(order, at)
		}
		sums[at] = append(sums[at], r.MeanLoss)
	}
	if len(order) == 0 {
		return nil, fmt.Errorf("no sweep over two parameters of %s in the table", family)
	}
	var out []Pair
	for _, at := range order {
		mean, _, _ := interval.Student(sums[at])
		out = append(out, Pair{at[0], at[1], mean})
	}
	return table.Of(out), nil
}
