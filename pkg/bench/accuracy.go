package bench

import (
	"context"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// accuracy measures what fast mode costs in digits, and whether lengths and sizes beyond those of the fixtures are correct: on
// official shapes on a GPU, on a byte model elsewhere. d is the device in fast mode; exact mode gets a client of its own beside
// it.
func accuracy(ctx context.Context, d *xla.Device, o Options, emit func(Row) error) error {
	if d.Kind != "cuda" {
		return all(ctx, o, []job{loaded("sampled", "byte", func(w *lm.Weights) []Row { // takes 15 GB of memory
			return Walked(d, d, "byte d128 L2", w, 1<<20, [2]float64{1e-4, 0.02})
		})}, emit)
	}
	exact := d
	if d.Precision == "fast" {
		var err error
		if exact, err = xla.Open(d.Kind); err != nil {
			return err
		}
	}
	c, err := lm.Preset("130m")
	if err != nil {
		return err
	}
	w, err := initial(c)
	if err != nil {
		return err
	}
	long := recurrence.Dims{Batch: 1, Tokens: 1 << 20, Heads: 16, HeadDim: 64, Groups: 1, State: 16}
	wide := recurrence.Dims{Batch: 40, Tokens: 65536, Heads: 16, HeadDim: 64, Groups: 1, State: 16} // 2.7e9 entries of x
	sampled := func(d *xla.Device, dims recurrence.Dims, dtype dtypes.DType, plain bool, least float64) job {
		return job{"sampled", func() []Row { return []Row{Sampled(d, dims, dtype, plain, 64, least)} }}
	}
	short, err := lm.Override(c, `{"layers": 4}`) // the oracle loops over tokens one at a time
	if err != nil {
		return err
	}
	shallow, err := initial(short)
	if err != nil {
		return err
	}
	return all(ctx, o, []job{
		{"deviation", func() []Row { return Deviation(exact, d, "130m", w, 2048, 0.005, true) }},
		{"deviation", func() []Row { return Deviation(exact, d, "130m", w, 65536, 0.02, false) }},
		sampled(exact, long, dtypes.Float32, true, 1e-4),
		sampled(d, long, dtypes.BFloat16, false, 0.01),
		sampled(d, wide, dtypes.BFloat16, false, 0.01),
		sampled(d, wide, dtypes.BFloat16, true, 0.01),
		{"sampled", func() []Row { return Walked(exact, d, "130m, 4 layers", shallow, 1<<20, [2]float64{1e-4, 0.02}) }},
	}, emit)
}
