package lm

import (
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// A piece holds on to nothing on the device but its probes.
func TestWhatIsReadLeavesTheDevice(t *testing.T) {
	probe := tensors.FromFlatDataAndDimensions([]float32{7}, 1)
	results := Results{probePrefix + "delta": probe, "last": tensors.FromFlatDataAndDimensions([]float32{5, 6}, 1, 2)}
	for _, name := range []string{"loss", "correct"} {
		results[name] = tensors.FromFlatDataAndDimensions([]float32{1, 2, 0, 0}, 1, 4)
	}
	p, err := Request{Loss: true, Correct: true, Last: true, Probes: []string{"delta"}}.piece(results, 1, 0, 2, 4, 9)
	if err != nil || !slices.Equal(p.Loss, []float32{1, 2}) || !slices.Equal(p.Last, []float32{5, 6}) {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, name := range []string{"loss", "correct", "last"} {
		if results[name].Ok() {
			t.Errorf("%s is still there", name)
		}
	}
	if p.Probes["delta"] != probe || !probe.Ok() {
		t.Error("the probe is gone")
	}
}

// Rows are cut and padded with zeros; a row that ends sooner is, too.
func TestPadTo(t *testing.T) {
	rows := [][]int32{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}
	for start, want := range map[int][]int32{0: {1, 2, 3, 0, 6, 7, 8, 0}, 3: {4, 5, 0, 0, 9, 10, 0, 0}, 5: make([]int32, 8)} {
		if got := tensors.MustCopyFlatData[int32](padTo(4, rows, start, 3)); !slices.Equal(got, want) {
			t.Errorf("from %d: %v, want %v", start, got, want)
		}
	}
}
