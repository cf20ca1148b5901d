package draw

import (
	"slices"
	"testing"
)

func TestUniform(t *testing.T) {
	const bins, draws = 16, 160_000
	var counts [bins]float64
	key := Key(7, "test", 3)
	for i := range uint64(draws) {
		counts[Below(At(key, i), bins)]++
	}
	chi := 0.0
	for _, c := range counts {
		chi += (c - draws/bins) * (c - draws/bins) / (draws / bins)
	}
	if chi > 37.7 { // χ²(15), p 0.001
		t.Fatalf("χ² = %.1f", chi)
	}
}

func TestKeysDiffer(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := range int64(50) {
		for _, name := range []string{"a", "b", ""} {
			for i := range int64(50) {
				seen[Key(seed, name, i)] = true
			}
			seen[Key(seed, name)] = true
		}
	}
	if len(seen) != 50*3*51 {
		t.Fatalf("%d distinct keys of %d", len(seen), 50*3*51)
	}
}

func TestStreamReadsTheCounter(t *testing.T) {
	s := New(9)
	for i := range uint64(10) {
		if s.Uint64() != At(9, i) {
			t.Fatal("stream and counter disagree")
		}
	}
	if u := s.Unit(); u < 0 || u >= 1 {
		t.Fatal(u)
	}
}

func TestPermutation(t *testing.T) {
	p := Permutation(5, 100)
	sorted := slices.Clone(p)
	slices.Sort(sorted)
	for i, v := range sorted {
		if i != v {
			t.Fatal("not a permutation")
		}
	}
	if slices.Equal(p, sorted) || !slices.Equal(p, Permutation(5, 100)) {
		t.Fatal("order is not random or not repeatable")
	}
}
