package collapse

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"stuffed/pkg/atomic"
	"stuffed/pkg/table"
)

// Verdict is the finding for a pair of tables. Onsets are positions in tokens, nil if not reached; a nil upper end lies beyond the trace.
type Verdict struct {
	Explosion     bool   `json:"explosion"`
	ExplosionAt   *int   `json:"explosion_onset"`
	ExplosionLow  *int   `json:"explosion_onset_low"`
	ExplosionHigh *int   `json:"explosion_onset_high"`
	Heads         []Head `json:"heads"` // the exploding ones, earliest first

	Paper           bool `json:"degradation_paper"`
	Perplexity      bool `json:"degradation_perplexity"`
	Strict          bool `json:"degradation_strict"`
	DegradationAt   *int `json:"degradation_onset"` // of the strict rule
	DegradationLow  *int `json:"degradation_onset_low"`
	DegradationHigh *int `json:"degradation_onset_high"`

	First   string  `json:"first"` // "state", "loss", "neither", "undecided"
	Details Details `json:"details"`
}

// Details hold the quantities behind a verdict.
type Details struct {
	Rule         Rule     `json:"rule"`
	HeadsTotal   int      `json:"heads_total"`
	HeadsShare   float64  `json:"heads_share"` // exploding heads / all heads
	StateEnd     int      `json:"state_end"`   // last position of the states; later onsets are censored
	LossEnd      int      `json:"loss_end"`
	Bucket       int      `json:"bucket"`        // tokens, strict rule
	BucketPaper  int      `json:"bucket_paper"`  // tokens, paper and perplexity rules
	Level        float64  `json:"level"`         // mean loss over the second half of the window, nats
	Threshold    float64  `json:"threshold"`     // strict rule: level + margin + twice its standard error, nats
	InWindowPeak float64  `json:"in_window_max"` // largest bucket mean within the window, nats
	Warnings     []string `json:"warnings"`

	// Rank correlation over heads between retention at the training length and explosion ratio; nil if the states have no retention or
	// its ranks are undefined.
	Retention *Correlation `json:"retention_correlation"`

	// All heads, exploding or not, ordered by layer and head.
	All []Head `json:"-"`
}

// Judge applies the rule to states (prompt, position, layer, head and the
// column rule.Column) and losses (prompt, position, loss in nats).
//
// Rows with missing values are ignored. Errors name missing columns, tables without numbers, and traces that end within the training
// length.
func Judge(states, losses *table.Table, rule Rule) (*Verdict, error) {
	rule = rule.filled()
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	heads, warnings, err := loadStates(states, rule)
	if err != nil {
		return nil, err
	}
	curve, lossWarnings, err := loadLosses(losses, rule)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Heads: []Head{}, First: "neither"}
	v.Details = Details{Rule: rule, HeadsTotal: len(heads), Warnings: append(append([]string{}, warnings...), lossWarnings...)}
	v.judgeStates(heads, rule)
	v.correlate(states, rule)
	v.judgeLosses(curve, rule)
	v.First = first(v)
	return v, nil
}

func (v *Verdict) judgeStates(heads []headSeries, rule Rule) {
	for _, h := range heads {
		found := judgeHead(h, len(heads), rule)
		v.Details.All = append(v.Details.All, found)
		v.Details.StateEnd = max(v.Details.StateEnd, h.positions[len(h.positions)-1])
		if found.Onset != nil {
			v.Heads = append(v.Heads, found)
		}
	}
	v.Details.HeadsShare = float64(len(v.Heads)) / float64(len(heads))
	if len(v.Heads) == 0 {
		return
	}
	slices.SortStableFunc(v.Heads, func(a, b Head) int { return *a.Onset - *b.Onset })
	v.Explosion = true
	s := stateInterval(heads, v.Details.All, rule)
	v.ExplosionAt, v.ExplosionLow, v.ExplosionHigh = s.Onset, s.Low, s.High
}

func (v *Verdict) correlate(states *table.Table, rule Rule) {
	if !states.Has("retention") && !states.Has("log_retention") {
		return
	}
	retention, err := RetentionAt(states, rule.TrainLength)
	if err == nil {
		var c Correlation
		if c, err = RetentionCorrelation(v.Details.All, retention, rule.Seed); err == nil && !math.IsNaN(c.Rho+c.Low+c.High) {
			v.Details.Retention = &c
		}
	}
	if err != nil {
		v.Details.Warnings = append(v.Details.Warnings, err.Error())
	}
}

func (v *Verdict) judgeLosses(curve series, rule Rule) {
	y := curve.mean(nil)
	b := chooseBuckets(&curve, y, nanMean(y[curve.settled(rule.TrainLength):curve.window]), rule)
	d := degrade(&curve, y, b, rule)
	v.Paper, v.Perplexity, v.Strict = d.paper, d.perplexity, d.strict
	v.Details.Bucket, v.Details.BucketPaper = b.strict, b.loose
	v.Details.Level, v.Details.Threshold, v.Details.InWindowPeak = d.level, d.threshold, d.windowMax
	v.Details.LossEnd = curve.positions[len(curve.positions)-1]
	if d.strict {
		s := lossInterval(curve, d, b, rule)
		v.DegradationAt, v.DegradationLow, v.DegradationHigh = s.Onset, s.Low, s.High
	}
}

// first compares the two onsets. Overlapping intervals leave the order undecided; an onset that was not reached comes after one that was.
func first(v *Verdict) string {
	switch {
	case !v.Explosion && !v.Strict:
		return "neither"
	case !v.Strict:
		return "state"
	case !v.Explosion:
		return "loss"
	case v.ExplosionHigh != nil && *v.ExplosionHigh < *v.DegradationLow:
		return "state"
	case v.DegradationHigh != nil && *v.DegradationHigh < *v.ExplosionLow:
		return "loss"
	}
	return "undecided"
}

// Write saves the verdict as JSON, atomically.
func (v *Verdict) Write(path string) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("verdict: %w", err)
	}
	return atomic.Bytes(path, append(data, '\n'))
}

// Print writes the verdict as text for readers.
func (v *Verdict) Print(w io.Writer) {
	at := func(onset, low, high *int) string {
		if onset == nil {
			return "not reached"
		}
		end := "beyond the trace"
		if high != nil {
			end = fmt.Sprint(*high)
		}
		return fmt.Sprintf("at token %d (95 %%: %d … %s)", *onset, *low, end)
	}
	yes := map[bool]string{true: "yes", false: "no"}
	d := v.Details
	fmt.Fprintf(w, "training length    %d tokens; states to %d, losses to %d\n", d.Rule.TrainLength, d.StateEnd, d.LossEnd)
	fmt.Fprintf(w, "state explosion    %s, %s; %d of %d heads\n", yes[v.Explosion], at(v.ExplosionAt, v.ExplosionLow, v.ExplosionHigh), len(v.Heads), d.HeadsTotal)
	fmt.Fprintf(w, "degradation        strict %s, %s\n", yes[v.Strict], at(v.DegradationAt, v.DegradationLow, v.DegradationHigh))
	fmt.Fprintf(w, "                   paper's rule %s, on perplexity %s\n", yes[v.Paper], yes[v.Perplexity])
	fmt.Fprintf(w, "in-window loss     %.4g nats, strict threshold %.4g, bucket %d tokens\n", d.Level, d.Threshold, d.Bucket)
	fmt.Fprintf(w, "first              %s\n", v.First)
	if c := d.Retention; c != nil {
		fmt.Fprintf(w, "retention × ratio  rank correlation %.2f (95 %%: %.2f … %.2f) over %d heads\n", c.Rho, c.Low, c.High, c.N)
	}
	for i, h := range v.Heads {
		if i == 10 {
			fmt.Fprintf(w, "                   … and %d more heads\n", len(v.Heads)-10)
			break
		}
		fmt.Fprintf(w, "  layer %2d head %2d  onset %d, ratio %.4g\n", h.Layer, h.Head, *h.Onset, h.Ratio)
	}
	for _, warning := range d.Warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
}
