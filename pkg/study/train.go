package study

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"stuffed/pkg/manifest"
	"stuffed/pkg/table"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// Trainer is the Runner that trains a row's members in one graph and measures them far beyond the training length.
//
// Its tables have the columns replica (number of the member), policy, lr and seed first. training: tokens (that the member has read), loss (nats
// per token, mean over a fiftieth of the run). loss: tokens, then those of eval.Recalled.ByPosition (on text: loss of all
// tokens). age: those of ByAge, at the end. state: position, layer, head, norm, variance, absmax, means over sequences.
// heads: layer, head, retention_window, retention_512, ratio, onset. outcome: see [Outcomes].
type Trainer struct{ Device *xla.Device }

// About is the manifest of a row: its configuration as the options, the program and the device.
func (t *Trainer) About(row Row) (any, error) {
	m, err := manifest.New(row.Config, row.Config.Train.Seeds...)
	if err != nil {
		return nil, err
	}
	m.Config = row.Hash
	return m.Device(t.Device), nil
}

const trainingPoints = 50

// Run trains and measures one row.
func (t *Trainer) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	defer runtime.GC() // device memory of the row goes with its tensors
	c := row.Config
	if c.Train.Data.Kind == "task" {
		return t.runTasks(ctx, row, dir, report)
	}
	trainer, err := train.Open(t.Device, c.Train)
	if err != nil {
		return nil, err
	}
	defer trainer.Data.Close()
	m := newMeasure(t.Device, c, trainer)
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	curve := newCurve(c)
	shares := c.Evaluate.Shares
	trainer.Notify = func(s train.Status) {
		curve.add(s)
		report(Progress{Done: s.Tokens, Total: c.Trained() + c.Evaluated(), Unit: "tokens"})
		for len(shares) > 0 && s.Step < s.Steps && float64(s.Step) >= shares[0]*float64(s.Steps) {
			if err := m.losses(inner, trainer); err != nil {
				stop(fmt.Errorf("after step %d: %w", s.Step, err))
			}
			shares = shares[1:]
		}
	}
	if err := trainer.Run(inner); err != nil {
		if ctx.Err() == nil && inner.Err() != nil {
			err = context.Cause(inner)
		}
		return nil, err
	}
	if err := m.losses(inner, trainer); err != nil {
		return nil, err
	}
	if err := m.states(inner, trainer); err != nil {
		return nil, err
	}
	if err := m.prompted(inner, trainer); err != nil {
		return nil, fmt.Errorf("prompts: %w", err)
	}
	for i, r := range c.Train.Members() {
		if !c.keeps(r) {
			continue
		}
		if err := train.Export(filepath.Join(dir, "models", memberName(r)), trainer.Model, trainer.Weights(), i, trainer.Config, trainer.Steps()); err != nil {
			return nil, err
		}
	}
	return m.tables(curve.table(c))
}

// curve is the training loss of every member, thinned by averaging.
type curve struct {
	every, next int64
	sums        []float64
	n           float64
	tokens      []int64
	losses      [][]float64
}

func newCurve(c Config) *curve {
	every := max(c.Train.Steps/trainingPoints, 1)
	return &curve{every: every, next: every, sums: make([]float64, len(c.Train.Members()))}
}

func (k *curve) add(s train.Status) {
	for i, v := range s.Loss {
		k.sums[i] += v
	}
	k.n++
	if s.Step < k.next && s.Step < s.Steps {
		return
	}
	k.next = s.Step + k.every
	mean := make([]float64, len(k.sums))
	for i := range mean {
		mean[i], k.sums[i] = k.sums[i]/k.n, 0
	}
	k.tokens, k.losses, k.n = append(k.tokens, s.Tokens/int64(len(mean))), append(k.losses, mean), 0
}

func (k *curve) table(c Config) *table.Table {
	var member, tokens []int64
	var loss []float64
	for i := range k.sums {
		for p, t := range k.tokens {
			member, tokens, loss = append(member, int64(i)), append(tokens, t), append(loss, k.losses[p][i])
		}
	}
	return identified(c, table.New().AddInt("replica", member).AddInt("tokens", tokens).AddFloat("loss", loss))
}

// identified puts policy, lr and seed behind the column replica, which is the first.
func identified(c Config, t *table.Table) *table.Table {
	members := c.Train.Members()
	var policy []string
	var lr []float64
	var seed []int64
	for _, i := range t.Columns[0].Ints {
		policy, lr, seed = append(policy, members[i].Policy), append(lr, members[i].LR), append(seed, members[i].Seed)
	}
	out := table.New().AddInt("replica", t.Columns[0].Ints).AddText("policy", policy).AddFloat("lr", lr).AddInt("seed", seed)
	out.Columns = append(out.Columns, t.Columns[1:]...)
	return out
}
