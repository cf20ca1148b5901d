package task

import (
	"slices"
	"testing"
)

func init() {
	hashes["flip-flop-1"] = "1f89dd567317df44"
	oracles["flip-flop"] = func(_ *testing.T, r Record) Answer { // the bit that was written last
		var said []int32
		memory := int32(-1)
		for i := len(r.IDs) % 2; i < len(r.IDs); i += 2 {
			switch r.IDs[i] {
			case write:
				memory = r.IDs[i+1]
			case read:
				said = append(said, memory)
			}
		}
		return Answer{IDs: said}
	}
}

// TestFlipFlopByHand: a short sequence of seed 11, and what the two extremes of ignore give.
func TestFlipFlopByHand(t *testing.T) {
	r := record(t, open(t, "flip-flop", 15, "ignore=0.5"), 11, 0)
	want := []int32{start, write, 1, ignore, 0, write, 0, write, 1, ignore, 1, ignore, 1, read, 1}
	if !slices.Equal(r.IDs, want) || !slices.Equal(r.Positions, []int{13}) || !slices.Equal(r.Answers, []int32{1}) {
		t.Errorf("%v, positions %v, answers %v", r.IDs, r.Positions, r.Answers)
	}
	for _, length := range []int{4, 5, 64} {
		r := record(t, open(t, "flip-flop", length, "ignore=0"), 3, 1)
		if slices.Contains(r.IDs[len(r.IDs)%2:], ignore) || r.IDs[length-2] != read || r.IDs[len(r.IDs)%2] != write {
			t.Errorf("length %d without anything to ignore: %v", length, r.IDs)
		}
	}
	r = record(t, open(t, "flip-flop", 64, "ignore=0.999999"), 3, 1)
	if len(r.Answers) != 1 || r.Answers[0] != r.IDs[1] || slices.Index(r.IDs[2:], ignore) != 0 {
		t.Errorf("hardly anything but what is to be ignored: %v", r.IDs)
	}
}
