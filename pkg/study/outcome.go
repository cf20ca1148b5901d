package study

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"stuffed/pkg/collapse"
	"stuffed/pkg/eval"
	"stuffed/pkg/table"
)

// outcomes accumulates the rows of the tables outcome and heads.
type outcomes struct {
	rows  []OutcomeRow
	heads []HeadRow
}

func (o *outcomes) add(c Config, tokens int64, buckets []eval.RecallRow) {
	T, length := float64(c.Train.TrainLength), float64(c.Length())
	mean := func(member int, of func(eval.RecallRow) float64, from, to float64) float64 {
		sum, n := 0.0, 0.0
		for _, b := range buckets {
			// Bucket boundaries need not coincide with the range, so buckets are assigned by their midpoints.
			middle := float64(b.Position+b.End) / 2
			if k := float64(b.Repeats); b.Member == member && middle >= from && middle < to && k > 0 {
				sum, n = sum+k*of(b), n+k
			}
		}
		return sum / n
	}
	loss, accuracy := func(b eval.RecallRow) float64 { return b.Loss }, func(b eval.RecallRow) float64 { return b.Accuracy }
	for r, m := range c.Train.Members() {
		one := OutcomeRow{Member: memberOf(r, m), Tokens: tokens, Inside: mean(r, loss, T/2, T), Far: mean(r, loss, length/2, length), Peak: math.Inf(-1),
			InsideAccuracy: mean(r, accuracy, T/2, T), FarAccuracy: mean(r, accuracy, length/2, length),
			Explosion: -1, Paper: -1, Strict: -1, ExplosionOnset: math.NaN(), DegradationOnset: math.NaN()}
		one.Ratio = one.Far / one.Inside
		for _, b := range buckets {
			if b.Member == r && float64(b.Position) >= T {
				one.Peak = max(one.Peak, b.Loss)
			}
		}
		if !(one.Far <= collapse.DefaultLimits().Factor*one.Inside) { // the shipped rows hold this column: what pkg/paper judges, it judges anew
			one.Fails = 1
		}
		o.rows = append(o.rows, one)
	}
}

// judge adds the verdict to a member's last moment, if its states were recorded.
func (o *outcomes) judge(c Config, r int, w *watched) error {
	if len(w.states) == 0 {
		return nil
	}
	v, err := c.verdict(w)
	if err != nil {
		return fmt.Errorf("member %d: %w", r, err)
	}
	one := &o.rows[len(o.rows)-len(c.Train.Members())+r]
	one.Explosion, one.Paper, one.Strict, one.First = flag(v.Explosion), flag(v.Paper), flag(v.Strict), v.First
	one.ExplosionOnset, one.DegradationOnset = number(v.ExplosionAt), number(v.DegradationAt)
	o.heads = append(o.heads, c.headRows(one.Member, v, w)...)
	return nil
}

// headRows returns the rows of one member whose states were recorded.
func (c Config) headRows(m Member, v *collapse.Verdict, w *watched) (rows []HeadRow) {
	heads, beyond := c.Train.Model.Sizes().Heads, float64(c.Watched()-c.Train.TrainLength)
	for _, h := range v.Details.All {
		k := h.Layer*heads + h.Head
		rows = append(rows, HeadRow{m, h.Layer, h.Head, math.Exp(w.logAlphaWindow[k]), math.Exp(512 * w.logAlphaBeyond[k] / beyond), h.Ratio, number(h.Onset)})
	}
	return rows
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func number(onset *int) float64 {
	if onset == nil {
		return math.NaN()
	}
	return float64(*onset)
}

// tables assembles the row's tables.
func (m *measure) tables(training *table.Table) (Tables, error) {
	for r, w := range m.watched {
		if err := m.outcomes.judge(m.config, r, w); err != nil {
			return nil, err
		}
	}
	out := Tables{"training": training, "loss": table.Of(m.loss), "age": table.Of(m.age), "state": table.Of(m.stateRows(m.watched)),
		"outcome": table.Of(m.outcomes.rows), "heads": table.Of(m.outcomes.heads)}
	maps.Copy(out, m.prompts)
	maps.DeleteFunc(out, func(_ string, t *table.Table) bool { return t.Rows() == 0 }) // tables that do not apply to a model without a recurrent state
	return out, nil
}

// stateRows averages the recorded states over sequences.
func (m *measure) stateRows(all []*watched) (rows []StateRow) {
	for r, w := range all {
		type key struct{ position, layer, head int }
		sums, order := map[key][4]float64{}, []key(nil)
		for _, one := range w.states {
			k := key{one.Position, one.Layer, one.Head}
			s, seen := sums[k]
			if !seen {
				order = append(order, k)
			}
			sums[k] = [4]float64{s[0] + one.Norm, s[1] + one.Variance, s[2] + one.AbsMax, s[3] + 1}
		}
		slices.SortFunc(order, func(a, b key) int {
			return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.head, b.head), cmp.Compare(a.position, b.position))
		})
		for _, k := range order {
			s := sums[k]
			rows = append(rows, StateRow{memberOf(r, m.members[r]), k.position, k.layer, k.head, s[0] / s[3], s[1] / s[3], s[2] / s[3]})
		}
	}
	return rows
}
