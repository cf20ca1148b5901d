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

// Probes looks at trained models beyond their training length: what several prompts do to loss and states, and whether the
// parts of the recurrence drift.
type Probes struct {
	Models    []string // folders
	Backend   string
	Times     int    // length in training lengths
	Sequences int    // of prompts that differ from sequence to sequence
	Keep      string // folder of the traces
	Progress  func(label string) func(done, total int64)
}

// quantities of a trace that the paper plots as components, and the parts of the convolution state.
var componentColumns = []string{"delta", "b_norm", "x_norm", "write_norm"}

// Run makes two tables. Prompts: model, state, train_length, prompt, sequences, inside and far (nats, with _low and _high
// over sequences), all_ratio, strict (0 or 1), growth (of the head that grows most), retained and coherent (of that head),
// explosion_onset, degradation_onset (tokens; NaN: none), first. Components: model, prompt, quantity, layer, head (−1 for
// the convolution state), change (mean far over mean within, with _low and _high over sequences), onset (of a lasting
// excess by a quarter; NaN: none) with onset_low and onset_high.
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
				continue // components on the kind of sequences that the model was trained on
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

// bySequence are the means of a column within (the second half of the window) and far (the second half of the sequence),
// of each prompt, over the rows that keep holds for.
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
	one := func(x float64) []float64 {
		if math.IsInf(x, 0) {
			x = math.NaN()
		}
		return []float64{x}
	}
	onset := func(at *int) []float64 {
		if at == nil {
			return one(math.NaN())
		}
		return one(float64(*at))
	}
	strict := int64(0)
	if v.Strict {
		strict = 1
	}
	return table.New().AddText("model", []string{model}).AddInt("train_length", []int64{int64(s.TrainLength)}).AddText("prompt", []string{label}).
		AddInt("sequences", []int64{int64(len(within))}).AddFloat("inside", one(a.Value)).AddFloat("inside_low", one(a.Low)).AddFloat("inside_high", one(a.High)).
		AddFloat("far", one(b.Value)).AddFloat("far_low", one(b.Low)).AddFloat("far_high", one(b.High)).
		AddInt("strict", []int64{strict}).AddFloat("growth", one(top.Ratio)).AddFloat("retained", one(retained)).AddFloat("coherent", one(coherent)).
		AddFloat("explosion_onset", onset(v.ExplosionAt)).AddFloat("degradation_onset", onset(v.DegradationAt)).AddText("first", []string{v.First}), nil
}

type componentTable struct {
	quantity                                      []string
	layer, head                                   []int64
	change, low, high, onset, onsetLow, onsetHigh []float64
}

func (t *componentTable) add(quantity string, layer, head int, within, beyond []float64, onset, low, high *int) {
	var logs []float64
	for i := range within {
		if r := beyond[i] / within[i]; r > 0 && !math.IsInf(r, 0) {
			logs = append(logs, math.Log(r))
		}
	}
	m := meanOf(logs).exp()
	at := func(p *int) float64 {
		if p == nil {
			return math.NaN()
		}
		return float64(*p)
	}
	if math.IsInf(m.High, 0) {
		m.Low, m.High = math.NaN(), math.NaN()
	}
	t.quantity, t.layer, t.head = append(t.quantity, quantity), append(t.layer, int64(layer)), append(t.head, int64(head))
	t.change, t.low, t.high = append(t.change, m.Value), append(t.low, m.Low), append(t.high, m.High)
	t.onset, t.onsetLow, t.onsetHigh = append(t.onset, at(onset)), append(t.onsetLow, at(low)), append(t.onsetHigh, at(high))
}

// drift is the excess over the in-window band that counts as the onset of a component's drift.
const drift = 1.25

func componentRows(model, label string, s *report.Seen) (*table.Table, error) {
	var t componentTable
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
			t.add(q, h.Layer, h.Head, within, beyond, v.ExplosionAt, v.ExplosionLow, v.ExplosionHigh)
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
				t.add("convolution state of "+name, int(l), -1, within, beyond, nil, nil, nil)
			}
		}
	}
	n := len(t.quantity)
	return table.New().AddText("model", slices.Repeat([]string{model}, n)).AddText("prompt", slices.Repeat([]string{label}, n)).AddText("quantity", t.quantity).
		AddInt("layer", t.layer).AddInt("head", t.head).AddFloat("change", t.change).AddFloat("change_low", t.low).AddFloat("change_high", t.high).
		AddFloat("onset", t.onset).AddFloat("onset_low", t.onsetLow).AddFloat("onset_high", t.onsetHigh), nil
}
