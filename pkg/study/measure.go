package study

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// heldSeed selects a recall stream that no member trains on: members' seeds are at least 0.
const heldSeed = -1

// measure collects the measurements of a row's members.
type measure struct {
	device  *xla.Device
	config  Config
	members []train.Member
	starts  []int // first positions of the buckets
	far     *lm.Runner
	near    *lm.Runner // with short pieces, for states

	controls map[string]*tensors.Tensor // for models trained with bounded states, see train.Config.Reader

	moments  []moment // the moments in the tables below
	loss     []LossRow
	age      []AgeRow
	watched  []*watched // by member
	outcomes outcomes
	prompts  Tables // see prompted
}

func newMeasure(d *xla.Device, c Config, t *train.Trainer) *measure {
	m := &measure{device: d, config: c, members: c.Train.Members(),
		starts: train.Buckets(c.Train.TrainLength, c.Length()-1), far: lm.NewRunner(d, t.Weights()), near: lm.NewRunner(d, t.Weights())}
	m.near.Piece = pieceOf(c.Train.TrainLength)
	return m
}

// pieceOf is the sampling interval of states: about a quarter of the training length, a power of two from 16 to 512 tokens.
func pieceOf(trainLength int) int {
	piece := 16
	for 2*piece <= trainLength/4 && piece < 512 {
		piece *= 2
	}
	return piece
}

// reads gives a runner the current weights and the reader settings of training.
func (m *measure) reads(r *lm.Runner, t *train.Trainer) (err error) {
	r.Weights, m.controls, err = m.config.Train.Reader(t.Weights())
	return err
}

// losses measures the loss of all members by position.
func (m *measure) losses(ctx context.Context, t *train.Trainer) error {
	if err := m.reads(m.far, t); err != nil {
		return err
	}
	tokens := t.Steps() * int64(m.config.Train.BatchTokens)
	byPosition, byAge, err := m.score(ctx, t)
	if err != nil {
		return err
	}
	return m.record(moment{tokens, byPosition, byAge})
}

// moment holds the measurements after a number of training tokens per member.
type moment struct {
	Tokens            int64
	ByPosition, ByAge *table.Table
}

// record adds a moment to the tables.
func (m *measure) record(one moment) error {
	m.moments = append(m.moments, one)
	buckets, err := table.Rows[eval.RecallRow](one.ByPosition)
	if err != nil {
		return err
	}
	for _, b := range buckets {
		m.loss = append(m.loss, LossRow{memberOf(b.Member, m.members[b.Member]), one.Tokens, b.RecallBucket})
	}
	if one.ByAge != nil {
		ages, err := table.Rows[eval.AgeRow](one.ByAge)
		if err != nil {
			return err
		}
		m.age = nil
		for _, a := range ages {
			m.age = append(m.age, AgeRow{memberOf(a.Member, m.members[a.Member]), a.AgeBucket})
		}
	}
	m.outcomes.add(m.config, one.Tokens, buckets)
	return nil
}

// finish takes the final measurements of the trained members.
func (m *measure) finish(ctx context.Context, t *train.Trainer) error {
	if err := m.losses(ctx, t); err != nil {
		return err
	}
	if err := m.states(ctx, t); err != nil {
		return err
	}
	if err := m.prompted(ctx, t); err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	return nil
}

func (m *measure) score(ctx context.Context, t *train.Trainer) (byPosition, byAge *table.Table, err error) {
	c := m.config
	if c.Train.Data.Kind != "recall" {
		byPosition, err = m.textLoss(ctx, t)
		return byPosition, nil, err
	}
	out, err := eval.Recall{Stream: m.stream(), Sequences: c.Evaluate.Sequences, Length: c.Length(), TrainLength: c.Train.TrainLength, Edges: m.starts, Controls: m.controls}.Run(ctx, m.far)
	if err != nil {
		return nil, nil, err
	}
	return out.ByPosition, out.ByAge, nil
}

func (m *measure) stream() datasets.RecallStream {
	d := m.config.Train.Data
	return datasets.RecallStream{Keys: d.Keys, Values: d.Values, Gap: d.Gap, Seed: heldSeed}
}

// textLoss returns the columns of eval.Recalled.ByPosition; on text every token counts.
func (m *measure) textLoss(ctx context.Context, t *train.Trainer) (*table.Table, error) {
	tokens, _, err := t.Data.Held(m.config.Evaluate.Sequences, m.config.Length())
	if err != nil {
		return nil, err
	}
	R, S, B := len(m.members), len(tokens), len(m.starts)
	sums, hits, counts := make([]float64, R*B), make([]float64, R*B), make([]float64, R*B)
	_, err = m.far.Run(ctx, forAll(R, tokens), nil, lm.Request{Loss: true, Correct: true, Controls: m.controls}, func(p lm.Piece) error {
		for row := range R * S {
			for i := range p.Tokens {
				if at := p.Start + i; at < m.config.Length()-1 {
					k := row/S*B + m.bucket(at)
					sums[k] += float64(p.Loss[row*p.Tokens+i])
					hits[k] += float64(p.Correct[row*p.Tokens+i])
					counts[k]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	none := math.NaN()
	var rows []eval.RecallRow
	for k := range sums {
		b, loss := k%B, sums[k]/counts[k]
		rows = append(rows, eval.RecallRow{Member: k / B, RecallBucket: eval.RecallBucket{Position: m.starts[b], End: m.end(b), Loss: loss, LossLow: none, LossHigh: none,
			Accuracy: hits[k] / counts[k], AccuracyLow: none, AccuracyHigh: none, Repeats: int64(counts[k]), LossAll: loss}})
	}
	return table.Of(rows), nil
}

func (m *measure) bucket(at int) int {
	i, found := slices.BinarySearch(m.starts, at)
	if !found {
		i--
	}
	return i
}

func (m *measure) end(bucket int) int {
	if bucket+1 < len(m.starts) {
		return m.starts[bucket+1]
	}
	return m.config.Length()
}

// forAll repeats the sequences for each member.
func forAll(members int, tokens [][]int32) (rows [][]int32) {
	for range members {
		rows = append(rows, tokens...)
	}
	return rows
}

// watched holds one member's recorded states and losses by sequence.
type watched struct {
	states                         []watchedState
	losses                         []watchedLoss
	logAlphaWindow, logAlphaBeyond []float64 // [layers × heads]: sums over tokens, means over sequences
}

// watchedState is the state of one head after a piece.
type watchedState struct {
	Prompt   int     `parquet:"prompt" doc:"number of the sequence"`
	Position int     `parquet:"position" doc:"token after which it is the state"`
	Layer    int     `parquet:"layer" doc:"layer, from 0"`
	Head     int     `parquet:"head" doc:"head, from 0"`
	Norm     float64 `parquet:"norm" doc:"Frobenius norm"`
	Variance float64 `parquet:"variance" doc:"variance of its entries"`
	AbsMax   float64 `parquet:"absmax" doc:"largest magnitude of an entry"`
}

// watchedLoss is the mean loss of a piece.
type watchedLoss struct {
	Prompt   int     `parquet:"prompt" doc:"number of the sequence"`
	Position int     `parquet:"position" doc:"first token of the piece"`
	Loss     float64 `parquet:"loss" doc:"nats"`
}

// states reads a few sequences once more and records every head's state along the way.
func (m *measure) states(ctx context.Context, t *train.Trainer) error {
	c, S := m.config, m.config.Evaluate.Traced
	var tokens [][]int32
	var scored [][]bool
	if c.Train.Data.Kind == "recall" {
		for i := range S {
			row, again, _ := m.stream().Sequence(eval.HeldOut+int64(i), c.Length())
			tokens, scored = append(tokens, row), append(scored, again)
		}
	} else {
		var err error
		if tokens, _, err = t.Data.Held(S, c.Watched()); err != nil {
			return err
		}
	}
	err := m.reads(m.near, t)
	if err != nil {
		return err
	}
	m.watched, err = m.watch(ctx, tokens, scored)
	return err
}

// watch reads sequences of equal length with all members. For a model without a recurrent state it records only losses.
func (m *measure) watch(ctx context.Context, tokens [][]int32, scored [][]bool) ([]*watched, error) {
	S, R, length := len(tokens), len(m.members), len(tokens[0])
	sizes := m.config.Train.Model.Sizes()
	size := sizes.Layers * sizes.Heads
	all := make([]*watched, R)
	for r := range all {
		all[r] = &watched{logAlphaWindow: make([]float64, size), logAlphaBeyond: make([]float64, size)}
	}
	at := m.looks(length)
	_, err := m.near.Run(ctx, forAll(R, tokens), nil, lm.Request{Loss: true, Probes: m.probes(), Controls: m.controls}, func(p lm.Piece) error {
		end := p.Start + p.Tokens
		if m.recurrent() && slices.Contains(at, end) {
			if err := m.look(all, p, S, end-1); err != nil {
				return err
			}
		}
		pieceLosses(all, p, S, length, scored)
		return m.decay(all, p, S)
	})
	if err != nil {
		return nil, fmt.Errorf("states: %w", err)
	}
	return all, nil
}

// looks returns the ends of the pieces at which states are read: every piece within the training length, then eight per octave.
func (m *measure) looks(length int) (at []int) {
	piece, T := m.near.Piece, m.config.Train.TrainLength
	for p := piece; p <= T; p += piece {
		at = append(at, p)
	}
	for k := 1; ; k++ {
		p := int(float64(T)*math.Pow(2, float64(k)/8)) / piece * piece
		if p > length {
			return at
		}
		if len(at) == 0 || p > at[len(at)-1] {
			at = append(at, p)
		}
	}
}

// recurrent reports whether the model has a recurrent state of constant size that can be recorded.
func (m *measure) recurrent() bool {
	_, err := lm.StateOf(m.near.Weights.Model, "")
	return err == nil
}

// decays returns the probes of the decay, none for a model without decay.
func (m *measure) decays() []string {
	if lm.HasProbe(m.near.Weights.Model, lm.LogAlpha) {
		return []string{lm.LogAlpha}
	}
	return nil
}

// probes returns the probes that a recorded run requests.
func (m *measure) probes() []string {
	if lm.HasProbe(m.near.Weights.Model, lm.Summary) {
		return append(m.decays(), lm.Summary)
	}
	return m.decays()
}

// held returns the recurrent state after a piece, [layers, batch, heads, entries] on the host. For a model whose state is only an
// intermediate (lm.Summarised), it is the summary instead.
func (m *measure) held(p lm.Piece) (v []float64, heads, entries int, err error) {
	if summary := p.Probes[lm.Summary]; summary != nil { // [layers, batch, tokens, channels]
		all, err := lm.Float64s(summary)
		entries = summary.Shape().Dim(-1)
		for at := p.Tokens - 1; at*entries < len(all); at += p.Padded {
			v = append(v, all[at*entries:][:entries]...)
		}
		return v, 1, entries, err
	}
	spec, err := lm.StateOf(m.near.Weights.Model, "")
	if err != nil {
		return nil, 0, 0, err
	}
	v, err = spec.OnHost(p.State[spec.Name])
	heads, values, keys := spec.Matrices()
	return v, heads, values * keys, err
}

// look computes statistics of the recurrent states of all members and sequences on the host.
func (m *measure) look(all []*watched, p lm.Piece, sequences, position int) error {
	v, heads, entries, err := m.held(p)
	if err != nil {
		return err
	}
	rows := len(m.members) * sequences
	for l := range len(v) / (rows * heads * entries) {
		for row := range rows {
			w := all[row/sequences]
			for h := range heads {
				s := trace.Summarise(v[((l*rows+row)*heads+h)*entries:][:entries])
				w.states = append(w.states, watchedState{row % sequences, position, l, h, s.Norm, s.Variance, s.AbsMax})
			}
		}
	}
	return nil
}

// pieceLosses records the mean loss of every piece and sequence, over the scored tokens if the data marks them.
func pieceLosses(all []*watched, p lm.Piece, sequences, length int, scored [][]bool) {
	for row := range len(all) * sequences {
		w, s := all[row/sequences], row%sequences
		sum, n := 0.0, 0.0
		for i := range p.Tokens {
			next := p.Start + i + 1
			if next < length && (scored == nil || scored[s][next]) {
				sum, n = sum+float64(p.Loss[row*p.Tokens+i]), n+1
			}
		}
		w.losses = append(w.losses, watchedLoss{s, p.Start, sum / n})
	}
}

// decay sums log α per head, within the training length and beyond it.
func (m *measure) decay(all []*watched, p lm.Piece, sequences int) error {
	if len(m.decays()) == 0 {
		return nil
	}
	v, heads, err := trace.PerHead(m.near.Weights.Model, lm.LogAlpha, p) // [layers, batch, padded, heads]
	if err != nil {
		return err
	}
	batch := len(m.members) * sequences
	for l := range m.near.Weights.Model.Layers() {
		for row := range batch {
			w := all[row/sequences]
			for i := range p.Tokens {
				to := w.logAlphaBeyond
				if p.Start+i < m.config.Train.TrainLength {
					to = w.logAlphaWindow
				}
				for h := range heads {
					to[l*heads+h] += v[((l*batch+row)*p.Padded+i)*heads+h] / float64(sequences)
				}
			}
		}
	}
	return nil
}
