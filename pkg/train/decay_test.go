package train

import (
	"math"
	"testing"

	"stuffed/pkg/lm"
)

// Decay of all parameters takes rate × decay of those that the architecture leaves out too, and is part of what is computed.
func TestDecayOfAll(t *testing.T) {
	const rate, decay = 0.01, 0.5
	settings := []string{"lr=0.01", "warmup=0", "schedule=constant", "clip=0"}
	values := func(steps int64, more ...string) (all [][]float64, specs []lm.Spec) {
		trainer := start(t, "go", tiny(t, append(more, settings...)...))
		losses(t, trainer, steps)
		w := trainer.Weights()
		for _, p := range w.Values {
			v, err := lm.Float64s(p)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		return all, w.Specs
	}
	first, specs := values(0)
	none, _ := values(1, "weight_decay=0")
	masked, _ := values(1, "weight_decay=0.5")
	all, _ := values(1, "weight_decay=0.5", "decay_all=true")
	left := 0
	for k, s := range specs {
		for i, x := range first[k] {
			if got, want := none[k][i]-all[k][i], x*rate*decay; math.Abs(got-want) > 1e-6 {
				t.Fatalf("%s[%d] = %g decays by %g, want %g", s.Name, i, x, got, want)
			}
			if got := none[k][i] - masked[k][i]; !s.Decay && got != 0 {
				t.Fatalf("%s[%d] decays by %g without decay_all", s.Name, i, got)
			}
		}
		if !s.Decay {
			left++
		}
	}
	if left == 0 {
		t.Error("the architecture leaves nothing out")
	}
	if tiny(t).Hash() == tiny(t, "decay_all=true").Hash() || tiny(t).Hash() != tiny(t, "decay_all=false").Hash() {
		t.Error("decay_all and the hash")
	}
}
