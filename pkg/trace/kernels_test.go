package trace_test

import (
	"context"
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

// TestKernelsEqualExact needs an NVIDIA GPU. It compares every column of a trace computed by kernels with the float64 graph over the same
// bfloat16 pass. Prompts end in the middle of a piece and of a bucket.
func TestKernelsEqualExact(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	m, err := mamba2.New(mamba2.Default(256, 2, 64))
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := lm.NewRunner(dev, w)
	r.Options.Compute, r.Piece = dtypes.BFloat16, 1024
	probes := []prompt.Probe{sentence("one", 2348), sentence("two", 2348)}
	for _, bucket := range []int{1, 64, 2048} {
		c := trace.Config{Bucket: bucket, Batch: 2, Window: bucket == 64}
		got, err := trace.Collect(context.Background(), r, probes, c)
		if err != nil {
			t.Fatal(err)
		}
		c.Exact = true
		exact, err := trace.Collect(context.Background(), r, probes, c)
		if err != nil {
			t.Fatal(err)
		}
		a, b := got[trace.States], exact[trace.States]
		if a.Rows() != b.Rows() {
			t.Fatalf("bucket %d: %d rows, want %d", bucket, a.Rows(), b.Rows())
		}
		for _, column := range trace.Columns {
			if !a.Has(column) { // ranks are computed only on request
				continue
			}
			diff, norm, want := 0.0, 0.0, floats(t, b, column)
			for i, v := range floats(t, a, column) {
				diff, norm = diff+math.Pow(v-want[i], 2), norm+want[i]*want[i]
			}
			tolerance := 2e-3
			if column == "mean" || column == "absmax" { // few bfloat16 products, or cancellation
				tolerance = 4e-3
			}
			ratio := math.Sqrt(diff / norm)
			t.Logf("bucket %d: %s differs by %.2e", bucket, column, ratio)
			if !(ratio < tolerance) {
				t.Errorf("bucket %d: %s differs by %.2e", bucket, column, ratio)
			}
		}
	}
}
