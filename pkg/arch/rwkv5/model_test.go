package rwkv5_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"stuffed/pkg/arch/rwkv5"
	"stuffed/pkg/arch/rwkv6"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// TestConstantRWKV6: RWKV-6 without its low ranks, with mixes 1 − μ, is RWKV-5: the same logits, states and gradients.
func TestConstantRWKV6(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	five := rwkv5.Default(24, 2, 31)
	five.Head, five.Intermediate = 8, 40
	six := rwkv6.Default(24, 2, 31)
	six.Outline, six.Head = five.Outline, five.Head
	values := map[string][]float64{}
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(s lm.Spec) []float64 {
		v := make([]float64, s.Size())
		for i := range v {
			switch {
			case strings.Contains(s.Name, "time_mix_"):
				v[i] = r.Float64()
			case strings.HasSuffix(s.Name, "time_decay"):
				v[i] = -3 + 4*r.Float64()
			default:
				v[i] = r.NormFloat64() * 0.5
			}
		}
		return v
	}
	short := map[string]string{"key": "k", "value": "v", "receptance": "r", "gate": "g"}
	w5, err := lm.NewWeights(rwkv5.Model{Config: five}, 1, func(_ int, s lm.Spec) ([]float64, error) {
		values[s.Name] = draw(s)
		return values[s.Name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w6, err := lm.NewWeights(rwkv6.Model{Config: six}, 1, func(_ int, s lm.Spec) ([]float64, error) {
		part, mix, mixing := strings.Cut(s.Name, "time_maa_")
		for long, letter := range short {
			if mixing && mix == letter {
				out := make([]float64, s.Size())
				for i, mu := range values[part+"time_mix_"+long] {
					out[i] = 1 - mu
				}
				return out, nil
			}
		}
		if v := values[s.Name]; v != nil {
			return v, nil
		}
		return make([]float64, s.Size()), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := [][]int32{make([]int32, 40), make([]int32, 40)}
	for _, row := range rows {
		for i := range row {
			row[i] = int32(r.IntN(31))
		}
	}
	run := func(w *lm.Weights) lm.PassOutput {
		out, err := lm.NewPass(d, w).Run(lm.PassInput{Rows: rows, Gradient: true, Cuts: []int{17}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	a, b := run(w5), run(w6)
	same := func(name string, x, y []float64) {
		t.Helper()
		for i := range x {
			if math.Abs(x[i]-y[i]) > 1e-11*(1+math.Abs(y[i])) {
				t.Fatalf("%s: entry %d is %g, of RWKV-6 %g", name, i, x[i], y[i])
			}
		}
	}
	doubles := func(out lm.PassOutput) map[string][]float64 {
		all := map[string][]float64{}
		for name, x := range out.State {
			all["state "+name], _ = lm.Float64s(x)
		}
		for name, x := range out.Gradient {
			all["gradient "+name], _ = lm.Float64s(x)
		}
		all["logits"], _ = lm.Float64s(out.Logits)
		return all
	}
	of6 := doubles(b)
	for name, x := range doubles(a) {
		if y := of6[name]; len(y) == len(x) {
			same(name, x, y)
		}
	}
}
