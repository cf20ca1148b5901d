package train

import (
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"
)

func TestNoise(t *testing.T) {
	draw := func(seeds []int64, clock int32) []float32 {
		out, err := MustNewExec(open(t, "go").Backend, func(in []*Node) []*Node {
			return []*Node{normal(in[0].Graph(), seeds, in[0], dtypes.Float32, []int{2, len(seeds) * 3, 4, 8, 16}, nil, 3)}
		}).Call(tensors.FromScalar(clock))
		if err != nil {
			t.Fatal(err)
		}
		v, err := tensors.CopyFlatData[float32](out[0])
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b, later := draw([]int64{5}, 1), draw([]int64{5, 6}, 1), draw([]int64{5}, 2)
	var sum, square, fourth, across, time float64
	n := len(a)
	for i, v := range a {
		l, rest := i/(n/2), i%(n/2)
		if own := b[l*n+rest]; own != v { // member 0 has the first half of each layer
			t.Fatalf("entry %d is %g alone and %g beside another member", i, v, own)
		}
		x, other := float64(v), float64(b[l*n+n/2+rest])
		sum, square, fourth = sum+x, square+x*x, fourth+x*x*x*x
		across, time = across+x*other, time+x*float64(later[i])
	}
	N := float64(n)
	for name, z := range map[string]float64{"mean": sum / math.Sqrt(N), "variance": (square - N) / math.Sqrt(2*N), "fourth moment": (fourth - 3*N) / math.Sqrt(96*N),
		"correlation of members": across / math.Sqrt(N), "correlation of steps": time / math.Sqrt(N)} {
		if math.Abs(z) > 4 {
			t.Errorf("%s is %.1f standard errors off", name, z)
		}
	}
}

// Running moments of the last states are those of a distribution.
func TestFittedMoments(t *testing.T) {
	c := tiny(t, "policy=fitted", "lr=1e-30", "weight_decay=0", "steps=300")
	trainer := start(t, "go", c)
	losses(t, trainer, 60)
	_, names := trainer.program.shapes()
	fit := map[string][]float32{}
	for i, name := range names {
		if name == "fit/mean" || name == "fit/square" {
			v, err := tensors.CopyFlatData[float32](trainer.carry[i])
			if err != nil {
				t.Fatal(err)
			}
			fit[name] = v
		}
	}
	for i, m := range fit["fit/mean"] {
		if s := fit["fit/square"][i]; !(s > m*m) {
			t.Errorf("layer and head %d: mean %g, mean square %g", i, m, s)
		}
	}
}
