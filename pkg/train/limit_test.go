package train

import (
	"context"
	"math"
	"testing"

	"stuffed/pkg/lm"
)

// A limit that no state meets trains as without; one that binds keeps the norms of the states that the reader's model reaches.
func TestTrainingWithLimitedNorm(t *testing.T) {
	free := losses(t, start(t, "go", tiny(t)), 4)
	loose := losses(t, start(t, "go", tiny(t, "norm_limit.norm=1e6", "norm_limit.every=4")), 4)
	c := tiny(t, "norm_limit.norm=0.01", "norm_limit.every=1")
	trainer := start(t, "go", c)
	tight := losses(t, trainer, 4)
	apart := 0.0
	for i := range free {
		if d := math.Abs(float64(loose[i][0] - free[i][0])); d > 1e-4 {
			t.Errorf("step %d: loss %g under a limit that is never met, %g without", i, loose[i][0], free[i][0])
		}
		apart = max(apart, math.Abs(float64(tight[i][0]-free[i][0])))
		if math.IsNaN(float64(tight[i][0])) {
			t.Fatalf("step %d: loss is not a number", i)
		}
	}
	if apart < 1e-5 {
		t.Error("a limit of 0.01 changes nothing")
	}
	w, controls, err := c.Reader(trainer.Weights())
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]int32, 40)
	for i := range tokens {
		tokens[i] = int32(i % 12)
	}
	largest := 0.0
	_, err = lm.NewRunner(trainer.Device, w).Run(context.Background(), [][]int32{tokens}, nil, lm.Request{Probes: []string{lm.Squares}, Controls: controls}, func(p lm.Piece) error {
		v, err := lm.Float64s(p.Probes[lm.Squares])
		for _, x := range v {
			largest = max(largest, x)
		}
		return err
	})
	if err != nil || largest > 0.01*0.01*(1+1e-5) || largest == 0 {
		t.Errorf("squared norm %g, want at most 1e-4 (%v)", largest, err)
	}
	c.NormLimit.Every = 0
	if err := c.Validate(); err == nil {
		t.Error("a limit without tokens passes")
	}
	if a, b := tiny(t).Hash(), DefaultConfig().Hash(); a == "" || a == b {
		t.Errorf("hashes %q and %q", a, b)
	}
	if tiny(t).Hash() == tiny(t, "norm_limit.norm=1", "norm_limit.every=1").Hash() {
		t.Error("a limit is no part of what is computed")
	}
}
