package paper

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/collapse"
	"stuffed/pkg/models"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Probes examines trained models beyond their training length: what several prompts do to loss and states, and whether the
// components of the recurrence drift.
type Probes struct {
	Models    []string // folders
	Backend   string
	Times     int    // length of a sequence, in training lengths
	Sequences int    // for prompts that differ from sequence to sequence
	Keep      string // folder for the traces
	Progress  func(label string) func(done, total int64)
}

// componentColumns are the columns of a trace that the paper plots as components.
var componentColumns = []string{"delta", "b_norm", "x_norm", "write_norm"}

// PromptRow is one model on one kind of prompt.
type PromptRow struct {
	Model            string  `parquet:"model" doc:"name of the model"`
	TrainLength      int     `parquet:"train_length" doc:"training length T, tokens"`
	Prompt           string  `parquet:"prompt" doc:"kind of prompt"`
	Sequences        int     `parquet:"sequences" doc:"number of sequences"`
	Inside           float64 `parquet:"inside" doc:"loss within the window, nats"`
	InsideLow        float64 `parquet:"inside_low" doc:"lower end of its 95 % interval over sequences"`
	InsideHigh       float64 `parquet:"inside_high" doc:"upper end"`
	Far              float64 `parquet:"far" doc:"loss far beyond the window, nats"`
	FarLow           float64 `parquet:"far_low" doc:"lower end of its 95 % interval over sequences"`
	FarHigh          float64 `parquet:"far_high" doc:"upper end"`
	Strict           int     `parquet:"strict" doc:"1 if the loss degrades by the strict rule, otherwise 0"`
	Growth           float64 `parquet:"growth" doc:"norm of the head that grows most, over its maximum within"`
	Retained         float64 `parquet:"retained" doc:"share of a token that this head retains over T tokens"`
	Coherent         float64 `parquet:"coherent" doc:"growth of this head by filling up alone, did all writes point the same way"`
	ExplosionOnset   float64 `parquet:"explosion_onset" doc:"position where the states explode, tokens"`
	DegradationOnset float64 `parquet:"degradation_onset" doc:"position where the loss degrades, tokens"`
	First            string  `parquet:"first" doc:"what comes first: state, loss, neither or undecided"`
}

// ComponentRow is how far one quantity of one head drifts beyond the window.
type ComponentRow struct {
	Model      string  `parquet:"model" doc:"name of the model"`
	Prompt     string  `parquet:"prompt" doc:"kind of prompt"`
	Quantity   string  `parquet:"quantity" doc:"quantity that drifts"`
	Layer      int     `parquet:"layer" doc:"layer, from 0"`
	Head       int     `parquet:"head" doc:"head, from 0; -1 for the convolution state"`
	Change     float64 `parquet:"change" doc:"mean far beyond T over the mean within"`
	ChangeLow  float64 `parquet:"change_low" doc:"lower end of its 95 % interval over sequences"`
	ChangeHigh float64 `parquet:"change_high" doc:"upper end"`
	Onset      float64 `parquet:"onset" doc:"position where it rises by a quarter and stays there, tokens"`
	OnsetLow   float64 `parquet:"onset_low" doc:"lower end of its 95 % interval"`
	OnsetHigh  float64 `parquet:"onset_high" doc:"upper end"`
}

// Run returns a table of [PromptRow] and one of [ComponentRow].
func (p Probes) Run(ctx context.Context) (prompts, components *table.Table, err error) {
	prompts, components = table.New(), table.New()
	for _, dir := range p.Models {
		T, err := models.TrainLength(dir, 0)
		if err != nil {
			return nil, nil, err
		}
		kinds, err := p.texts(dir, T)
		if err != nil {
			return nil, nil, err
		}
		for i, k := range kinds {
			name := filepath.Base(dir)
			q := report.Question{Model: dir, Backend: p.Backend, TrainLength: T, Source: trace.Source{Texts: k.texts},
				Trace: trace.Config{Bucket: max(T/16, 4), Batch: 4, Window: i == 0}}
			if p.Progress != nil {
				q.Trace.Progress = p.Progress(name + ", " + k.label)
			}
			seen, err := report.Look(ctx, q, p.Keep)
			if err != nil {
				return nil, nil, fmt.Errorf("%s, %s: %w", name, k.label, err)
			}
			row, err := promptRow(name, k.label, seen)
			if err != nil {
				return nil, nil, err
			}
			if err := prompts.Append(row); err != nil {
				return nil, nil, err
			}
			if i > 0 {
				continue // components only on sequences of the kind that the model was trained on
			}
			rows, err := componentRows(name, k.label, seen)
			if err != nil {
				return nil, nil, err
			}
			if err := components.Append(rows); err != nil {
				return nil, nil, err
			}
		}
	}
	return prompts, components, nil
}

type labelled struct {
	label string
	texts prompt.Texts
}

func (p Probes) texts(dir string, T int) ([]labelled, error) {
	length := p.Times * T
	if strings.HasPrefix(filepath.Base(dir), "recall") {
		stream, err := models.RecallStream(dir, 0)
		if err != nil {
			return nil, err
		}
		return []labelled{
			{"recall stream", prompt.Texts{Kind: "recall", Length: length, Count: p.Sequences, Recall: stream}},
			{"one key on end", prompt.Texts{Kind: "constant", Token: 7, Length: length}},
			{"one value on end", prompt.Texts{Kind: "constant", Token: stream.Keys + 7, Length: length}},
		}, nil
	}
	return []labelled{
		{"documents", prompt.Texts{Kind: "documents", Split: "test", Length: length, Count: p.Sequences}},
		{"shuffled", prompt.Texts{Kind: "shuffled", Split: "test", Length: length, Count: p.Sequences}},
		{"newlines", prompt.Texts{Kind: "newlines", Length: length}},
		{"letter e", prompt.Texts{Kind: "constant", Token: 'e', Length: length}},
		{"spaces", prompt.Texts{Kind: "constant", Token: ' ', Length: length}},
		{"digit 0", prompt.Texts{Kind: "constant", Token: '0', Length: length}},
		{"three sentences", prompt.Texts{Kind: "repeated", Length: length}},
	}, nil
}

// bySequence averages a column within the window (its second half) and far beyond it (the second half of the sequence), per
// prompt, over the rows that keep accepts.
func bySequence(t *table.Table, column string, T int, keep func(row int) bool) (within, beyond []float64, err error) {
	c, err := readOf(t, []string{"prompt"}, []string{"position", column})
	if err != nil {
		return nil, nil, err
	}
	length := slices.Max(c.float["position"])
	place, sums := map[string]int{}, [][4]float64(nil)
	for i, name := range c.text["prompt"] {
		v, at := c.float[column][i], c.float["position"][i]
		if math.IsNaN(v) || keep != nil && !keep(i) {
			continue
		}
		p, known := place[name]
		if !known {
			p = len(sums)
			place[name], sums = p, append(sums, [4]float64{})
		}
		switch {
		case at >= float64(T)/2 && at < float64(T):
			sums[p][0], sums[p][1] = sums[p][0]+v, sums[p][1]+1
		case at >= length/2:
			sums[p][2], sums[p][3] = sums[p][2]+v, sums[p][3]+1
		}
	}
	for _, s := range sums {
		within, beyond = append(within, s[0]/s[1]), append(beyond, s[2]/s[3])
	}
	return within, beyond, nil
}

func promptRow(model, label string, s *report.Seen) (*table.Table, error) {
	within, beyond, err := bySequence(s.Losses, "loss", s.TrainLength, nil)
	if err != nil {
		return nil, err
	}
	kept, err := collapse.RetentionAt(s.States, s.TrainLength)
	if err != nil {
		return nil, err
	}
	c, err := readOf(kept, nil, []string{"layer", "head", "retention"})
	if err != nil {
		return nil, err
	}
	v := s.Verdict
	top := collapse.Select(v.Details.All, 1)[0]
	retained := math.NaN()
	for i := range kept.Rows() {
		if int(c.float["layer"][i]) == top.Layer && int(c.float["head"][i]) == top.Head {
			retained = c.float["retention"][i]
		}
	}
	_, coherent := collapse.Filling(retained, float64(v.Details.LossEnd+1)/float64(s.TrainLength))
	a, b := meanOf(within), meanOf(beyond)
	finite := func(x float64) float64 {
		if math.IsInf(x, 0) {
			return math.NaN()
		}
		return x
	}
	strict := 0
	if v.Strict {
		strict = 1
	}
	return table.Of([]PromptRow{{Model: model, TrainLength: s.TrainLength, Prompt: label, Sequences: len(within),
		Inside: finite(a.Value), InsideLow: finite(a.Low), InsideHigh: finite(a.High), Far: finite(b.Value), FarLow: finite(b.Low), FarHigh: finite(b.High),
		Strict: strict, Growth: finite(top.Ratio), Retained: finite(retained), Coherent: finite(coherent),
		ExplosionOnset: onsetOf(v.ExplosionAt), DegradationOnset: onsetOf(v.DegradationAt), First: v.First}}), nil
}

// onsetOf returns a position, or NaN for nil.
func onsetOf(at *int) float64 {
	if at == nil {
		return math.NaN()
	}
	return float64(*at)
}

// change fills in the ratio of the mean far beyond T to the mean within: its geometric mean over sequences, with the interval.
func (c ComponentRow) change(within, beyond []float64) ComponentRow {
	var logs []float64
	for i := range within {
		if r := beyond[i] / within[i]; r > 0 && !math.IsInf(r, 0) {
			logs = append(logs, math.Log(r))
		}
	}
	m := meanOf(logs).exp()
	if math.IsInf(m.High, 0) {
		m.Low, m.High = math.NaN(), math.NaN()
	}
	c.Change, c.ChangeLow, c.ChangeHigh = m.Value, m.Low, m.High
	return c
}

// drift is the ratio to the top of the in-window band at which a component counts as drifting.
const drift = 1.25

func componentRows(model, label string, s *report.Seen) (*table.Table, error) {
	var rows []ComponentRow
	layers, err := s.States.Int("layer")
	if err != nil {
		return nil, err
	}
	heads, err := s.States.Int("head")
	if err != nil {
		return nil, err
	}
	for _, q := range componentColumns {
		rule := collapse.DefaultRule(s.TrainLength)
		rule.Column, rule.K, rule.Resamples = q, drift, 200
		for _, h := range s.Verdict.Details.All {
			mine := func(row int) bool { return int(layers[row]) == h.Layer && int(heads[row]) == h.Head }
			within, beyond, err := bySequence(s.States, q, s.TrainLength, mine)
			if err != nil {
				return nil, err
			}
			v, err := collapse.Judge(s.States.Filter(mine), s.Losses, rule)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", model, q, err)
			}
			rows = append(rows, ComponentRow{Model: model, Prompt: label, Quantity: q, Layer: h.Layer, Head: h.Head,
				Onset: onsetOf(v.ExplosionAt), OnsetLow: onsetOf(v.ExplosionLow), OnsetHigh: onsetOf(v.ExplosionHigh)}.change(within, beyond))
		}
	}
	if s.Window != nil {
		part, err := s.Window.Text("part")
		if err != nil {
			return nil, err
		}
		layer, err := s.Window.Int("layer")
		if err != nil {
			return nil, err
		}
		for l := range slices.Max(layer) + 1 {
			for _, name := range []string{"x", "B", "C"} {
				within, beyond, err := bySequence(s.Window, "norm", s.TrainLength, func(row int) bool { return part[row] == name && layer[row] == l })
				if err != nil {
					return nil, err
				}
				rows = append(rows, ComponentRow{Model: model, Prompt: label, Quantity: "convolution state of " + name, Layer: int(l), Head: -1,
					Onset: math.NaN(), OnsetLow: math.NaN(), OnsetHigh: math.NaN()}.change(within, beyond))
			}
		}
	}
	return table.Of(rows), nil
}
