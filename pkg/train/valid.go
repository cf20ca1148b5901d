package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
)

// Buckets are the first positions of ranges of inputs that a validation reports: quarters of the training length, then
// half octaves, up to length.
func Buckets(trainLength, length int) (starts []int) {
	for i := range 4 {
		if s := i * trainLength / 4; s < length && (i == 0 || s > starts[len(starts)-1]) {
			starts = append(starts, s)
		}
	}
	for i := 0; ; i++ {
		s := int(math.Round(float64(trainLength) * math.Pow(2, float64(i)/2)))
		if s >= length {
			return
		}
		if s > starts[len(starts)-1] {
			starts = append(starts, s)
		}
	}
}

// validate measures the loss by position of all members on held-out sequences of the configured length.
func (t *Trainer) validate(ctx context.Context, log *log) error {
	if d, ok := t.Data.(*taskData); ok {
		return t.validateTasks(ctx, log, d)
	}
	length := t.Config.Valid.Length
	T := t.Config.stages()[len(t.Config.stages())-1].TrainLength
	if length == 0 {
		length = 8 * T
	}
	tokens, scored, err := t.Data.Held(t.Config.Valid.Sequences, length+1)
	if err != nil {
		return err
	}
	loss, err := t.HeldLoss(ctx, tokens)
	if err != nil {
		return fmt.Errorf("validation after step %d: %w", t.step, err)
	}
	starts := Buckets(T, length)
	for r, member := range t.program.members {
		total, hard := 0.0, 0.0
		for i, start := range starts {
			end := length
			if i+1 < len(starts) {
				end = starts[i+1]
			}
			sum, part, parts := 0.0, 0.0, 0
			for q := range tokens {
				row := loss[r*len(tokens)+q]
				for at := start; at < end; at++ {
					sum += float64(row[at])
					if scored != nil && scored[q][at+1] {
						part, parts = part+float64(row[at]), parts+1
					}
				}
			}
			v := validRow{Step: t.step, Member: r, Policy: member.Policy, LR: member.LR, Seed: member.Seed, Position: start,
				Tokens: end - start, Loss: finite(sum / float64((end-start)*len(tokens)))}
			if parts > 0 {
				v.Scored = finite(part / float64(parts))
				hard = part / float64(parts)
			}
			total += sum
			if err := log.valid.write(v); err != nil {
				return err
			}
		}
		mean := total / float64(length*len(tokens))
		line := fmt.Sprintf("step %d, %s: validation loss %.4f", t.step, member.Name(), mean)
		if d := t.Config.Data; d.Kind == "corpus" && (d.Tokenizer == "" || d.Tokenizer == "bytes") {
			line += fmt.Sprintf(" (%.4f bits per byte)", mean/math.Ln2)
		}
		line += fmt.Sprintf(" over %d tokens of %d sequences", length, len(tokens))
		if scored != nil {
			line += fmt.Sprintf(", %.4f for repeats in the last bucket", hard)
		}
		t.say("%s", line)
	}
	return log.valid.flush()
}

// HeldLoss is −log p of every token but the first of each sequence, for all members: [members × sequences][length − 1].
// Runs start from zeros, or from the trained state under the policy learned.
func (t *Trainer) HeldLoss(ctx context.Context, tokens [][]int32) ([][]float32, error) {
	if t.runner == nil {
		t.runner = lm.NewRunner(t.Device, t.Weights())
	}
	t.runner.Weights = t.Weights()
	R := len(t.program.members)
	rows := make([][]int32, 0, R*len(tokens))
	for range R {
		rows = append(rows, tokens...)
	}
	state, err := t.learnedState(len(tokens))
	if err != nil {
		return nil, err
	}
	loss := make([][]float32, len(rows))
	_, err = t.runner.Run(ctx, rows, state, lm.Request{Loss: true}, func(p lm.Piece) error {
		for b := range loss {
			loss[b] = append(loss[b], p.Loss[b*p.Tokens:][:p.Tokens]...)
		}
		return nil
	})
	for b := range loss {
		loss[b] = loss[b][:max(0, len(loss[b])-1)]
	}
	return loss, err
}

// learnedState is the state that validation starts from: nil for zeros.
func (t *Trainer) learnedState(sequences int) (lm.State, error) {
	p := t.program
	if !p.use.learn {
		return nil, nil
	}
	R, on := len(p.members), flags(p.members, "learned")
	values := map[string][]float64{}
	for _, s := range t.Model.State(R) {
		i := slices.IndexFunc(p.specs, func(o lm.Spec) bool { return o.Name == learnedPrefix+s.Name })
		flat, err := lm.Floats(t.carry[i])
		if err != nil {
			return nil, err
		}
		rest := s.Size() / s.Dims[0] / R
		out := make([]float64, 0, s.Size()*sequences)
		for l := range s.Dims[0] {
			for r := range R {
				own := flat[(l*R+r)*rest:][:rest]
				for range sequences {
					for _, v := range own {
						out = append(out, float64(v*on[r]))
					}
				}
			}
		}
		values[s.Name] = out
	}
	return lm.StateFrom(t.Model, R*sequences, p.dtype, values)
}
