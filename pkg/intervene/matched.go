package intervene

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/datasets"
	"stuffed/pkg/interval"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Matched asks whether chosen heads carry a failure: log α of those that retain most is changed, and as a control that of
// other heads of the same layers by as much, each set of controls drawn once. Lower takes the shift off log α at every token,
// spread evenly over T tokens; Raise scales log α of each head so that its sum over T tokens in the window rises by the shift
// (a head that forgets less than that is held at α = 1 and is not a control).
type Matched struct {
	Stream      datasets.RecallStream `json:"stream,omitzero"`
	Texts       [][]int32             `json:"-"` // instead of the stream: sequences of Times · T tokens, all of which count
	TrainLength int                   `json:"train_length"`
	Times       int                   `json:"times"` // length in T
	Sequences   int                   `json:"sequences"`
	Direction   string                `json:"direction"` // "lower" or "raise"
	Shifts      []float64             `json:"shifts"`    // of Σ log α over T tokens, per head, above 0
	Heads       int                   `json:"heads"`     // that retain most
	Controls    int                   `json:"controls"`  // sets, all different
	Seed        uint64                `json:"seed"`
}

// Validate names the field that is out of range.
func (c Matched) Validate() error {
	switch {
	case c.Direction != "lower" && c.Direction != "raise":
		return fmt.Errorf("direction %q: choose lower or raise", c.Direction)
	case c.Heads < 1 || c.Controls < 1:
		return fmt.Errorf("%d heads and %d control sets, want at least one of each", c.Heads, c.Controls)
	case c.Times < 4 || c.TrainLength < 4:
		return fmt.Errorf("train_length %d and times %d, want 4 or more", c.TrainLength, c.Times)
	case c.Sequences < 1 && c.Texts == nil:
		return fmt.Errorf("sequences is %d, want 1 or more", c.Sequences)
	}
	for i, row := range c.Texts {
		if len(row) != c.Times*c.TrainLength {
			return fmt.Errorf("text %d has %d tokens, want %d · %d", i, len(row), c.Times, c.TrainLength)
		}
	}
	for _, s := range c.Shifts {
		if !(s > 0 && s < 100) {
			return fmt.Errorf("shift %g is outside (0, 100)", s)
		}
	}
	if c.Texts != nil {
		return nil
	}
	return c.Stream.Validate()
}

// read are the sequences, and which of their tokens count: those of repeated values, or all.
func (c Matched) read() (rows [][]int32, counts func(row, at int) bool) {
	if c.Texts != nil {
		return c.Texts, func(int, int) bool { return true }
	}
	suite := Suite{Stream: c.Stream, TrainLength: c.TrainLength, Sequences: c.Sequences, Split: "test"}
	rows, repeat, _ := suite.rows(c.Times * c.TrainLength)
	return rows, func(row, at int) bool { return repeat[row][at] }
}

// Sets are the n-head sets of the same layers as chosen, without its heads, in random order: no set comes twice.
func Sets(layers, heads int, chosen []Head, allowed func(Head) bool, seed uint64) (sets [][]Head) {
	want := make([]int, layers)
	for _, h := range chosen {
		want[h.Layer]++
	}
	sets = [][]Head{nil}
	for l, n := range want {
		var others []Head
		for h := range heads {
			if one := (Head{l, h}); !slices.Contains(chosen, one) && allowed(one) {
				others = append(others, one)
			}
		}
		var next [][]Head
		for _, part := range subsets(others, n) {
			for _, set := range sets {
				next = append(next, append(slices.Clone(set), part...))
			}
		}
		sets = next
	}
	r := rand.New(rand.NewPCG(seed, 0xc0de))
	r.Shuffle(len(sets), func(i, j int) { sets[i], sets[j] = sets[j], sets[i] })
	return sets
}

func subsets(of []Head, n int) (out [][]Head) {
	if n == 0 {
		return [][]Head{nil}
	}
	for i := range of {
		for _, rest := range subsets(of[i+1:], n-1) {
			out = append(out, append([]Head{of[i]}, rest...))
		}
	}
	return out
}

// plan changes Σ log α over T tokens of every head by the shift.
func (c Matched) plan(heads []Head, shift float64, logRetention [][]float64) Plan {
	if c.Direction == "lower" {
		return Plan{{Kind: "alpha_scale", Heads: heads, Value: math.Exp(-shift / float64(c.TrainLength))}}
	}
	v := Intervention{Kind: "a_scale", Heads: heads}
	for _, h := range heads {
		own := -logRetention[h.Layer][h.Head]
		v.Values = append(v.Values, max(0, 1-shift/own))
	}
	return Plan{v}
}

// Match is a row of Matched: the model as it is, or a set of heads at one shift.
type Match struct {
	Model        string  `parquet:"model" doc:"name of the model"`
	Direction    string  `parquet:"direction" doc:"lower or raise"`
	Set          string  `parquet:"set" doc:"none (the model as it is), chosen or control"`
	Draw         int     `parquet:"draw" doc:"number of the control set, from 1"`
	Heads        string  `parquet:"heads" doc:"the heads that are changed, layer.head, separated by blanks"`
	Shift        float64 `parquet:"shift" doc:"requested change of Σ log α over T tokens"`
	Achieved     float64 `parquet:"achieved" doc:"its actual change over the T tokens of the window, mean over the heads"`
	Inside       float64 `parquet:"inside" doc:"loss at values of repeated pairs (of texts: at all tokens) at ½T … T, nats"`
	Far          float64 `parquet:"far" doc:"the same over the second half of the sequence"`
	Excess       float64 `parquet:"excess" doc:"far minus inside"`
	ExcessLow    float64 `parquet:"excess_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	ExcessHigh   float64 `parquet:"excess_high" doc:"upper end"`
	RecallInside float64 `parquet:"recall_inside" doc:"share of these values that were the likeliest token, at ½T … T"`
	RecallFar    float64 `parquet:"recall_far" doc:"the same over the second half of the sequence"`
	Onset        float64 `parquet:"onset" doc:"first quarter octave from which on the loss stays 0.1 nat above inside"`
	Growth       float64 `parquet:"growth" doc:"largest growth of the norm of a head of the set (of the chosen ones for none)"`
}

// Run makes a table of Match: one row for the model as it is and for every set and shift.
func (c Matched) Run(ctx context.Context, b *Bench, model string, progress func(done, total int)) (*table.Table, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	base, err := c.measure(ctx, b, nil)
	if err != nil {
		return nil, err
	}
	kept := base.logAlpha
	chosen := Top(kept, c.Heads)
	slices.SortFunc(chosen, func(a, b Head) int { return (a.Layer-b.Layer)*1000 + a.Head - b.Head })
	perLayer, _, _ := lm.Matrices(b.Model)
	sets := Sets(b.Model.Layers(), perLayer, chosen, func(h Head) bool {
		return c.Direction == "lower" || -kept[h.Layer][h.Head] > slices.Max(append([]float64{0}, c.Shifts...))
	}, c.Seed)
	sets = sets[:min(c.Controls, len(sets))]
	if len(sets) == 0 {
		return nil, fmt.Errorf("%s: no heads are left for a control beside the %d chosen", model, c.Heads)
	}
	out := []Match{base.row(Match{Model: model, Direction: c.Direction, Set: "none"}, chosen, base)}
	done, total := 1, 1+len(c.Shifts)*(1+len(sets))
	for _, shift := range c.Shifts {
		for draw, set := range append([][]Head{chosen}, sets...) {
			name := "control"
			if draw == 0 {
				name = "chosen"
			}
			got, err := c.measure(ctx, b, c.plan(set, shift, kept))
			if err != nil {
				return nil, err
			}
			out = append(out, got.row(Match{Model: model, Direction: c.Direction, Set: name, Draw: draw, Shift: shift}, set, base))
			if done++; progress != nil {
				progress(done, total)
			}
		}
	}
	return table.Of(out), nil
}

// seen is one run.
type seen struct {
	inside, far, insideHits, farHits tally
	byQuarter                        []tally // octaves beyond T, in quarters
	T                                int
	logAlpha                         [][]float64 // Σ over T tokens of the window, [layer][head]
	growth                           [][]float64
}

func (c Matched) measure(ctx context.Context, b *Bench, plan Plan) (*seen, error) {
	length := c.Times * c.TrainLength
	rows, counts := c.read()
	a, err := b.apply(Method{Name: c.Direction, Plan: plan})
	if err != nil {
		return nil, err
	}
	s := &seen{inside: newTally(len(rows)), far: newTally(len(rows)), insideHits: newTally(len(rows)), farHits: newTally(len(rows)), T: c.TrainLength}
	for range int(4*math.Log2(float64(c.Times))) + 1 {
		s.byQuarter = append(s.byQuarter, newTally(len(rows)))
	}
	layers := b.Model.Layers()
	heads, _, _ := lm.Matrices(b.Model)
	within, beyond := make([]float64, layers*heads), make([]float64, layers*heads)
	sums := make([]float64, layers*heads)
	err = a.run(ctx, rows, nil, lm.Request{Loss: true, Correct: true, Probes: []string{"squares", "log_alpha"}}, func(p lm.Piece) error {
		squares, err := lm.Float64s(p.Probes["squares"])
		if err != nil {
			return err
		}
		logAlpha, err := lm.Float64s(p.Probes["log_alpha"])
		if err != nil {
			return err
		}
		for t := range p.Tokens {
			at := p.Start + t
			for i := range rows {
				for h := range within {
					k := ((h/heads*len(rows)+i)*p.Padded+t)*heads + h%heads
					if at < c.TrainLength {
						within[h] = max(within[h], squares[k])
						sums[h] += logAlpha[k] / float64(len(rows))
					} else {
						beyond[h] = max(beyond[h], squares[k])
					}
				}
				if at+1 < length && counts(i, at+1) {
					s.add(i, at, length, float64(p.Loss[i*p.Tokens+t]), float64(p.Correct[i*p.Tokens+t]))
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Direction, err)
	}
	for l := range layers {
		s.logAlpha = append(s.logAlpha, sums[l*heads:][:heads])
		var g []float64
		for h := range heads {
			g = append(g, math.Sqrt(beyond[l*heads+h]/within[l*heads+h]))
		}
		s.growth = append(s.growth, g)
	}
	return s, nil
}

func (s *seen) add(sequence, at, length int, loss, hit float64) {
	switch {
	case at >= s.T/2 && at < s.T:
		s.inside.add(sequence, loss)
		s.insideHits.add(sequence, hit)
	case at >= length/2:
		s.far.add(sequence, loss)
		s.farHits.add(sequence, hit)
	}
	if at >= s.T {
		q := min(int(4*math.Log2(float64(at)/float64(s.T))), len(s.byQuarter)-1)
		s.byQuarter[q].add(sequence, loss)
	}
}

// onset is the first position from which on all quarters lie a tenth of a nat above the level within.
func (s *seen) onset() float64 {
	level, at := s.inside.mean()+0.1, math.NaN()
	for q := len(s.byQuarter) - 1; q >= 0; q-- {
		m := s.byQuarter[q].mean()
		if math.IsNaN(m) {
			continue
		}
		if m <= level {
			break
		}
		at = float64(s.T) * math.Pow(2, float64(q)/4)
	}
	return at
}

// excess with its 95 % bootstrap interval over sequences.
func (s *seen) excess() (mean, low, high float64) {
	r := rand.New(rand.NewPCG(0x5eed, uint64(len(s.far.sum))))
	draws := make([]float64, 1000)
	for i := range draws {
		var fs, fn, is, in float64
		for range s.far.sum {
			j := r.IntN(len(s.far.sum))
			fs, fn, is, in = fs+s.far.sum[j], fn+s.far.count[j], is+s.inside.sum[j], in+s.inside.count[j]
		}
		draws[i] = fs/fn - is/in
	}
	low, high = interval.Percentiles(draws)
	return s.far.mean() - s.inside.mean(), low, high
}

// row completes a row with what was measured under the change of its heads.
func (s *seen) row(m Match, heads []Head, base *seen) Match {
	m.Heads = headNames(heads)
	for _, h := range heads {
		m.Achieved += (s.logAlpha[h.Layer][h.Head] - base.logAlpha[h.Layer][h.Head]) / float64(len(heads))
		m.Growth = max(m.Growth, s.growth[h.Layer][h.Head])
	}
	m.Inside, m.Far = s.inside.mean(), s.far.mean()
	m.Excess, m.ExcessLow, m.ExcessHigh = s.excess()
	m.RecallInside, m.RecallFar, m.Onset = s.insideHits.mean(), s.farHits.mean(), s.onset()
	return m
}
