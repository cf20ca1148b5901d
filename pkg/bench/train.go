package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// random is training data without content: uniformly random tokens.
type random struct{ vocab int }

func (r random) Batcher(_ train.Config, _, rows, length int, _ train.Member) (datasets.Batcher, error) {
	return randomRows{r.vocab, rows, length}, nil
}

func (r random) Held(sequences, length int) (tokens [][]int32, scored [][]bool, err error) {
	return nil, nil, fmt.Errorf("random tokens hold nothing out")
}
func (r random) Vocab() int       { return r.vocab }
func (r random) Describe() string { return "uniform random tokens" }
func (r random) Close() error     { return nil }

type randomRows struct{ vocab, rows, length int }

func (r randomRows) Batch(step int64) (datasets.Batch, error) {
	g := rand.New(rand.NewPCG(uint64(step), 7))
	n := r.rows * r.length
	b := datasets.Batch{B: r.rows, T: r.length, Inputs: make([]int32, n), Targets: make([]int32, n), Reset: make([]bool, r.rows)}
	for i := range n {
		b.Inputs[i] = int32(g.IntN(r.vocab))
		b.Targets[i] = int32(g.IntN(r.vocab))
	}
	return b, nil
}

func (r randomRows) Shape() (b, t int) { return r.rows, r.length }
func (r randomRows) Tokens() int64     { return 0 }
func (r randomRows) Vocab() int        { return r.vocab }

// TrainSpec is one shape of a training step.
type TrainSpec struct {
	Name                   string
	Model                  lm.Config
	Batch, Tokens, Members int // sequences per member (on each device), tokens per sequence
	Devices                int // that share the sequences of one model; 0 means one
	Compute, Save          string
	StepsPerCall, Pieces   int
	Unroll                 bool // no loop over layers
}

// Train times optimiser steps on random tokens, including data generation and copies, and the compilation. The rate counts the
// tokens of all members.
func Train(d *xla.Device, s TrainSpec, runs int) []Row {
	s, shape, note := s.described()
	compile, row := Row{Work: "compile", Shape: "train " + shape, Unit: "s", Runs: 1, Note: note}, Row{Work: "train", Shape: shape, Note: note}
	t, err := trainer(d, s)
	if err == nil {
		start := time.Now()
		err = guarded(func() error { return t.Compile(s.StepsPerCall) })
		compile = compile.once(time.Since(start).Seconds())
	}
	if err != nil {
		compile.Error, row.Error = err.Error(), err.Error()
		return []Row{compile, row}
	}
	return []Row{compile, guard(row, func() Row {
		return rates(row, runs, float64(s.tokens()), func() error { _, err := t.Step(); return err })
	})}
}

// described fills in the defaults and returns the shape and note of its rows.
func (s TrainSpec) described() (filled TrainSpec, shape, note string) {
	s.Members, s.StepsPerCall, s.Devices = max(s.Members, 1), max(s.StepsPerCall, 1), max(s.Devices, 1)
	shape = fmt.Sprintf("%s B%d T%d %s", s.Name, s.Batch, s.Tokens, s.Compute)
	if s.Members > 1 {
		shape += fmt.Sprintf(" × %d models", s.Members)
	}
	if note = fmt.Sprintf("save %s", s.Save); s.Unroll {
		note = "no loop over layers"
	}
	if s.StepsPerCall > 1 {
		note += fmt.Sprintf(", %d steps per call", s.StepsPerCall)
	}
	return s, shape, note
}

// tokens returns the tokens of one call, over all members and devices.
func (s TrainSpec) tokens() int { return s.Batch * s.Tokens * s.Members * s.StepsPerCall * s.Devices }

func trainer(d *xla.Device, s TrainSpec) (*train.Trainer, error) {
	c := train.DefaultConfig()
	c.Model, c.TrainLength, c.BatchTokens, c.Compute, c.Save = lm.Any{Config: s.Model}, s.Tokens, s.Batch*s.Tokens*s.Devices, s.Compute, s.Save
	c.Devices = s.Devices
	c.Unroll, c.StepsPerCall, c.Steps, c.LossPieces, c.Output = s.Unroll, s.StepsPerCall, 1<<20, s.Pieces, ""
	c.Policy = []string{"zero"}
	c.Seeds = nil
	seeds := make([]uint64, s.Members)
	for i := range seeds {
		c.Seeds, seeds[i] = append(c.Seeds, int64(i)), uint64(i)
	}
	m, err := s.Model.New()
	if err != nil {
		return nil, err
	}
	w, err := lm.InitialWeights(m, seeds...)
	if err != nil {
		return nil, err
	}
	return train.New(d, m, w, c, random{s.Model.Sizes().Vocab})
}
