package mamba2_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/mamba2"
)

// kolmogorov is the largest distance between the values' distribution and cdf, times √n: above 1.95 in one of 1,000.
func kolmogorov(values []float64, cdf func(float64) float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n, worst := float64(len(v)), 0.0
	for i, x := range v {
		worst = max(worst, math.Abs(cdf(x)-float64(i)/n), math.Abs(cdf(x)-float64(i+1)/n))
	}
	return worst * math.Sqrt(n)
}

func uniform(lo, hi float64) func(float64) float64 {
	return func(x float64) float64 { return min(max((x-lo)/(hi-lo), 0), 1) }
}

// TestInitialDistributions: as the official code, not as transformers' (A = 1 … H, dt_bias 1).
func TestInitialDistributions(t *testing.T) {
	c := mamba2.Default(256, 9, 300)
	c.HeadDim, c.State, c.Tied, c.UseBias = 2, 16, false, true // many heads: many values
	c.InitDelta, c.InitFloor = mamba2.Range{Low: 5e-5, High: 0.1}, 1e-4
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	v := m.Initial(1)
	mapped := func(name string, f func(x float64) float64) (out []float64) {
		for _, x := range v[name] {
			out = append(out, f(float64(x)))
		}
		return out
	}
	same := func(x float64) float64 { return x }
	inner := float64(c.Inner())
	floor := math.Log(c.InitFloor/c.InitDelta.Low) / math.Log(c.InitDelta.High/c.InitDelta.Low)
	for _, d := range []struct {
		name string
		f    func(x float64) float64
		cdf  func(x float64) float64
	}{
		{"mixer.A_log", math.Exp, uniform(1, 16)},
		{"mixer.dt_bias", func(x float64) float64 { return math.Log(math.Log1p(math.Exp(x))) }, nil},
		{"mixer.in_proj.weight", same, uniform(-1/math.Sqrt(256), 1/math.Sqrt(256))},
		{"mixer.out_proj.weight", func(x float64) float64 { return x * 3 }, uniform(-1/math.Sqrt(inner), 1/math.Sqrt(inner))},
		{"mixer.conv1d.weight", same, uniform(-0.5, 0.5)},
		{"mixer.conv1d.bias", same, uniform(-0.5, 0.5)},
		{"lm_head.weight", same, uniform(-1/math.Sqrt(256), 1/math.Sqrt(256))},
		{"backbone.embeddings.weight", same, func(x float64) float64 { return 0.5 * math.Erfc(-x/0.02/math.Sqrt2) }},
	} {
		values := mapped(d.name, d.f)
		if d.cdf == nil { // log-uniform with the mass below the floor on the floor
			var above []float64
			lo := math.Log(c.InitFloor)
			for _, x := range values {
				if x > lo+1e-5 {
					above = append(above, x)
				} else if x < lo-1e-5 {
					t.Fatalf("softplus(dt_bias) = %g is below the floor", math.Exp(x))
				}
			}
			if share := 1 - float64(len(above))/float64(len(values)); math.Abs(share-floor) > 4*math.Sqrt(floor/float64(len(values))) {
				t.Errorf("%g of dt_bias lie on the floor, want %g", share, floor)
			}
			values, d.cdf = above, uniform(lo, math.Log(c.InitDelta.High))
		}
		if k := kolmogorov(values, d.cdf); !(k < 1.95) {
			t.Errorf("%s: Kolmogorov distance %g × 1/√n over %d values", d.name, k, len(values))
		}
	}
	for name, want := range map[string]float32{"mixer.D": 1, "norm.weight": 1, "mixer.norm.weight": 1, "backbone.norm_f.weight": 1, "mixer.in_proj.bias": 0, "mixer.out_proj.bias": 0} {
		for _, x := range v[name] {
			if x != want {
				t.Fatalf("%s has %g, want %g", name, x, want)
			}
		}
	}
	again, other := m.Initial(1), m.Initial(2)
	if !slices.Equal(again["mixer.A_log"], v["mixer.A_log"]) || slices.Equal(other["mixer.A_log"], v["mixer.A_log"]) {
		t.Error("the seed alone must decide the values")
	}
}

// TestNormalInitial: with init_linear all linear layers are normal, the out-projection narrower; nothing else changes.
func TestNormalInitial(t *testing.T) {
	c := mamba2.Default(128, 2, 300)
	c.Tied = false
	usual, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if c.InitLinear = 0.02; c.Hash() == usual.Config.Hash() {
		t.Error("init_linear must change the hash")
	}
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	v, before := m.Initial(1), usual.Initial(1)
	for _, s := range m.Parameters(1) {
		std, normal := map[string]float64{"mixer.in_proj.weight": 0.02, "mixer.out_proj.weight": 0.01, "lm_head.weight": 0.02}[s.Name]
		if !normal {
			if !slices.Equal(v[s.Name], before[s.Name]) {
				t.Errorf("%s is not as without init_linear", s.Name)
			}
			continue
		}
		var values []float64
		for _, x := range v[s.Name] {
			values = append(values, float64(x)/std)
		}
		if k := kolmogorov(values, func(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }); !(k < 1.95) {
			t.Errorf("%s: Kolmogorov distance %g × 1/√n from N(0, %g²)", s.Name, k, std)
		}
	}
}

// TestDecayMask: the reference's lists of decayed and not decayed parameters.
func TestDecayMask(t *testing.T) {
	c := mamba2.Default(64, 2, 256)
	c.UseBias, c.Tied = true, false
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	decays := "backbone.embeddings.weight lm_head.weight mixer.in_proj.weight mixer.out_proj.weight mixer.conv1d.weight"
	for _, s := range m.Parameters(1) {
		if want := slices.Contains(strings.Fields(decays), s.Name); s.Decay != want {
			t.Errorf("%s: decay %v, want %v", s.Name, s.Decay, want)
		}
	}
}
