package intervene

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"stuffed/pkg/interval"
	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
)

// Bounded asks whether the heads whose states grow most carry a loss that rises far beyond the training length: α of these
// heads gets an upper bound, and as a control that of other heads of the same layers, each head with a bound of its own at
// which Σ log α over T tokens falls by the dose on the same sequences.
type Bounded struct {
	TrainLength int       `json:"train_length"`
	Doses       []float64 `json:"doses"`    // falls of Σ log α over T tokens, per head, above 0
	Heads       int       `json:"heads"`    // whose norms grow most beyond T
	Controls    int       `json:"controls"` // sets, all different
	Seed        uint64    `json:"seed"`
}

// Texts are what a model reads in a run of Bounded, rows of equal length: one kind of prompt, which is judged, and documents of
// T + 1 tokens, which tell what a bound costs within the window.
type Texts struct{ Prompts, Documents [][]int32 }

// Validate names the field that is out of range.
func (c Bounded) Validate(t Texts) error {
	if c.Heads < 1 || c.Controls < 1 {
		return fmt.Errorf("%d heads and %d control sets, want at least one of each", c.Heads, c.Controls)
	}
	if len(t.Prompts) == 0 || c.TrainLength < 4 || len(t.Prompts[0]) < 4*c.TrainLength {
		return fmt.Errorf("train_length is %d with %d prompts; want 4 tokens or more, and prompts of at least four times that", c.TrainLength, len(t.Prompts))
	}
	if len(t.Documents) == 0 || len(t.Documents[0]) <= c.TrainLength {
		return fmt.Errorf("%d documents; want some of more than %d tokens", len(t.Documents), c.TrainLength)
	}
	for _, d := range c.Doses {
		if !(d > 0 && d < 100) {
			return fmt.Errorf("dose %g is outside (0, 100)", d)
		}
	}
	return nil
}

// Bound is a row of Bounded: the model as it is, or a set of heads at one dose.
type Bound struct {
	Model       string  `parquet:"model" doc:"name of the model"`
	Recurrent   float64 `parquet:"n_s" doc:"size of its recurrent state, millions of scalars"`
	State       int     `parquet:"state" doc:"state dimension N of a head"`
	TrainLength int     `parquet:"train_length" doc:"training length T, tokens"`
	Set         string  `parquet:"set" doc:"none (the model as it is), chosen or control"`
	Draw        int     `parquet:"draw" doc:"number of the control set, from 1"`
	Heads       string  `parquet:"heads" doc:"the heads that are bounded, layer.head, separated by blanks"`
	Dose        float64 `parquet:"dose" doc:"requested fall of Σ log α over T tokens of the prompt"`
	Achieved    float64 `parquet:"achieved" doc:"its actual change, mean over the heads"`
	Inside      float64 `parquet:"inside" doc:"loss of the prompts at tokens ½T … T, nats"`
	Far         float64 `parquet:"far" doc:"loss of the prompts over their second half, nats"`
	Excess      float64 `parquet:"excess" doc:"far minus inside, mean over sequences"`
	ExcessLow   float64 `parquet:"excess_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	ExcessHigh  float64 `parquet:"excess_high" doc:"upper end"`
	Growth      float64 `parquet:"growth" doc:"largest growth of the norm of a head of the set (of the chosen ones for none)"`
	Documents   float64 `parquet:"documents" doc:"loss of documents at tokens ½T … T, nats: what a bound costs"`
}

// set is one run: heads with a dose.
type set struct {
	name  string
	draw  int
	heads []Head
	dose  float64
}

// Write appends the rows of one model to the table at path, except those already in it.
func (c Bounded) Write(ctx context.Context, m Named, texts Texts, path string, progress func(done, total int)) error {
	if err := c.Validate(texts); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	out, err := resume[Bound](path, "model", "set", "draw", "dose")
	if err != nil {
		return err
	}
	base, err := c.read(ctx, m.Bench, nil, texts)
	if err != nil {
		return err
	}
	sets, err := c.sets(m, base)
	if err != nil {
		return err
	}
	for i, s := range sets {
		key := []string{m.Name, s.name, strconv.Itoa(s.draw), strconv.FormatFloat(s.dose, 'g', -1, 64)}
		if !out.has(key...) {
			got := base
			if s.dose > 0 {
				if got, err = c.read(ctx, m.Bench, c.plan(s, base), texts); err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
			}
			if err := out.add([]Bound{c.row(m, s, got, base)}, key...); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(i+1, len(sets))
		}
	}
	return out.Close()
}

// sets are the runs of a model: as it is, then for each dose the chosen heads and every control.
func (c Bounded) sets(m Named, base *bounded) (out []set, err error) {
	chosen := Top(base.growth, c.Heads)
	slices.SortFunc(chosen, func(a, b Head) int { return (a.Layer-b.Layer)*1000 + a.Head - b.Head })
	controls := Sets(m.Model.Layers(), heads(m.Model), chosen, func(Head) bool { return true }, c.Seed)
	controls = controls[:min(c.Controls, len(controls))]
	if len(controls) == 0 {
		return nil, fmt.Errorf("%s: no heads are left for a control beside the %d chosen", m.Name, c.Heads)
	}
	out = []set{{"none", 0, chosen, 0}}
	for _, dose := range c.Doses {
		out = append(out, set{"chosen", 0, chosen, dose})
		for i, h := range controls {
			out = append(out, set{"control", i + 1, h, dose})
		}
	}
	return out, nil
}

func (c Bounded) plan(s set, base *bounded) (p Plan) {
	for _, h := range s.heads {
		high := math.Exp(bound(base.logAlpha[h.Layer][h.Head], s.dose/float64(c.TrainLength)))
		p = append(p, Intervention{Kind: "alpha_clamp", Heads: []Head{h}, High: &high})
	}
	return p
}

// bound is the upper bound at which the mean of v falls by fall: mean(max(0, v − bound)) = fall.
func bound(v []float64, fall float64) float64 {
	v = slices.Clone(v)
	slices.SortFunc(v, func(a, b float64) int { return cmp.Compare(b, a) })
	sum, n := 0.0, float64(len(v))
	for i, x := range v {
		sum += x
		at := (sum - n*fall) / float64(i+1) // were the first i + 1 values those above it
		if i+1 == len(v) || at >= v[i+1] {
			return at
		}
	}
	return math.NaN()
}

// bounded is what one run saw.
type bounded struct {
	inside, far, documents tally
	logAlpha               [][][]float64 // of every token of the prompts, [layer][head]
	growth                 [][]float64   // largest norm beyond T over the largest within, [layer][head]
}

func (c Bounded) read(ctx context.Context, b *Bench, plan Plan, texts Texts) (*bounded, error) {
	a, err := b.apply(Method{Name: "bound", Plan: plan})
	if err != nil {
		return nil, err
	}
	s := &bounded{inside: newTally(len(texts.Prompts)), far: newTally(len(texts.Prompts)), documents: newTally(len(texts.Documents))}
	layers, per, length := b.Model.Layers(), heads(b.Model), len(texts.Prompts[0])
	within, beyond, logs := make([]float64, layers*per), make([]float64, layers*per), make([][]float64, layers*per)
	err = a.run(ctx, texts.Prompts, nil, lm.Request{Loss: true, Probes: []string{lm.Squares, lm.LogAlpha}}, func(p lm.Piece) error {
		squares, _, err := trace.PerHead(b.Model, lm.Squares, p)
		if err != nil {
			return err
		}
		logAlpha, _, err := trace.PerHead(b.Model, lm.LogAlpha, p)
		if err != nil {
			return err
		}
		for t := range p.Tokens {
			at := p.Start + t
			for i := range texts.Prompts {
				for h := range within {
					k := ((h/per*len(texts.Prompts)+i)*p.Padded+t)*per + h%per
					logs[h] = append(logs[h], logAlpha[k])
					if at < c.TrainLength {
						within[h] = max(within[h], squares[k])
					} else {
						beyond[h] = max(beyond[h], squares[k])
					}
				}
				loss := float64(p.Loss[i*p.Tokens+t])
				switch {
				case at >= c.TrainLength/2 && at < c.TrainLength:
					s.inside.add(i, loss)
				case at >= length/2 && at+1 < length:
					s.far.add(i, loss)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for l := range layers {
		s.logAlpha = append(s.logAlpha, logs[l*per:][:per])
		var g []float64
		for h := range per {
			ratio := 0.0 // of a head that writes nothing within T
			if within[l*per+h] > 0 {
				ratio = math.Sqrt(beyond[l*per+h] / within[l*per+h])
			}
			g = append(g, ratio)
		}
		s.growth = append(s.growth, g)
	}
	documents := make([][]int32, len(texts.Documents))
	for i, d := range texts.Documents {
		documents[i] = d[:c.TrainLength+1]
	}
	return s, a.run(ctx, documents, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
		for t := range p.Tokens {
			for i := range documents {
				if at := p.Start + t; at >= c.TrainLength/2 && at < c.TrainLength {
					s.documents.add(i, float64(p.Loss[i*p.Tokens+t]))
				}
			}
		}
		return nil
	})
}

// excess of the prompts with its 95 % bootstrap interval over sequences.
func (s *bounded) excess() (mean, low, high float64) {
	each := make([]float64, len(s.far.sum))
	for i := range each {
		each[i] = s.far.sum[i]/s.far.count[i] - s.inside.sum[i]/s.inside.count[i]
		mean += each[i] / float64(len(each))
	}
	r, draws := rand.New(rand.NewPCG(0x5eed, uint64(len(each)))), make([]float64, 2000)
	for i := range draws {
		for range each {
			draws[i] += each[r.IntN(len(each))] / float64(len(each))
		}
	}
	low, high = interval.Percentiles(draws)
	return mean, low, high
}

func (c Bounded) row(m Named, s set, got, base *bounded) Bound {
	sizes := m.Model.Configuration().Sizes()
	out := Bound{Model: m.Name, Recurrent: float64(sizes.Recurrent) / 1e6, State: sizes.State, TrainLength: c.TrainLength, Set: s.name, Draw: s.draw,
		Heads: headNames(s.heads), Dose: s.dose, Inside: got.inside.mean(), Far: got.far.mean(), Documents: got.documents.mean()}
	for _, h := range s.heads {
		after, before := got.logAlpha[h.Layer][h.Head], base.logAlpha[h.Layer][h.Head]
		for k := range after {
			out.Achieved += (after[k] - before[k]) / float64(len(after)*len(s.heads)) * float64(c.TrainLength)
		}
		out.Growth = max(out.Growth, got.growth[h.Layer][h.Head])
	}
	out.Excess, out.ExcessLow, out.ExcessHigh = got.excess()
	return out
}
