package intervene

import (
	"context"
	"fmt"
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

	Progress func(done, total int64) // rows, or nil
}

// EqualRow is what one model loses with one memory.
type EqualRow struct {
	Model      string  `parquet:"model" doc:"name of the model"`
	Memory     string  `parquet:"memory" doc:"own (a recurrent model as it is), window or whole (the transformer's cache)"`
	Like       string  `parquet:"like" doc:"the recurrent model whose memory the window has"`
	Window     int     `parquet:"window" doc:"tokens that each layer sees; 0: all"`
	Numbers    int     `parquet:"numbers" doc:"numbers held at the end of a sequence"`
	Bytes      int     `parquet:"bytes" doc:"the same in bytes"`
	Inside     float64 `parquet:"inside" doc:"loss at tokens ½T … T, nats per token"`
	InsideLow  float64 `parquet:"inside_low" doc:"lower end of its 95 % bootstrap interval over documents"`
	InsideHigh float64 `parquet:"inside_high" doc:"upper end"`
	Far        float64 `parquet:"far" doc:"loss over the second half of the documents, nats per token"`
	FarLow     float64 `parquet:"far_low" doc:"lower end of its 95 % bootstrap interval over documents"`
	FarHigh    float64 `parquet:"far_high" doc:"upper end"`
}

// Run makes a table of EqualRow: each recurrent model as it is, followed by the transformer with a window of the same memory; at the
// end the transformer with its whole cache.
func (e Equal) Run(ctx context.Context, recurrent []Named, transformer Named) (*table.Table, error) {
	var rows []EqualRow
	err := e.Each(ctx, recurrent, transformer, nil, func(one EqualRow) error {
		rows = append(rows, one)
		return nil
	})
	return table.Of(rows), err
}

// Each is like Run, but hands out the rows that are not done one by one. Progress, if not nil, counts rows.
func (e Equal) Each(ctx context.Context, recurrent []Named, transformer Named, done []EqualRow, put func(EqualRow) error) error {
	each := transformer.Model.Configuration().Sizes()
	if each.Recurrent > 0 || each.Carried < 1 {
		return fmt.Errorf("%s: it carries %d recurrent numbers; want a transformer, whose cache holds tokens", transformer.Name, each.Recurrent)
	}
	if len(e.Probes) < 2 || e.Inside < 4 || e.Bytes < 1 {
		return fmt.Errorf("equal memory: %d sequences, T %d, %d bytes a number; want 2 or more, 4 or more, 1 or more", len(e.Probes), e.Inside, e.Bytes)
	}
	type job struct {
		Named
		row    EqualRow
		method Method
	}
	var jobs []job
	length := len(e.Probes[0].IDs)
	for _, m := range recurrent {
		numbers := m.Model.Configuration().Sizes().Carried
		window := max(1, min(numbers/each.Carried, length))
		jobs = append(jobs, job{m, EqualRow{Memory: "own", Like: m.Name, Numbers: numbers}, Method{}},
			job{transformer, EqualRow{Memory: "window", Like: m.Name, Numbers: window * each.Carried}, Method{Window: window}})
	}
	jobs = append(jobs, job{transformer, EqualRow{Memory: "whole", Numbers: length * each.Carried}, Method{}})
	for i, j := range jobs {
		if !slices.ContainsFunc(done, func(d EqualRow) bool { return d.Memory == j.row.Memory && d.Like == j.row.Like }) {
			j.row.Model, j.row.Window, j.row.Bytes = j.Name, j.method.Window, j.row.Numbers*e.Bytes
			one, err := e.measure(ctx, j.Named, j.row, j.method)
			if err != nil {
				return fmt.Errorf("%s: %w", j.Name, err)
			}
			if err := put(one); err != nil {
				return err
			}
		}
		if e.Progress != nil {
			e.Progress(int64(i+1), int64(len(jobs)))
		}
	}
	return nil
}

// measure fills in the losses of a row.
func (e Equal) measure(ctx context.Context, m Named, one EqualRow, method Method) (EqualRow, error) {
	r, controls, err := m.Apply(method)
	if err != nil {
		return one, err
	}
	t, err := eval.Loss{Controls: controls}.Table(ctx, r, e.Probes)
	if err != nil {
		return one, err
	}
	names, position, loss, _, err := eval.LossColumns(t)
	if err != nil {
		return one, err
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
	one.Inside, one.Far = inside.mean(), far.mean()
	one.InsideLow, one.InsideHigh = inside.interval()
	one.FarLow, one.FarHigh = far.interval()
	return one, nil
}
