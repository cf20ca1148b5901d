package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/lm"
)

func TestControlSetsAreDifferent(t *testing.T) {
	chosen := []Head{{0, 1}, {1, 3}}
	sets := Sets(2, 5, chosen, func(Head) bool { return true }, 1)
	if len(sets) != 16 {
		t.Fatalf("%d sets, want 4 × 4", len(sets))
	}
	seen := map[string]bool{}
	for _, s := range sets {
		if seen[fmt.Sprint(s)] {
			t.Errorf("set %v comes twice", s)
		}
		seen[fmt.Sprint(s)] = true
		if s[0].Layer != 0 || s[1].Layer != 1 || slices.Contains(s, chosen[0]) || slices.Contains(s, chosen[1]) {
			t.Errorf("set %v is not matched by layer or holds a chosen head", s)
		}
	}
	if n := len(Sets(1, 6, []Head{{0, 0}, {0, 1}}, func(h Head) bool { return h.Head != 5 }, 1)); n != 3 {
		t.Errorf("%d pairs of three heads, want 3", n)
	}
}

// Every set's log α is changed by as much, in both directions.
func TestShiftsAreMatched(t *testing.T) {
	b := toyBench(t)
	for _, direction := range []string{"lower", "raise"} {
		q := Matched{Stream: datasets.RecallStream{Keys: 16, Values: 8, Gap: 4}, TrainLength: 16, Times: 4, Sequences: 2, Direction: direction,
			Shifts: []float64{0.01}, Heads: 2, Controls: 3, Seed: 1}
		rows, err := q.Run(context.Background(), b, "m", nil)
		if err != nil {
			t.Fatal(err)
		}
		if rows.Rows() < 3 {
			t.Fatalf("%s: %d rows", direction, rows.Rows())
		}
		achieved, _ := rows.Float("achieved")
		excess, _ := rows.Float("excess")
		low, _ := rows.Float("excess_low")
		want := map[string]float64{"lower": -0.01, "raise": 0.01}[direction]
		for i := 1; i < rows.Rows(); i++ {
			// A change of a head in the first layer moves Δ of those above a little.
			if math.Abs(achieved[i]-want) > 0.1*math.Abs(want) {
				t.Errorf("%s: row %d changes log α by %g, want %g", direction, i, achieved[i], want)
			}
			if !(low[i] <= excess[i]) {
				t.Errorf("%s: row %d: excess %g, low %g", direction, i, excess[i], low[i])
			}
		}
	}
	if err := (Matched{Direction: "sideways"}).Validate(); err == nil {
		t.Error("an unknown direction passes")
	}
}

// Of texts every token counts: the level within and far beyond by a loop over the losses of the model as it is.
func TestMatchedOnTexts(t *testing.T) {
	b := toyBench(t)
	rows := datasets.RecallStream{Keys: 16, Values: 8, Gap: 4, Seed: 5}
	q := Matched{TrainLength: 8, Times: 4, Direction: "raise", Shifts: []float64{0.01}, Heads: 1, Controls: 1}
	for i := range int64(3) {
		row, _, _ := rows.Sequence(i, 32)
		q.Texts = append(q.Texts, row)
	}
	var inside, far, n, k float64
	_, err := b.plain().Run(context.Background(), q.Texts, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
		for i := range q.Texts {
			for at := p.Start; at < p.Start+p.Tokens && at < 31; at++ {
				loss := float64(p.Loss[i*p.Tokens+at-p.Start])
				switch {
				case at >= 4 && at < 8:
					inside, n = inside+loss, n+1
				case at >= 16:
					far, k = far+loss, k+1
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := q.Run(context.Background(), b, "m", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"inside": inside / n, "far": far / k} {
		v, err := got.Float(name)
		if err != nil || math.Abs(v[0]-want) > 1e-6 {
			t.Errorf("%s is %v, want %g (%v)", name, v, want, err)
		}
	}
	q.Texts[1] = q.Texts[1][:20]
	if err := q.Validate(); err == nil {
		t.Error("a text that is too short passes")
	}
}
