package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/atomic"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// Options selects what a suite measures.
type Options struct {
	Only      []string // kinds of work, empty for all
	Operators []string // names of the suite operators, empty for all
	Explore   bool     // also variants other than the default
}

func (o Options) has(work string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, work) }

// Works lists the kinds of work that Options.Only may name.
var Works = []string{"operator", "train", "small", "prefill", "decode", "trace", "deviation", "sampled"}

// Suites maps a scale to its suite. emit receives every row as soon as it is measured.
var Suites = map[string]func(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error{"gpu": gpu, "cpu": cpu, "accuracy": accuracy, "operators": operators, "byte": byteModels}

// Write saves the report to a file.
func (r *Report) Write(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return atomic.Bytes(path, append(data, '\n'))
}

// job is a group of rows that is measured when its turn comes.
type job struct {
	work string
	run  func() []Row
}

func all(ctx context.Context, o Options, jobs []job, emit func(Row) error) error {
	for _, j := range jobs {
		if !o.has(j.work) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, row := range j.run() {
			if err := emit(row); err != nil {
				return err
			}
		}
	}
	return nil
}

func gpu(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	preset := func(name string) lm.Config {
		c, err := lm.Preset(name)
		if err != nil {
			panic(err)
		}
		return c
	}
	var jobs []job
	add := func(work string, run func() []Row) { jobs = append(jobs, job{work, run}) }
	for _, heads := range []int{24, 32} {
		dims := recurrence.Dims{Batch: 16, Tokens: 2048, Heads: heads, HeadDim: 64, Groups: 1, State: 128}
		add("operator", func() []Row { return Operator(d, dims, false, 64, 30) })
		if o.Explore || heads == 32 {
			add("operator", func() []Row { return Operator(d, dims, true, 128, 30) })
		}
	}
	trains := []TrainSpec{
		{Name: "130m", Model: preset("130m"), Batch: 16, Tokens: 2048, Compute: "bf16", Save: "none"},
		{Name: "370m", Model: preset("370m"), Batch: 8, Tokens: 2048, Compute: "bf16", Save: "none"},
	}
	if o.Explore {
		for _, save := range []string{"all"} {
			trains = append(trains, TrainSpec{Name: "130m", Model: preset("130m"), Batch: 16, Tokens: 2048, Compute: "bf16", Save: save})
		}
	}
	for _, s := range trains {
		add("train", func() []Row { return Train(d, s, 8) })
	}
	for _, tokens := range []int{64, 256, 1024} {
		small := shaped(`{"width": 256, "layers": 2, "vocab": 4096}`)
		add("small", func() []Row {
			return Train(d, TrainSpec{Name: "small d256 L2 N128 V4096", Model: small, Batch: 65536 / tokens, Tokens: tokens, Members: 6, Compute: "bf16", Save: "all", StepsPerCall: 4, Unroll: true}, 5)
		})
	}
	if o.Explore {
		for _, n := range []int{16, 128} {
			tiny := shaped(fmt.Sprintf(`{"width": 128, "layers": 2, "vocab": 2048, "state": %d}`, n))
			add("small", func() []Row {
				return Train(d, TrainSpec{Name: fmt.Sprintf("tiny d128 L2 N%d V2048", n), Model: tiny, Batch: 64, Tokens: 256, Members: 6, Compute: "bf16", Save: "all", StepsPerCall: 8, Unroll: true}, 5)
			})
		}
	}
	bf16 := lm.Options{Compute: dtypes.BFloat16}
	with := func(work, name string, run func(w *lm.Weights) []Row) { jobs = append(jobs, loaded(work, name, run)) }
	for _, name := range []string{"130m", "370m"} {
		with("prefill", name, func(w *lm.Weights) []Row {
			rows := Prefill(ctx, d, name, w, bf16, 1, 2048, 10)
			return append(rows, Prefill(ctx, d, name, w, bf16, 1, 65536, 5)...)
		})
		with("decode", name, func(w *lm.Weights) []Row {
			rows := []Row{Decode(ctx, d, name, w, bf16, 1, 256, 128, 3), Decode(ctx, d, name, w, bf16, 64, 256, 128, 3)}
			if o.Explore {
				plain := bf16
				plain.NoKernels = true
				rows = append(rows, Decode(ctx, d, name, w, plain, 1, 256, 128, 3), Decode(ctx, d, name, w, plain, 64, 256, 128, 3))
			}
			return rows
		})
	}
	with("trace", "130m", func(w *lm.Weights) []Row { return Trace(ctx, d, "130m", w, bf16, 4096, 1<<20, 64, 1024) })
	return all(ctx, o, jobs, emit)
}

func cpu(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	byteModel, err := lm.Preset("byte")
	if err != nil {
		return err
	}
	jobs := []job{
		{"train", func() []Row {
			return Train(d, TrainSpec{Name: "byte d128 L2", Model: byteModel, Batch: 8, Tokens: 512, Compute: "f32", Save: "all"}, 8)
		}},
		loaded("prefill", "byte", func(w *lm.Weights) []Row { return Prefill(ctx, d, "byte d128 L2", w, lm.Options{}, 1, 512, 10) }),
		loaded("decode", "byte", func(w *lm.Weights) []Row {
			return []Row{Decode(ctx, d, "byte d128 L2", w, lm.Options{}, 1, 256, 128, 5)}
		}),
		loaded("trace", "byte", func(w *lm.Weights) []Row { return Trace(ctx, d, "byte d128 L2", w, lm.Options{}, 512, 1<<20, 64) }),
	}
	if d.Kind != "go" { // the Go backend takes minutes per call
		types := []lm.Options{{Compute: dtypes.Float32}, {Compute: dtypes.BFloat16}}
		jobs = append(jobs, loaded("prefill", "130m", func(w *lm.Weights) (rows []Row) {
			for _, o := range types {
				rows = append(rows, Prefill(ctx, d, "130m", w, o, 1, 512, 5)...)
			}
			return rows
		}), loaded("decode", "130m", func(w *lm.Weights) (rows []Row) {
			for _, o := range types {
				rows = append(rows, Decode(ctx, d, "130m", w, o, 1, 64, 64, 5))
			}
			return rows
		}))
	}
	return all(ctx, o, jobs, emit)
}

// loaded is a job on a preset with initial weights, which are created when its turn comes.
func loaded(work, preset string, run func(w *lm.Weights) []Row) job {
	return job{work, func() []Row {
		c, err := lm.Preset(preset)
		var w *lm.Weights
		if err == nil {
			w, err = initial(c)
		}
		if err != nil {
			return []Row{{Work: work, Shape: preset, Error: err.Error()}}
		}
		return run(w)
	}}
}

// shaped is the default architecture with some fields overridden.
func shaped(fields string) lm.Config {
	a, err := lm.ArchitectureOf("")
	if err != nil {
		panic(err)
	}
	c, err := lm.Override(a.Default(), fields)
	if err != nil {
		panic(err)
	}
	return c
}

func initial(c lm.Config) (*lm.Weights, error) {
	m, err := c.New()
	if err != nil {
		return nil, err
	}
	return lm.InitialWeights(m, 1)
}
