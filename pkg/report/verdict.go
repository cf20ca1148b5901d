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
	return Figure{figure.Curves{Size: figure.Size{Width: "double", Note: Sentence(v)}, X: read, Y: figure.Axis{Column: "value", Label: "Loss or growth", Unit: "1"},
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
	grows := fmt.Sprintf("None of %d heads grows above twice its largest norm within T", v.Details.HeadsTotal)
	if v.ExplosionAt != nil {
		grows = fmt.Sprintf("%d of %d heads above twice their largest norm within T, the first %s", len(v.Heads), v.Details.HeadsTotal, at(v.ExplosionAt, v.ExplosionLow, v.ExplosionHigh))
	}
	return fmt.Sprintf("%s; degradation by the strict rule %s; first: %s.", grows, at(v.DegradationAt, v.DegradationLow, v.DegradationHigh), v.First)
}

// HeadRatio is the explosion ratio of a head with its retention.
type HeadRatio struct {
	Layer     int     `parquet:"layer" doc:"layer, from 0"`
	Head      int     `parquet:"head" doc:"head, from 0"`
	Ratio     float64 `parquet:"ratio" doc:"explosion ratio, see collapse.Head"`
	Onset     float64 `parquet:"onset" doc:"token from which on the head explodes; missing where it does not"`
	Retention float64 `parquet:"retention" doc:"share of its state that it keeps over the training length"`
}

// Ratios is the explosion ratio of every head with its retention at the training length: a table of [HeadRatio].
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
	var rows []HeadRatio
	for _, h := range collapse.Select(v.Details.All, len(v.Details.All)) {
		rows = append(rows, HeadRatio{h.Layer, h.Head, h.Ratio, reached(h.Onset), retention[[2]int{h.Layer, h.Head}]})
	}
	return table.Of(rows), nil
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

// reached is an onset in tokens, NaN where there is none.
func reached(onset *int) float64 {
	if onset == nil {
		return nan
	}
	return float64(*onset)
}

// Outcome is what is seen of a model.
type Outcome struct {
	Model            string  `parquet:"model" doc:"model"`
	TrainLength      int     `parquet:"train_length" doc:"tokens"`
	Excess           float64 `parquet:"excess" doc:"loss far beyond T less that within, nats"`
	ExcessLow        float64 `parquet:"excess_low" doc:"lower end of its 95 % interval over prompts"`
	ExcessHigh       float64 `parquet:"excess_high" doc:"upper end"`
	BeyondFilling    float64 `parquet:"beyond_filling" doc:"largest growth of a head over what filling up explains"`
	Explosion        int     `parquet:"explosion" doc:"1 if a head grows by the rule's factor, otherwise 0"`
	HeadsShare       float64 `parquet:"heads_share" doc:"share of the heads that do"`
	ExplosionOnset   float64 `parquet:"explosion_onset" doc:"from which token on; missing where none does"`
	Paper            int     `parquet:"paper" doc:"1 if the loss degrades by the paper's rule, otherwise 0"`
	Perplexity       int     `parquet:"perplexity" doc:"the same by the rule on perplexity"`
	Strict           int     `parquet:"strict" doc:"the same by the strict rule"`
	DegradationOnset float64 `parquet:"degradation_onset" doc:"from which token on the loss degrades; missing where it does not"`
	First            string  `parquet:"first" doc:"what comes first: state, loss, neither or undecided"`
	RetentionRho     float64 `parquet:"retention_rho" doc:"rank correlation of retention with explosion over the heads"`
}

// Outcomes are verdicts side by side: a table of [Outcome].
func Outcomes(names []string, seen []*Seen) *table.Table {
	flag := map[bool]int{true: 1}
	rows := make([]Outcome, len(seen))
	for i, s := range seen {
		v, e, rho := s.Verdict, s.Excess(), nan
		if c := v.Details.Retention; c != nil {
			rho = c.Rho
		}
		rows[i] = Outcome{names[i], s.TrainLength, e.Mean, e.Low, e.High, s.BeyondFilling(), flag[v.Explosion], v.Details.HeadsShare, reached(v.ExplosionAt),
			flag[v.Paper], flag[v.Perplexity], flag[v.Strict], reached(v.DegradationAt), v.First, rho}
	}
	return table.Of(rows)
}
