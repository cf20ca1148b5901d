package collapse

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestFailureInAbsoluteTerms(t *testing.T) {
	of := func(mean, half float64, n int64) Estimate { return Estimate{mean, mean - half, mean + half, n} }
	l := DefaultLimits()
	for name, c := range map[string]struct {
		inside, far   Estimate
		excess, ratio Answer
	}{
		"a floor under the ratio": {of(0.006, 0.002, 240), of(0.09, 0.01, 9000), No, Unknown}, // 15 times, 0.08 nats
		"worse by far":            {of(0.12, 0.03, 240), of(0.5, 0.01, 9000), Yes, Yes},
		"worse, not twice":        {of(0.9, 0.05, 2000), of(1.3, 0.03, 9000), Yes, No},
		"noise":                   {of(0.3, 0.25, 240), of(0.45, 0.01, 9000), No, No},
		"few values":              {of(0.3, 0.02, 20), of(0.9, 0.01, 9000), Yes, Unknown},
		"sound":                   {of(0.3, 0.02, 900), of(0.28, 0.01, 9000), No, No},
	} {
		f := Failure{Inside: c.inside, Far: c.far, Excess: c.far.Minus(c.inside)}
		if got := l.ByExcess(f); got != c.excess {
			t.Errorf("%s: by excess %v, want %v (%v)", name, got, c.excess, f.Excess)
		}
		if got := l.ByRatio(f); got != c.ratio {
			t.Errorf("%s: by ratio %v, want %v", name, got, c.ratio)
		}
		if l.ByRecall(f) != Unknown {
			t.Errorf("%s: recall is judged that was not measured", name)
		}
	}
}

// Filling is that of a state that is written down, with writes of one direction and of random ones.
func TestFillingIsThatOfALoop(t *testing.T) {
	const T, times, width = 64, 16, 20000
	r := rand.New(rand.NewPCG(1, 1))
	for _, retained := range []float64{0.05, 0.5, 0.9, 0.99} {
		alpha := math.Pow(retained, 1.0/T)
		line, random := 0.0, make([]float64, width)
		var norms [2][2]float64 // of both, after T tokens and at the end
		for i := range T * times {
			line = alpha*line + 1
			sum := 0.0
			for k := range random {
				random[k] = alpha*random[k] + r.NormFloat64()
				sum += random[k] * random[k]
			}
			if i == T-1 {
				norms[0][0], norms[1][0] = line, math.Sqrt(sum)
			}
			norms[0][1], norms[1][1] = line, math.Sqrt(sum)
		}
		incoherent, coherent := Filling(retained, times)
		if got := norms[0][1] / norms[0][0]; math.Abs(got/coherent-1) > 1e-9 {
			t.Errorf("retained %g: one direction grows by %g, want %g", retained, got, coherent)
		}
		if got := norms[1][1] / norms[1][0]; math.Abs(got/incoherent-1) > 0.03 {
			t.Errorf("retained %g: random directions grow by %g, want about %g", retained, got, incoherent)
		}
	}
	if a, b := Filling(1, 32); a != math.Sqrt(32) || b != 32 {
		t.Errorf("nothing forgotten: %g, %g", a, b)
	}
}

// Stationary growth is that of a state written out in coordinates: writes with one common part and one part of their own.
func TestStationaryIsThatOfALoop(t *testing.T) {
	const T, length = 12, 96
	for _, retained := range []float64{0.05, 0.6, 1} {
		for _, coherence := range []float64{0, 0.3, 1} {
			alpha := math.Pow(retained, 1.0/T)
			vector := make([]float64, length+1)
			var within, far float64
			for i := range length {
				for k := range vector {
					vector[k] *= alpha
				}
				vector[0], vector[i+1] = vector[0]+math.Sqrt(coherence), vector[i+1]+math.Sqrt(1-coherence)
				square := 0.0
				for _, x := range vector {
					square += x * x
				}
				if i >= T/2 && i < T {
					within += square / (T / 2)
				} else if i >= length/2 {
					far += square / (length / 2)
				}
			}
			if got, want := Stationary(retained, coherence, T, length), math.Sqrt(far/within); math.Abs(got-want) > 1e-9 {
				t.Errorf("retained %g, coherence %g: %g, want %g", retained, coherence, got, want)
			}
		}
	}
}
