package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stuffed/pkg/lm"
	"stuffed/pkg/train"
	"stuffed/xla"
)

// byteModels times a training step of every architecture's byte model, alternating with the first, so that other load on the
// machine slows both down: the note of a row is the median ratio of neighbouring runs.
func byteModels(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	spec := func(name string) (TrainSpec, error) {
		c, err := lm.Preset(name)
		return TrainSpec{Name: name, Model: c, Batch: 8, Tokens: 512, Compute: "f32", Save: "all"}, err
	}
	base, err := spec("byte")
	if err != nil {
		return err
	}
	var jobs []job
	for _, a := range lm.Architectures() {
		if !slices.Contains(a.Presets, "byte") || a.Unnamed {
			continue
		}
		jobs = append(jobs, job{"train", func() []Row {
			s, err := spec(a.Name + "/byte")
			if err != nil {
				return []Row{{Work: "train", Shape: a.Name, Error: err.Error()}}
			}
			return trainBeside(d, s, base, 7)
		}})
	}
	return all(ctx, o, jobs, emit)
}

// trainBeside times steps of two models, alternating: each row holds a rate of the first and its ratio to the second.
func trainBeside(d *xla.Device, s, base TrainSpec, runs int) []Row {
	s, shape, _ := s.described()
	row := Row{Work: "train", Shape: shape}
	return []Row{guard(row, func() Row {
		var pair [2]*train.Trainer
		for i, spec := range []TrainSpec{s, base} {
			spec, _, _ = spec.described()
			t, err := trainer(d, spec)
			if err == nil {
				err = t.Compile(spec.StepsPerCall)
			}
			if err != nil {
				row.Error = err.Error()
				return row
			}
			pair[i] = t
		}
		var seconds [2][]float64
		for run := range runs + 1 {
			for i, t := range pair {
				start := time.Now()
				if _, err := t.Step(); err != nil {
					row.Error = err.Error()
					return row
				}
				if run > 0 { // the first run warms up
					seconds[i] = append(seconds[i], time.Since(start).Seconds())
				}
			}
		}
		var ratios []float64
		for i := range seconds[0] {
			ratios = append(ratios, seconds[1][i]/seconds[0][i])
		}
		slices.Sort(ratios)
		row.Note = fmt.Sprintf("%.2f [%.2f … %.2f] of %s, steps in turn", ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], base.Name)
		return ratesOf(row, seconds[0], float64(s.tokens()))
	})}
}
