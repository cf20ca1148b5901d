package vectorgate_test

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/recurrence/internal/optest"
	"stuffed/pkg/recurrence/vectorgate"
)

// TestGateExtremes: raw gates of any size give finite decays, keys and gradients.
func TestGateExtremes(t *testing.T) {
	raw := []float64{-1e4, -200, -50, -1, 0, 1, 13.8, 50, 200, 1e4}
	bound := []float64{1e-30, 1e-6, 0.1, 0.5, 0.9, 0.3, 0.7, 0.2, 0.01, 1 - 1e-12}
	var decay, key, bare []float64
	for i, f := range raw {
		sigmoid := 1 / (1 + math.Exp(-f))
		a := bound[i] + (1-bound[i])*sigmoid
		decay, key, bare = append(decay, math.Log1p(-(1-bound[i])/(1+math.Exp(f)))), append(key, (1-bound[i])/(1+math.Exp(f))), append(bare, sigmoid)
		if f < -10 {
			decay[i] = math.Log(a)
		}
	}
	for _, d := range optest.Devices(t)[:1] {
		got := optest.Run(t, d, func(in []*Node) []*Node {
			decay, key := vectorgate.Forget(in[0], in[1])
			none, _ := vectorgate.Forget(in[0], nil)
			gla := vectorgate.LogSigmoid(in[0], 16)
			sum := Add(Add(ReduceAllSum(decay), ReduceAllSum(key)), Add(ReduceAllSum(none), ReduceAllSum(gla)))
			return append([]*Node{decay, key, Exp(none), Exp(MulScalar(gla, 16))}, Gradient(sum, in...)...)
		}, optest.Tensor(dtypes.Float64, raw, 1, 1, 1, len(raw)), optest.Tensor(dtypes.Float64, bound, 1, len(raw)))
		optest.Near(t, "key", got[1], key, 1e-14)
		optest.Near(t, "decay without bound", got[2], bare, 1e-14)
		optest.Near(t, "gate of GLA", got[3], bare, 1e-14)
		for i := range raw {
			if math.Abs(got[0][i]-decay[i]) > 1e-11*(1+math.Abs(decay[i])) {
				t.Errorf("f %g over %g: ln a is %g, want %g", raw[i], bound[i], got[0][i], decay[i])
			}
		}
		for i, g := range got[4:] {
			for j, v := range g {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("gradient %d at f %g is %g", i, raw[j], v)
				}
			}
		}
	}
}
