package paper

import (
	"math"
	"path/filepath"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/bound"
)

// TestBoundsHold: no model of the shipped studies holds more than its state can, in bits, and the table says by what factor it
// stays below.
func TestBoundsHold(t *testing.T) {
	root := filepath.Join("..", "..", "datasets", "study")
	for _, plan := range []string{"capacity", "forget", "over-training", "recall-table"} {
		held, err := Held(root, plan, "zero")
		if err != nil {
			t.Fatalf("%s: %v", plan, err)
		}
		column := func(name string) []float64 {
			v, err := held.Float(name)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if held.Rows() == 0 {
			t.Fatalf("%s: no models", plan)
		}
		scalars, items, recalled, factor := column("scalars"), column("items"), column("recalled"), column("factor")
		for i, bits := range column("held_bits") {
			if !(bits >= 0 && bits <= column("bound_bits")[i]) || factor[i] < 1 {
				t.Errorf("%s, row %d: holds %g bits, the bound is %g", plan, i, bits, column("bound_bits")[i])
			}
			if recalled[i] > items[i]+1e-9 || items[i] > column("gap")[i]+1 {
				t.Errorf("%s, row %d: recalls %g of %g items among %g pairs", plan, i, recalled[i], items[i], column("gap")[i])
			}
			// what is held is at most what the recalled items are worth, and needs a table of that size
			if most := recalled[i] * math.Log2(256); bits > most+1e-6 {
				t.Errorf("%s, row %d: %g bits in %g recalled values", plan, i, bits, recalled[i])
			}
			if n := int(recalled[i]); n > 0 && bound.Copying(scalars[i]*stateBits, n, 128) > 0 {
				t.Errorf("%s, row %d: %d values cannot be copied from %g numbers", plan, i, n, scalars[i])
			}
		}
	}
}

// TestKeysByAge: a stream whose gap is 1 repeats only the pair before, so that about half of the pairs bring a new key.
func TestKeysByAge(t *testing.T) {
	counts := keysByAge(datasets.RecallStream{Keys: 1 << 20, Values: 8, Gap: 1, Seed: 1}, 400)
	if counts[1] != 1 || counts[0] != 0 {
		t.Errorf("the last pair's key counts %g times", counts[1])
	}
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	if sum < 90 || sum > 111 {
		t.Errorf("%g keys in 200 pairs, want about 100", sum)
	}
}
