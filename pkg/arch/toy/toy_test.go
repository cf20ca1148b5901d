package toy_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/toy"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

func config() toy.Config {
	c := toy.Default()
	c.Vocab = 24
	return c
}

func TestConsistent(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	archtest.Consistent(t, d, config())
}

func TestEqualsDefinition(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	m, r := toy.Model{Config: config()}, rand.New(rand.NewPCG(1, 1))
	params := map[string][]float64{}
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
		v := make([]float64, s.Size())
		for i := range v {
			v[i] = r.NormFloat64() / 2
		}
		params[s.Name] = v
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := []int32{3, 1, 4, 1, 5, 9, 2, 6, 5}
	out, err := lm.NewPass(d, w).Run(lm.PassInput{Rows: [][]int32{ids}})
	if err != nil {
		t.Fatal(err)
	}
	logits, state := m.Naive(params, ids)
	state["logits"] = logits
	got := map[string][]float64{}
	if got["logits"], err = lm.Float64s(out.Logits); err != nil {
		t.Fatal(err)
	}
	for name, s := range out.State {
		if got[name], err = lm.Float64s(s); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range state {
		if len(got[name]) != len(want) {
			t.Fatalf("%s has %d entries, want %d", name, len(got[name]), len(want))
		}
		for i := range want {
			if !(math.Abs(got[name][i]-want[i]) < 1e-10*(1+math.Abs(want[i]))) {
				t.Fatalf("%s: entry %d is %g, want %g", name, i, got[name][i], want[i])
			}
		}
	}
}
