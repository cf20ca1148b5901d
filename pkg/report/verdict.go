package report

import (
	"fmt"
	"slices"

	"stuffed/pkg/collapse"
	"stuffed/pkg/figure"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Together is loss and state on one time axis with the onsets of the verdict: the mean loss over prompts, and the norms of
// the heads with the largest ratios, as multiples of their in-window maxima.
func Together(states, losses *table.Table, v *collapse.Verdict) (Figure, error) {
	length := v.Details.Rule.TrainLength
	out, err := trace.Curves(losses, perOctave, "loss")
	if err != nil {
		return Figure{}, err
	}
	out.AddText("panel", slices.Repeat([]string{"Loss (nat)"}, out.Rows())).AddText("curve", slices.Repeat([]string{"loss"}, out.Rows()))
	for _, h := range collapse.Select(v.Details.All, 4) {
		some, err := pick(states, h.Layer, []int{h.Head})
		if err != nil {
			return Figure{}, err
		}
		norm, err := trace.Curves(some, perOctave, "norm")
		if err != nil {
			return Figure{}, err
		}
		if norm, err = relative(norm, length); err != nil {
			return Figure{}, err
		}
		norm.AddText("panel", slices.Repeat([]string{"State norm / in-window maximum"}, norm.Rows()))
		norm.AddText("curve", slices.Repeat([]string{fmt.Sprintf("layer %d head %d", h.Layer, h.Head)}, norm.Rows()))
		if err := out.Append(norm); err != nil {
			return Figure{}, err
		}
	}
	marks := []figure.Mark{figure.TrainLength(length)}
	if v.ExplosionAt != nil {
		marks = append(marks, figure.Mark{At: float64(*v.ExplosionAt), Label: "state explodes"})
	}
	if v.DegradationAt != nil {
		marks = append(marks, figure.Mark{At: float64(*v.DegradationAt), Label: "loss degrades"})
	}
	return Figure{figure.Curves{Size: figure.Size{Width: "double", Note: Sentence(v)}, X: read, Y: figure.Axis{Column: "value", Label: "Value", Unit: "1"},
		Series: []string{"curve"}, Name: "%s", Panel: "panel", PanelName: "%s", Across: 2, FreeY: true, Marks: marks}, out}, nil
}

// relative divides a curve by its largest value within the training length and leaves the keys out.
func relative(t *table.Table, length int) (*table.Table, error) {
	at, err := t.Int("read")
	if err != nil {
		return nil, err
	}
	out := table.New()
	quantity, err := t.Text("quantity")
	if err != nil {
		return nil, err
	}
	prompts, err := t.Int("prompts")
	if err != nil {
		return nil, err
	}
	value, err := t.Float("value")
	if err != nil {
		return nil, err
	}
	largest := 0.0
	for i, v := range value {
		if at[i] <= int64(length) {
			largest = max(largest, v)
		}
	}
	if largest == 0 {
		return nil, fmt.Errorf("report: no norm within the training length %d; trace with a smaller bucket", length)
	}
	out.AddText("quantity", quantity).AddInt("read", at)
	for _, name := range []string{"value", "low", "high"} {
		v, err := t.Float(name)
		if err != nil {
			return nil, err
		}
		scaled := make([]float64, len(v))
		for i := range v {
			scaled[i] = v[i] / largest
		}
		out.AddFloat(name, scaled)
	}
	return out.AddInt("prompts", prompts), nil
}

// Sentence says a verdict in one line.
func Sentence(v *collapse.Verdict) string {
	at := func(onset, low, high *int) string {
		switch {
		case onset == nil:
			return "not seen"
		case high == nil:
			return fmt.Sprintf("at token %d (95 %% from %d)", *onset, *low)
		}
		return fmt.Sprintf("at token %d (95 %% %d … %d)", *onset, *low, *high)
	}
	return fmt.Sprintf("Explosion %s in %d of %d heads; degradation by the strict rule %s; first: %s.",
		at(v.ExplosionAt, v.ExplosionLow, v.ExplosionHigh), len(v.Heads), v.Details.HeadsTotal, at(v.DegradationAt, v.DegradationLow, v.DegradationHigh), v.First)
}

// Ratios is the explosion ratio of every head (see collapse.Head) with its retention at the training length: layer, head,
// ratio, onset, retention.
func Ratios(states *table.Table, v *collapse.Verdict) (*table.Table, error) {
	kept, err := collapse.RetentionAt(states, v.Details.Rule.TrainLength)
	if err != nil {
		return nil, err
	}
	layers, err := kept.Int("layer")
	if err != nil {
		return nil, err
	}
	heads, err := kept.Int("head")
	if err != nil {
		return nil, err
	}
	values, err := kept.Float("retention")
	if err != nil {
		return nil, err
	}
	retention := map[[2]int]float64{}
	for i := range values {
		retention[[2]int{int(layers[i]), int(heads[i])}] = values[i]
	}
	var layer, head []int64
	var ratio, onset, left []float64
	for _, h := range collapse.Select(v.Details.All, len(v.Details.All)) {
		layer, head, ratio = append(layer, int64(h.Layer)), append(head, int64(h.Head)), append(ratio, h.Ratio)
		left = append(left, retention[[2]int{h.Layer, h.Head}])
		if h.Onset == nil {
			onset = append(onset, nan)
		} else {
			onset = append(onset, float64(*h.Onset))
		}
	}
	return table.New().AddInt("layer", layer).AddInt("head", head).AddFloat("ratio", ratio).AddFloat("onset", onset).AddFloat("retention", left), nil
}

// verdicts of collapse.Sweep in words.
var verdicts = map[string]string{"explosion": "Explosion", "degradation_strict": "Strict rule", "degradation_paper": "Paper's rule", "degradation_perplexity": "Perplexity"}

// threshold is the axis of a threshold of collapse.Sweep.
func threshold(column string) figure.Axis {
	known := map[string]figure.Axis{"k": {Label: "Factor k", Unit: "1"}, "m": {Label: "Duration m", Unit: "tokens"},
		"margin": {Label: "Margin", Unit: "nat"}, "factor": {Label: "Factor", Unit: "1"}}
	a, is := known[column]
	if !is {
		a = figure.Axis{Label: column, Unit: "1"}
	}
	a.Column = column
	return a
}

// SweepMap is how a verdict of collapse.Sweep depends on two of its thresholds, as the share of the settings of the others
// under which it is yes.
func SweepMap(sweep *table.Table, verdict, x, y string) (Figure, error) {
	if err := sweep.Require(verdict, x, y); err != nil {
		return Figure{}, fmt.Errorf("report: %w", err)
	}
	a, err := sweep.Float(x)
	if err != nil {
		return Figure{}, err
	}
	b, err := sweep.Float(y)
	if err != nil {
		return Figure{}, err
	}
	yes, err := sweep.Float(verdict)
	if err != nil {
		return Figure{}, err
	}
	type cell struct{ x, y float64 }
	at, order := map[cell][2]float64{}, []cell(nil)
	for i := range yes {
		c := cell{a[i], b[i]}
		s, known := at[c]
		if !known {
			order = append(order, c)
		}
		at[c] = [2]float64{s[0] + yes[i], s[1] + 1}
	}
	var xs, ys, share []float64
	for _, c := range order {
		xs, ys, share = append(xs, c.x), append(ys, c.y), append(share, at[c][0]/at[c][1])
	}
	low, high := 0.0, 1.0
	return Figure{figure.HeatMap{X: threshold(x), Y: threshold(y),
		Value: figure.Axis{Column: "share", Label: verdicts[verdict], Unit: "share of yes", Min: &low, Max: &high}},
		table.New().AddFloat(x, xs).AddFloat(y, ys).AddFloat("share", share)}, nil
}

// Outcomes are verdicts side by side: model, excess loss far beyond T (nats) with its 95 % interval over prompts, the largest
// growth of a head over what filling up explains, explosion (growth by the rule's factor alone) and degradation (0/1), share of exploding heads, onsets in tokens
// (NaN: not seen), what comes first, and the rank correlation of retention with explosion over the heads.
func Outcomes(names []string, seen []*Seen) *table.Table {
	flag := map[bool]int64{true: 1}
	at := func(onset *int) float64 {
		if onset == nil {
			return nan
		}
		return float64(*onset)
	}
	var trained, explosion, paper, perplexity, strict []int64
	var share, state, loss, rho, excess, low, high, beyond []float64
	var first []string
	for _, s := range seen {
		v := s.Verdict
		e := s.Excess()
		excess, low, high, beyond = append(excess, e.Mean), append(low, e.Low), append(high, e.High), append(beyond, s.BeyondFilling())
		trained, explosion, share, state = append(trained, int64(s.TrainLength)), append(explosion, flag[v.Explosion]), append(share, v.Details.HeadsShare), append(state, at(v.ExplosionAt))
		paper, perplexity, strict = append(paper, flag[v.Paper]), append(perplexity, flag[v.Perplexity]), append(strict, flag[v.Strict])
		loss, first = append(loss, at(v.DegradationAt)), append(first, v.First)
		if c := v.Details.Retention; c != nil {
			rho = append(rho, c.Rho)
		} else {
			rho = append(rho, nan)
		}
	}
	return table.New().AddText("model", names).AddInt("train_length", trained).AddFloat("excess", excess).AddFloat("excess_low", low).AddFloat("excess_high", high).
		AddFloat("beyond_filling", beyond).AddInt("explosion", explosion).AddFloat("heads_share", share).
		AddFloat("explosion_onset", state).AddInt("paper", paper).AddInt("perplexity", perplexity).AddInt("strict", strict).
		AddFloat("degradation_onset", loss).AddText("first", first).AddFloat("retention_rho", rho)
}
