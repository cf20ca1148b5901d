package study

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"stuffed/pkg/table"
)

// outcomeRows is one row per member and measured moment of training: tokens, inside (loss over ½T … T), far (over the
// last half of the sequence), their accuracies, peak (largest bucket mean beyond T), fails (far above twice inside), and,
// at the end of training, the verdicts of package collapse on states and losses of the traced sequences: explosion, paper,
// strict (1 or 0, −1 where not judged), explosion_onset and degradation_onset in tokens, and which came first.
type outcomeRows struct {
	member, tokens, fails                                           []int64
	inside, far, ratio, peak, insideHit, farHit                     []float64
	explosion, paper, strict                                        []int64
	explosionAt, degradationAt                                      []float64
	first                                                           []string
	headMember, headLayer, headHead                                 []int64
	retentionWindow, retention512, explosionRatio, explosionOnsetAt []float64
}

// failFactor is the rule of arXiv 2410.07145: a loss beyond the window above twice that within.
const failFactor = 2

func (o *outcomeRows) add(c Config, tokens int64, byPosition *table.Table) error {
	columns := map[string][]float64{}
	for _, name := range []string{"replica", "position", "end", "loss", "accuracy", "repeats"} {
		v, err := byPosition.Float(name)
		if err != nil {
			return err
		}
		columns[name] = v
	}
	T, length := float64(c.Train.TrainLength), float64(c.Length())
	mean := func(member int, column string, from, to float64) float64 {
		sum, n := 0.0, 0.0
		for i, r := range columns["replica"] {
			// Buckets do not always begin where the range does; their middles decide.
			middle := (columns["position"][i] + columns["end"][i]) / 2
			if k := columns["repeats"][i]; int(r) == member && middle >= from && middle < to && k > 0 {
				sum, n = sum+k*columns[column][i], n+k
			}
		}
		return sum / n
	}
	for r := range c.Train.Members() {
		inside, far := mean(r, "loss", T/2, T), mean(r, "loss", length/2, length)
		peak := math.Inf(-1)
		for i, k := range columns["replica"] {
			if int(k) == r && columns["position"][i] >= T {
				peak = max(peak, columns["loss"][i])
			}
		}
		o.member, o.tokens = append(o.member, int64(r)), append(o.tokens, tokens)
		o.inside, o.far, o.ratio, o.peak = append(o.inside, inside), append(o.far, far), append(o.ratio, far/inside), append(o.peak, peak)
		o.insideHit, o.farHit = append(o.insideHit, mean(r, "accuracy", T/2, T)), append(o.farHit, mean(r, "accuracy", length/2, length))
		fails := int64(0)
		if !(far <= failFactor*inside) {
			fails = 1
		}
		o.fails = append(o.fails, fails)
		o.explosion, o.paper, o.strict = append(o.explosion, -1), append(o.paper, -1), append(o.strict, -1)
		o.explosionAt, o.degradationAt, o.first = append(o.explosionAt, math.NaN()), append(o.degradationAt, math.NaN()), append(o.first, "")
	}
	return nil
}

// judge fills in the verdict on the last moment of a member, where its states were watched.
func (o *outcomeRows) judge(c Config, r int, w *watched) error {
	if len(w.position) == 0 {
		return nil
	}
	v, err := c.verdict(w)
	if err != nil {
		return fmt.Errorf("member %d: %w", r, err)
	}
	i := len(o.member) - len(c.Train.Members()) + r
	o.explosion[i], o.paper[i], o.strict[i], o.first[i] = flag(v.Explosion), flag(v.Paper), flag(v.Strict), v.First
	o.explosionAt[i], o.degradationAt[i] = number(v.ExplosionAt), number(v.DegradationAt)
	heads, beyond := c.Train.Model.Sizes().Heads, float64(c.Watched()-c.Train.TrainLength)
	for _, h := range v.Details.All {
		k := h.Layer*heads + h.Head
		o.headMember, o.headLayer, o.headHead = append(o.headMember, int64(r)), append(o.headLayer, int64(h.Layer)), append(o.headHead, int64(h.Head))
		o.retentionWindow = append(o.retentionWindow, math.Exp(w.logAlphaWindow[k]))
		o.retention512 = append(o.retention512, math.Exp(512*w.logAlphaBeyond[k]/beyond))
		o.explosionRatio, o.explosionOnsetAt = append(o.explosionRatio, h.Ratio), append(o.explosionOnsetAt, number(h.Onset))
	}
	return nil
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

func (o *outcomeRows) table() *table.Table {
	return table.New().AddInt("replica", o.member).AddInt("tokens", o.tokens).AddFloat("inside", o.inside).AddFloat("far", o.far).
		AddFloat("ratio", o.ratio).AddFloat("peak", o.peak).AddFloat("inside_accuracy", o.insideHit).AddFloat("far_accuracy", o.farHit).
		AddInt("fails", o.fails).AddInt("explosion", o.explosion).AddInt("paper", o.paper).AddInt("strict", o.strict).
		AddFloat("explosion_onset", o.explosionAt).AddFloat("degradation_onset", o.degradationAt).AddText("first", o.first)
}

func (o *outcomeRows) heads() *table.Table {
	return table.New().AddInt("replica", o.headMember).AddInt("layer", o.headLayer).AddInt("head", o.headHead).
		AddFloat("retention_window", o.retentionWindow).AddFloat("retention_512", o.retention512).
		AddFloat("ratio", o.explosionRatio).AddFloat("onset", o.explosionOnsetAt)
}

// tables joins what was measured.
func (m *measure) tables(training *table.Table) (Tables, error) {
	for r, w := range m.watched {
		if err := m.outcomes.judge(m.config, r, w); err != nil {
			return nil, err
		}
	}
	out := Tables{"training": training, "loss": m.loss, "state": identified(m.config, stateTable(m.watched)),
		"outcome": identified(m.config, m.outcomes.table()), "heads": identified(m.config, m.outcomes.heads())}
	if len(m.age.Columns) > 0 {
		out["age"] = m.age
	}
	maps.Copy(out, m.prompts)
	maps.DeleteFunc(out, func(_ string, t *table.Table) bool { return t.Rows() == 0 }) // what a model without a recurrent state lacks
	return out, nil
}

// stateTable averages over sequences.
func stateTable(all []*watched) *table.Table {
	var member, position, layer, head []int64
	var norm, variance, absmax []float64
	for r, w := range all {
		type key [3]int64
		sums, order := map[key][4]float64{}, []key(nil)
		for i := range w.position {
			k := key{w.position[i], w.layer[i], w.head[i]}
			s, seen := sums[k]
			if !seen {
				order = append(order, k)
			}
			sums[k] = [4]float64{s[0] + w.norm[i], s[1] + w.variance[i], s[2] + w.absmax[i], s[3] + 1}
		}
		slices.SortFunc(order, func(a, b key) int { return slices.Compare([]int64{a[1], a[2], a[0]}, []int64{b[1], b[2], b[0]}) })
		for _, k := range order {
			s := sums[k]
			member, position, layer, head = append(member, int64(r)), append(position, k[0]), append(layer, k[1]), append(head, k[2])
			norm, variance, absmax = append(norm, s[0]/s[3]), append(variance, s[1]/s[3]), append(absmax, s[2]/s[3])
		}
	}
	return table.New().AddInt("replica", member).AddInt("position", position).AddInt("layer", layer).AddInt("head", head).
		AddFloat("norm", norm).AddFloat("variance", variance).AddFloat("absmax", absmax)
}
