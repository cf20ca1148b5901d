package bench

import (
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/mamba2"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

func device(t *testing.T, name string) *xla.Device {
	t.Helper()
	d, err := xla.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The operator over arrays that the device makes is the loop over what the host makes.
func TestSampledOperatorIsTheLoop(t *testing.T) {
	dims := recurrence.Dims{Batch: 3, Tokens: 150, Heads: 4, HeadDim: 8, Groups: 2, State: 4}
	for _, v := range []struct {
		backend string
		dtype   dtypes.DType
		least   float64
	}{{"go", dtypes.Float32, 2e-6}, {"cpu", dtypes.Float32, 2e-6}, {"cpu", dtypes.BFloat16, 0.01}} {
		r := Sampled(device(t, v.backend), dims, v.dtype, true, 16, v.least)
		t.Logf("%s: %+v", v.backend, r)
		if r.Error != "" || !(r.Median < v.least) {
			t.Errorf("%s: %+v", v.backend, r)
		}
	}
	seen := map[place]bool{}
	for _, p := range places(dims) {
		seen[p] = true
	}
	if !seen[place{2, 149, 3}] || len(seen) < 7 {
		t.Errorf("places %v", seen)
	}
}

func TestDeviationOfASmallModel(t *testing.T) {
	c := mamba2.Default(32, 2, 64)
	c.HeadDim, c.State = 16, 8
	w, err := initial(c)
	if err != nil {
		t.Fatal(err)
	}
	d := device(t, "cpu")
	rows := Deviation(d, d, "tiny", w, 48, 0.005, false)
	if len(rows) != 2 {
		t.Fatalf("%+v", rows)
	}
	for _, r := range rows {
		t.Logf("%+v", r)
		if r.Error != "" || !(r.Median > 1e-5 && r.Median < 0.05) {
			t.Errorf("%+v", r)
		}
	}
	w.Members = 0 // no weights
	if rows := Deviation(d, d, "tiny", w, 48, 0.005, true); rows[0].Error == "" {
		t.Errorf("without weights: %+v", rows)
	}
}

func TestOneCallIsOneTokenAtATime(t *testing.T) {
	c := mamba2.Default(32, 2, 64)
	c.HeadDim, c.State = 16, 8
	w, err := initial(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, backend := range []string{"cpu", "go"} {
		d := device(t, backend)
		least := [2]float64{1e-6, 0.05}
		rows := Walked(d, d, "tiny", w, 96, least)
		if len(rows) != 2 {
			t.Fatalf("%+v", rows)
		}
		for i, r := range rows {
			t.Logf("%+v", r)
			if r.Error != "" || !(r.Median > 1e-9 && r.Median < least[i]) {
				t.Errorf("%s: %+v", backend, r)
			}
		}
	}
	w.Members = 0 // no weights
	if rows := Walked(device(t, "cpu"), device(t, "cpu"), "tiny", w, 96, [2]float64{}); len(rows) != 1 || rows[0].Error == "" {
		t.Errorf("without weights: %+v", rows)
	}
}
