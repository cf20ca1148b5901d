package intervene

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"stuffed/datasets"
	"stuffed/pkg/eval"
	"stuffed/pkg/interval"
	"stuffed/pkg/lm"
	"stuffed/pkg/trace"
)

// Suite is what a method is judged by, on a recall stream: loss and recall at values of repeated pairs in the half window
// of T/2 tokens before each multiple of the training length T, recall of pairs inside and outside the window of T tokens
// on a stream whose pairs are up to 2 T tokens old, and speed.
type Suite struct {
	Stream      datasets.RecallStream `json:"stream"`
	TrainLength int                   `json:"train_length"`
	Multiples   []int                 `json:"multiples"` // ascending
	Sequences   int                   `json:"sequences"`
	Split       string                `json:"split"`          // "calibration", "selection" or "test"
	Wide        bool                  `json:"wide"`           // also recall inside and outside the window
	Text        *Text                 `json:"text,omitempty"` // of one's own, read instead of the stream
}

// Splits are disjoint ranges of held-out sequences.
var splits = map[string]int64{"test": eval.HeldOut, "selection": eval.HeldOut + 1<<30, "calibration": eval.HeldOut + 1<<31}

// Validate names the field that is out of range.
func (s Suite) Validate(vocab int) error {
	if s.Text == nil {
		if err := s.Stream.Validate(); err != nil {
			return err
		}
		if s.Stream.Vocab() > vocab {
			return fmt.Errorf("the stream has %d tokens, the model's vocabulary only %d: give the model's own keys and values, or a text", s.Stream.Vocab(), vocab)
		}
	}
	if s.TrainLength < 4 || s.TrainLength > 1<<24 {
		return fmt.Errorf("train_length is %d, want 4 … %d", s.TrainLength, 1<<24)
	}
	if s.Sequences < 1 {
		return fmt.Errorf("sequences is %d, want 1 or more", s.Sequences)
	}
	if len(s.Multiples) == 0 || !slices.IsSorted(s.Multiples) || s.Multiples[0] < 1 {
		return fmt.Errorf("multiples are %v, want ascending numbers from 1", s.Multiples)
	}
	if _, known := splits[s.Split]; !known {
		return fmt.Errorf("split %q: choose calibration, selection or test", s.Split)
	}
	if s.Text != nil {
		return s.Text.validate(s, vocab)
	}
	return nil
}

// rows are the sequences, with where values are repeated and how many pairs old these are.
func (s Suite) rows(length int) (rows [][]int32, repeat [][]bool, age [][]int32) {
	if s.Text != nil {
		return s.Text.rows(s, length)
	}
	for i := range s.Sequences {
		r, again, a := s.Stream.Sequence(splits[s.Split]+int64(i), length)
		rows, repeat, age = append(rows, r), append(repeat, again), append(age, a)
	}
	return rows, repeat, age
}

// Rows are sequences of the split.
func (s Suite) Rows(length int) [][]int32 {
	rows, _, _ := s.rows(length)
	return rows
}

// Score is the outcome at one multiple of the training length; Low and High are a 95 % bootstrap interval of the loss over
// sequences.
type Score struct {
	Multiple                    int
	Loss, LossLow, LossHigh     float64 // nats
	Recall                      float64 // share of values that were the most likely token
	Norm                        float64 // largest ratio over heads of the state's norm, mean over the half window, to its in-window maximum; NaN where tokens are dropped
	Retention                   float64 // largest over heads: exp(T · mean log α)
	RecallInside, RecallOutside float64 // beyond T_train, of pairs at most and more than T tokens old; NaN without Wide
	TokensPerSecond             float64 // of reading, without the first piece, which compiles
	losses, correct             tally
}

// tally is a sum and count per sequence.
type tally struct{ sum, count []float64 }

func newTally(n int) tally { return tally{make([]float64, n), make([]float64, n)} }

func (t tally) add(i int, v float64) {
	if math.IsNaN(v) {
		v = math.Inf(1)
	}
	t.sum[i] += v
	t.count[i]++
}

func (t tally) mean() float64 {
	sum, n := 0.0, 0.0
	for i := range t.sum {
		sum, n = sum+t.sum[i], n+t.count[i]
	}
	return sum / n
}

// interval is a 95 % bootstrap interval over sequences.
func (t tally) interval() (low, high float64) {
	if len(t.sum) < 2 {
		return math.NaN(), math.NaN()
	}
	r := rand.New(rand.NewPCG(0x5eed, uint64(len(t.sum))))
	means := make([]float64, 1000)
	for i := range means {
		sum, n := 0.0, 0.0
		for range t.sum {
			j := r.IntN(len(t.sum))
			sum, n = sum+t.sum[j], n+t.count[j]
		}
		means[i] = sum / n
	}
	return interval.Percentiles(means)
}

// Run scores a method.
func (s Suite) Run(ctx context.Context, b *Bench, method Method) ([]Score, error) {
	if err := s.Validate(b.Model.Vocab()); err != nil {
		return nil, err
	}
	scores := make([]Score, len(s.Multiples))
	for i, k := range s.Multiples {
		nan := math.NaN()
		scores[i] = Score{Multiple: k, Norm: nan, Retention: nan, RecallInside: nan, RecallOutside: nan,
			losses: newTally(s.Sequences), correct: newTally(s.Sequences)}
	}
	a, err := b.apply(method)
	if err == nil && method.Decimation != nil {
		err = s.decimated(ctx, a, scores)
	} else if err == nil {
		steps := []func(context.Context, *applied, []Score) error{s.losses}
		if s.Split == "test" {
			steps = append(steps, s.states)
		}
		if s.Wide {
			steps = append(steps, s.wide)
		}
		for _, step := range steps {
			if err == nil {
				err = step(ctx, a, scores)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", method.Name, err)
	}
	for i := range scores {
		c := &scores[i]
		c.Loss, c.Recall = c.losses.mean(), c.correct.mean()
		c.LossLow, c.LossHigh = c.losses.interval()
	}
	return scores, nil
}

// window is the index of the multiple whose half window holds a position, −1 for none.
func (s Suite) window(position int) int {
	for i, k := range s.Multiples {
		if end := k * s.TrainLength; position >= end-s.TrainLength/2 && position < end {
			return i
		}
	}
	return -1
}

func (s Suite) length() int { return s.TrainLength * s.Multiples[len(s.Multiples)-1] }

// losses reads the sequences from end to end, or each multiple for itself where the method depends on the length.
func (s Suite) losses(ctx context.Context, a *applied, scores []Score) error {
	rows, repeat, _ := s.rows(s.length())
	if len(a.lengths) == 0 {
		return s.read(ctx, a, rows, repeat, scores, -1)
	}
	for i, k := range s.Multiples {
		short := make([][]int32, len(rows))
		for b := range rows {
			short[b] = rows[b][:k*s.TrainLength]
		}
		if err := s.read(ctx, a, short, repeat, scores, i); err != nil {
			return err
		}
	}
	return nil
}

// read scores the half windows of all multiples (only −1) or of one.
func (s Suite) read(ctx context.Context, a *applied, rows [][]int32, repeat [][]bool, scores []Score, only int) error {
	begun, read := time.Time{}, 0
	err := a.run(ctx, rows, nil, lm.Request{Loss: true, Correct: true}, func(p lm.Piece) error {
		if begun.IsZero() { // the first piece compiles
			begun = time.Now()
		} else {
			read += len(rows) * p.Tokens
		}
		for t := range p.Tokens {
			at := p.Start + t
			which := s.window(at)
			if which < 0 || only >= 0 && which != only {
				continue
			}
			for b := range rows {
				if at+1 < len(rows[b]) && repeat[b][at+1] {
					scores[which].losses.add(b, float64(p.Loss[b*p.Tokens+t]))
					scores[which].correct.add(b, float64(p.Correct[b*p.Tokens+t]))
				}
			}
		}
		return nil
	})
	for i := range scores {
		if only >= 0 && i != only {
			continue
		}
		scores[i].TokensPerSecond = math.NaN()
		if read > 0 {
			scores[i].TokensPerSecond = float64(read) / time.Since(begun).Seconds()
		}
	}
	return err
}

// states reads a few of them for the norms and gates of the heads.
func (s Suite) states(ctx context.Context, a *applied, scores []Score) error {
	s.Sequences = min(s.Sequences, 4)
	rows := s.Rows(s.length())
	perLayer := heads(a.model)
	all := a.model.Layers() * perLayer
	inWindow := make([]float64, all)
	norms, gates, counted := make([][]float64, len(scores)), make([][]float64, len(scores)), make([]float64, len(scores))
	for i := range scores {
		norms[i], gates[i] = make([]float64, all), make([]float64, all)
	}
	shown := map[string][]float64{}
	var probes []string
	for _, name := range []string{lm.Squares, lm.LogAlpha} {
		if lm.HasProbe(a.model, name) {
			probes = append(probes, name)
		}
	}
	if len(probes) < 2 { // no state that is held, or nothing that it loses
		return nil
	}
	err := a.run(ctx, rows, nil, lm.Request{Probes: probes}, func(p lm.Piece) error {
		for _, name := range probes {
			var err error
			if shown[name], _, err = trace.PerHead(a.model, name, p); err != nil {
				return err
			}
		}
		squares, logAlpha := shown[lm.Squares], shown[lm.LogAlpha]
		for t := range p.Tokens {
			which := s.window(p.Start + t)
			for b := range rows {
				for h := range all {
					layer, head := h/perLayer, h%perLayer
					at := ((layer*len(rows)+b)*p.Padded+t)*perLayer + head
					n := math.Sqrt(squares[at])
					if p.Start+t < s.TrainLength {
						inWindow[h] = max(inWindow[h], n)
					}
					if which >= 0 {
						norms[which][h] += n
						gates[which][h] += logAlpha[at]
					}
				}
				if which >= 0 {
					counted[which]++
				}
			}
		}
		return nil
	})
	for i := range scores {
		scores[i].Norm, scores[i].Retention = 0, 0
		for h := range all {
			if inWindow[h] > 0 { // a head that writes nothing inside T has no ratio
				scores[i].Norm = max(scores[i].Norm, norms[i][h]/counted[i]/inWindow[h])
			}
			scores[i].Retention = max(scores[i].Retention, math.Exp(gates[i][h]/counted[i]*float64(s.TrainLength)))
		}
	}
	return err
}

// decimated reads each context with tokens dropped and the half window after it without.
func (s Suite) decimated(ctx context.Context, a *applied, scores []Score) error {
	for i, k := range s.Multiples {
		rows, repeat, _ := s.rows(k*s.TrainLength + 1)
		length := k*s.TrainLength - s.TrainLength/2
		before, after := make([][]int32, len(rows)), make([][]int32, len(rows))
		for b := range rows {
			before[b], after[b] = rows[b][:length], rows[b][length:]
		}
		state, err := a.prefill(ctx, before)
		if err != nil {
			return err
		}
		begun := time.Now() // again, now that it is compiled
		if _, err = a.prefill(ctx, before); err != nil {
			return err
		}
		scores[i].TokensPerSecond = float64(len(rows)*length) / time.Since(begun).Seconds()
		_, err = a.plain.Run(ctx, after, state, lm.Request{Loss: true, Correct: true, Offset: length}, func(p lm.Piece) error {
			for b := range rows {
				for t := range p.Tokens {
					if at := length + p.Start + t; at < k*s.TrainLength && repeat[b][at+1] {
						scores[i].losses.add(b, float64(p.Loss[b*p.Tokens+t]))
						scores[i].correct.add(b, float64(p.Correct[b*p.Tokens+t]))
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// wide measures recall by age beyond T, where pairs repeat up to 2 T tokens later.
func (s Suite) wide(ctx context.Context, a *applied, scores []Score) error {
	s.Stream.Gap = s.TrainLength
	rows, repeat, age := s.rows(max(4*s.TrainLength, a.runner.Piece))
	inside, outside := newTally(s.Sequences), newTally(s.Sequences)
	err := a.run(ctx, rows, nil, lm.Request{Loss: true, Correct: true}, func(p lm.Piece) error {
		for b := range rows {
			for t := range p.Tokens {
				at := p.Start + t
				if at < s.TrainLength || at+1 >= len(rows[b]) || !repeat[b][at+1] {
					continue
				}
				to := inside
				if 2*int(age[b][at+1]) > s.TrainLength {
					to = outside
				}
				to.add(b, float64(p.Correct[b*p.Tokens+t]))
			}
		}
		return nil
	})
	for i := range scores {
		scores[i].RecallInside, scores[i].RecallOutside = inside.mean(), outside.mean()
	}
	return err
}
