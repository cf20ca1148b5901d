package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/table"
)

// Equal sets recurrent models beside a transformer whose cache holds as many numbers as they carry from token to token: a window of
//
//	r = ⌊numbers that the recurrent model carries / numbers that the cache holds of a token⌋
//
// tokens in each layer. Numbers have the same width in both, so that equal numbers are equal bytes.
type Equal struct {
	Probes []prompt.Probe // of one length
	Inside int            // training length T in tokens
	Bytes  int            // of a number
}

// Run returns one row for each recurrent model as it is, for the transformer with the window of the same memory, and for the transformer
// with its whole cache: model, memory (own, window or whole), like (the recurrent model whose memory the window
// has), window (tokens; 0: none), numbers and bytes (at the end of a sequence), and of the tokens T/2 … T and of those from
// the half of the sequence on inside, far and their 95 % intervals over sequences inside_low … far_high (nats a token).
func (e Equal) Run(ctx context.Context, recurrent []Named, transformer Named) (*table.Table, error) {
	each := transformer.Model.Configuration().Sizes()
	if each.Recurrent > 0 || each.Carried < 1 {
		return nil, fmt.Errorf("%s: it carries %d recurrent numbers; want a transformer, whose cache holds tokens", transformer.Name, each.Recurrent)
	}
	if len(e.Probes) < 2 || e.Inside < 4 || e.Bytes < 1 {
		return nil, fmt.Errorf("equal memory: %d sequences, T %d, %d bytes a number; want 2 or more, 4 or more, 1 or more", len(e.Probes), e.Inside, e.Bytes)
	}
	length := len(e.Probes[0].IDs)
	out := &equalRows{Equal: e}
	for _, m := range recurrent {
		numbers := m.Model.Configuration().Sizes().Carried
		if err := out.add(ctx, m, "own", m.Name, numbers, Method{}); err != nil {
			return nil, err
		}
		window := max(1, min(numbers/each.Carried, length))
		if err := out.add(ctx, transformer, "window", m.Name, window*each.Carried, Method{Window: window}); err != nil {
			return nil, err
		}
	}
	if err := out.add(ctx, transformer, "whole", "", length*each.Carried, Method{}); err != nil {
		return nil, err
	}
	return out.table(), nil
}

type equalRows struct {
	Equal
	model, memory, like   []string
	window, numbers, size []int64
	losses                [6][]float64
}

var equalLosses = []string{"inside", "inside_low", "inside_high", "far", "far_low", "far_high"}

func (e *equalRows) add(ctx context.Context, m Named, memory, like string, numbers int, method Method) error {
	r, controls, err := m.Apply(method)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	t, err := eval.Loss{Controls: controls}.Table(ctx, r, e.Probes)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	names, position, loss, _, err := eval.LossColumns(t)
	if err != nil {
		return err
	}
	of := map[string]int{}
	for i, p := range e.Probes {
		of[p.Name] = i
	}
	inside, far := newTally(len(e.Probes)), newTally(len(e.Probes))
	for i, at := range position {
		seq := of[names[i]]
		switch length := len(e.Probes[seq].IDs); {
		case int(at) >= e.Inside/2 && int(at) < e.Inside:
			inside.add(seq, loss[i])
		case int(at) >= length/2:
			far.add(seq, loss[i])
		}
	}
	e.model, e.memory, e.like = append(e.model, m.Name), append(e.memory, memory), append(e.like, like)
	e.window, e.numbers, e.size = append(e.window, int64(method.Window)), append(e.numbers, int64(numbers)), append(e.size, int64(numbers*e.Bytes))
	for k, part := range []tally{inside, far} {
		low, high := part.interval()
		for i, v := range []float64{part.mean(), low, high} {
			e.losses[3*k+i] = append(e.losses[3*k+i], v)
		}
	}
	return nil
}

func (e *equalRows) table() *table.Table {
	t := table.New().AddText("model", e.model).AddText("memory", e.memory).AddText("like", e.like).AddInt("window", e.window).
		AddInt("numbers", e.numbers).AddInt("bytes", e.size)
	for i, name := range equalLosses {
		t.AddFloat(name, e.losses[i])
	}
	return t
}

// EqualBest tells for each recurrent model of a table of Equal whether the transformer's window of the same memory has the smaller
// loss far from the start, by how many nats (above 0: the window is worse).
func EqualBest(t *table.Table) (models []string, difference []float64, err error) {
	like, err := t.Text("like")
	if err != nil {
		return nil, nil, err
	}
	memory, err := t.Text("memory")
	if err != nil {
		return nil, nil, err
	}
	far, err := t.Float("far")
	if err != nil {
		return nil, nil, err
	}
	own := map[string]float64{}
	for i, m := range memory {
		if m == "own" {
			models, own[like[i]] = append(models, like[i]), far[i]
		}
	}
	difference = slices.Repeat([]float64{math.NaN()}, len(models))
	for i, m := range memory {
		if at := slices.Index(models, like[i]); m == "window" && at >= 0 {
			difference[at] = far[i] - own[like[i]]
		}
	}
	return models, difference, nil
}
