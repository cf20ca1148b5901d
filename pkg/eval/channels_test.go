package eval

import (
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// TestThinnedTakesTheWeakest: with two sequences for each of two members, every head loses the channel with the smallest mean square.
func TestThinnedTakesTheWeakest(t *testing.T) {
	c := mamba2.Default(16, 2, 20)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	m, err := c.New()
	if err != nil {
		t.Fatal(err)
	}
	const rows = 4
	state := lm.State{}
	var spec lm.Spec
	var before []float64
	for _, s := range m.State(rows) {
		values := make([]float64, s.Size())
		for i := range values {
			values[i] = 1 + float64(i*7919%101)
		}
		if s.Role == lm.Recurrent {
			spec, before = s, values
		}
		if state[s.Name], err = lm.FromFloat64s(values, dtypes.Float32, s.Dims...); err != nil {
			t.Fatal(err)
		}
	}
	out, err := thinned(m, state, rows, 2, 0.25)
	if err != nil {
		t.Fatal(err)
	}
	after, err := lm.Float64s(out[spec.Name])
	if err != nil {
		t.Fatal(err)
	}
	layers := spec.Dim(lm.Layer)
	heads, dims, keys := spec.Matrices() // of [layers, batch, heads, values, keys]
	at := func(l, b, h, p, n int) int { return (((l*rows+b)*heads+h)*dims+p)*keys + n }
	for l := range layers {
		for member := range 2 {
			for h := range heads {
				weakest, least := -1, 0.0
				for n := range keys {
					sum := 0.0
					for b := 2 * member; b < 2*member+2; b++ {
						for p := range dims {
							sum += before[at(l, b, h, p, n)] * before[at(l, b, h, p, n)]
						}
					}
					if weakest < 0 || sum < least {
						weakest, least = n, sum
					}
				}
				for b := 2 * member; b < 2*member+2; b++ {
					for p := range dims {
						for n := range keys {
							want := before[at(l, b, h, p, n)]
							if n == weakest {
								want = 0
							}
							if got := after[at(l, b, h, p, n)]; got != want {
								t.Fatalf("layer %d, sequence %d, head %d, channel %d: %g, want %g", l, b, h, n, got, want)
							}
						}
					}
				}
			}
		}
	}
}
