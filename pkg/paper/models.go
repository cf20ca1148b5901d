package paper

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"stuffed/pkg/collapse"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// The studies on which claims draw.
const (
	ForgetPlan   = "forget"        // N × T at a fixed gap
	CapacityPlan = "capacity"      // N × T at a gap as long as the window
	RecallPlan   = "recall-table"  // the setting of over-training and cure
	LongPlan     = "over-training" // models of the recall table, trained for twice as long
	TextPlan     = "text"          // bytes of ordinary text
)

// AllPlans lists the studies of trained models. Where several of them trained the same configuration, the first in this order
// counts.
var AllPlans = []string{ForgetPlan, LongPlan, CapacityPlan, TextPlan, RecallPlan}

// Model is one trained model of a study at the end of its training, with its verdicts.
type Model struct {
	Plan, Row, Policy                 string
	Seed, State, Heads, Width, T, Gap int
	NS                                float64 // millions of scalars
	Tokens                            int64   // trained on
	Times                             float64 // length of a sequence, in training lengths
	collapse.Failure
	InsideRecall float64 // share of values recalled within the window
	AllRatio     float64 // the paper's quantity: largest mean loss of all tokens beyond T over the largest within it
	AllWithin    float64 // nats, the largest mean loss of all tokens within T
	Strict       bool    // the strict rule of package collapse, on the traced sequences
	First        string  // what came first there; explosion is growth by a factor of 2
	LossOnset    float64 // in tokens; NaN if there is none
	All          []HeadGrowth
}

// HeadGrowth is what one head retains and how much its state grows.
type HeadGrowth struct {
	Layer, Head          int
	Retained             float64 // share of a token that is left after T tokens, within the window
	Growth               float64 // largest norm beyond T over the largest within
	Onset                float64 // of growth by a factor of 2, in tokens; NaN if there is none
	Incoherent, Coherent float64 // growth of a head that goes on as it did within the window; see collapse.Filling
}

// Grows reports whether the norm stays above twice its maximum within the window.
func (h HeadGrowth) Grows() bool { return !math.IsNaN(h.Onset) }

// Explodes reports whether the head grows by more than filling up can explain.
func (h HeadGrowth) Explodes() bool { return h.Grows() && h.Growth > h.Coherent }

// Top returns the head that grows most.
func (m Model) Top() HeadGrowth {
	return slices.MaxFunc(m.All, func(a, b HeadGrowth) int { return cmp.Compare(a.Growth, b.Growth) })
}

// Keeper returns the head that retains most within the window.
func (m Model) Keeper() HeadGrowth {
	return slices.MaxFunc(m.All, func(a, b HeadGrowth) int { return cmp.Compare(a.Retained, b.Retained) })
}

// Count returns the number of heads that have a property.
func (m Model) Count(has func(HeadGrowth) bool) (n int) {
	for _, h := range m.All {
		if has(h) {
			n++
		}
	}
	return n
}

// Grows reports whether any head grows; Explodes, whether any explodes.
func (m Model) Grows() bool    { return m.Count(HeadGrowth.Grows) > 0 }
func (m Model) Explodes() bool { return m.Count(HeadGrowth.Explodes) > 0 }

// Learned reports whether the model has learned its task; see [LearnedAccuracy]. On text, where nothing is repeated by design,
// every model counts.
func (m Model) Learned() bool { return m.Plan == TextPlan || m.InsideRecall >= LearnedAccuracy }

func (m Model) String() string {
	return fmt.Sprintf("%s, N %d, T %d, %s, seed %d", m.Plan, m.State, m.T, m.Policy, m.Seed)
}

// setting identifies a configuration.
func (m Model) setting() string {
	return fmt.Sprint(m.Plan == TextPlan, m.State, m.Heads, m.Width, m.T, m.Gap, m.Policy, m.Seed, m.Tokens)
}

// Models returns the models of the given plans, each configuration once: the studies share some rows, and recall-table trains
// configurations of forget again. A missing study is an error only if none of those asked for is there.
func Models(root string, plans ...string) ([]Model, error) {
	once, _, err := trained(root, plans...)
	return once, err
}

// trained returns the models of the given plans, each configuration once, and the pairs of first and second training of a
// configuration from the same seeds.
func trained(root string, plans ...string) (once []Model, twice [][2]Model, err error) {
	seen := map[string]int{}
	found := 0
	for _, plan := range plans {
		list, err := modelsOf(root, plan)
		if errors.Is(err, fs.ErrNotExist) && len(plans) > 1 {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("study %s: %w", plan, err)
		}
		found++
		for _, m := range list {
			first, known := seen[m.setting()]
			switch {
			case !known:
				seen[m.setting()], once = len(once), append(once, m)
			case once[first].Row != m.Row: // a row shared by two plans is one training
				twice = append(twice, [2]Model{once[first], m})
			}
		}
	}
	if found == 0 {
		return nil, nil, fmt.Errorf("none of the studies %v is there: %w", plans, fs.ErrNotExist)
	}
	return once, twice, nil
}

func modelsOf(root, plan string) ([]Model, error) {
	outcome, err := chosen(root, plan, "outcome")
	if err != nil {
		return nil, err
	}
	losses, err := chosen(root, plan, "loss")
	if err != nil {
		return nil, err
	}
	heads, err := study.Read(root, plan, "heads")
	if err != nil {
		return nil, err
	}
	o, err := readOf(outcome, []string{"row", "policy", "first"}, []string{"replica", "seed", "state", "heads", "width", "train_length", "gap", "n_s", "tokens",
		"inside_accuracy", "strict", "degradation_onset"})
	if err != nil {
		return nil, err
	}
	curves, err := curvesOf(losses)
	if err != nil {
		return nil, err
	}
	grown, err := headsOf(heads)
	if err != nil {
		return nil, err
	}
	var out []Model
	for i := range outcome.Rows() {
		whole := func(name string) int { return int(o.float[name][i]) }
		m := Model{Plan: plan, Row: o.text["row"][i], Policy: o.text["policy"][i], Seed: whole("seed"), State: whole("state"), Heads: whole("heads"),
			Width: whole("width"), T: whole("train_length"), Gap: whole("gap"), NS: o.float["n_s"][i], Tokens: int64(whole("tokens")),
			InsideRecall: o.float["inside_accuracy"][i], Strict: o.float["strict"][i] == 1, First: o.text["first"][i], LossOnset: o.float["degradation_onset"][i]}
		key := memberKey{m.Row, whole("replica")}
		c := curves[key]
		if len(c) == 0 || len(grown[key]) == 0 {
			return nil, fmt.Errorf("row %s, member %d has an outcome, but no losses or no heads; collect the study again", m.Row, key.member)
		}
		length := 0.0
		for _, b := range c {
			length = max(length, b.end)
		}
		m.Times = length / float64(m.T)
		m.Failure = c.failure(float64(m.T), length)
		m.AllRatio, m.AllWithin = c.allRatio(float64(m.T))
		for _, h := range grown[key] {
			h.Incoherent, h.Coherent = collapse.Filling(h.Retained, m.Times)
			m.All = append(m.All, h)
		}
		out = append(out, m)
	}
	return out, nil
}

type memberKey struct {
	row    string
	member int
}

// columnsOf holds columns of a table by name.
type columnsOf struct {
	text  map[string][]string
	float map[string][]float64
}

func readOf(t *table.Table, texts, floats []string) (c columnsOf, err error) {
	c = columnsOf{map[string][]string{}, map[string][]float64{}}
	for _, name := range texts {
		if c.text[name], err = t.Text(name); err != nil {
			return c, err
		}
	}
	for _, name := range floats {
		if c.float[name], err = t.Float(name); err != nil {
			return c, err
		}
	}
	return c, c.measured(t, floats)
}

// judgedBy are the columns whose values decide whether a model fails.
var judgedBy = []string{"loss", "excess", "inside", "far", "documents", "accuracy", "inside_accuracy"}

// measured refuses losses and accuracies that are no numbers, which every comparison would silently count as "does not fail".
// Where no value was repeated there is none.
func (c columnsOf) measured(t *table.Table, names []string) error {
	repeats := c.float["repeats"]
	for _, name := range names {
		if !slices.Contains(judgedBy, name) {
			continue
		}
		for i, v := range c.float[name] {
			if !math.IsNaN(v) && !math.IsInf(v, 0) || repeats != nil && repeats[i] == 0 {
				continue
			}
			which := ""
			if rows := c.text["row"]; rows != nil {
				which = ", of row " + rows[i]
			}
			return fmt.Errorf("%s%s: %s is %v; no claim can be judged on that: train the row again and collect the study, or take it out of the plan", t.Place(i), which, name, v)
		}
	}
	return nil
}

// bucket is the mean loss over some positions.
type bucket struct {
	from, end, values float64
	loss, accuracy    collapse.Estimate
	all               float64 // loss of all tokens
}

type curve []bucket

func curvesOf(t *table.Table) (map[memberKey]curve, error) {
	c, err := readOf(t, []string{"row"}, []string{"replica", "position", "end", "loss", "loss_low", "loss_high", "accuracy", "accuracy_low", "accuracy_high", "repeats", "loss_all"})
	if err != nil {
		return nil, err
	}
	out := map[memberKey]curve{}
	for i, row := range c.text["row"] {
		of := func(name string) collapse.Estimate {
			return collapse.Estimate{Mean: c.float[name][i], Low: c.float[name+"_low"][i], High: c.float[name+"_high"][i], Values: int64(c.float["repeats"][i])}
		}
		k := memberKey{row, int(c.float["replica"][i])}
		out[k] = append(out[k], bucket{c.float["position"][i], c.float["end"][i], c.float["repeats"][i], of("loss"), of("accuracy"), c.float["loss_all"][i]})
	}
	return out, nil
}

// mean averages over the buckets whose middle lies in a range, weighted by their number of values.
func (c curve) mean(from, to float64, of func(bucket) collapse.Estimate) collapse.Estimate {
	var sum, n, squares float64
	known := true
	for _, b := range c {
		if middle := (b.from + b.end) / 2; middle < from || middle >= to || b.values == 0 {
			continue
		}
		e := of(b)
		sum, n = sum+b.values*e.Mean, n+b.values
		squares += math.Pow(b.values*e.Error(), 2)
		known = known && !math.IsNaN(e.Low)
	}
	out := collapse.Estimate{Mean: sum / n, Low: math.NaN(), High: math.NaN(), Values: int64(n)}
	if known && n > 0 {
		half := 1.96 * math.Sqrt(squares) / n
		out.Low, out.High = out.Mean-half, out.Mean+half
	}
	return out
}

func (c curve) failure(T, length float64) collapse.Failure {
	loss := func(b bucket) collapse.Estimate { return b.loss }
	recall := func(b bucket) collapse.Estimate {
		a := b.accuracy
		return collapse.Estimate{Mean: 100 * a.Mean, Low: 100 * a.Low, High: 100 * a.High, Values: a.Values}
	}
	f := collapse.Failure{Inside: c.mean(T/2, T, loss), Far: c.mean(length/2, length, loss)}
	f.Excess = f.Far.Minus(f.Inside)
	f.RecallLost = c.mean(T/2, T, recall).Minus(c.mean(length/2, length, recall))
	return f
}

func (c curve) allRatio(T float64) (ratio, inside float64) {
	within, beyond := math.Inf(-1), math.Inf(-1)
	for _, b := range c {
		switch {
		case math.IsNaN(b.all):
		case b.from < T:
			within = max(within, b.all)
		default:
			beyond = max(beyond, b.all)
		}
	}
	return beyond / within, within
}

// head returns row i of a table with the columns of headColumns.
func (c columnsOf) head(i int) HeadGrowth {
	return HeadGrowth{Layer: int(c.float["layer"][i]), Head: int(c.float["head"][i]), Retained: c.float["retention_window"][i],
		Growth: c.float["ratio"][i], Onset: c.float["onset"][i]}
}

var headColumns = []string{"replica", "layer", "head", "retention_window", "ratio", "onset"}

func headsOf(t *table.Table) (map[memberKey][]HeadGrowth, error) {
	c, err := readOf(t, []string{"row"}, headColumns)
	if err != nil {
		return nil, err
	}
	out := map[memberKey][]HeadGrowth{}
	for i, row := range c.text["row"] {
		k := memberKey{row, int(c.float["replica"][i])}
		out[k] = append(out[k], c.head(i))
	}
	return out, nil
}
