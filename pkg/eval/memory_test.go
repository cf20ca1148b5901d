package eval

import (
	"context"
	"math"
	"testing"
)

// Gaps and EffRem agree with separate runs over every prefix.
func TestMemoryIsThatOfPrefixes(t *testing.T) {
	runner, rows := toyRunner(t, 1, 2, 32)
	ctx, T := context.Background(), 8
	got, slope, err := Memory{T: T}.Gaps(ctx, runner, rows)
	if err != nil {
		t.Fatal(err)
	}
	last := func(row []int32) []float64 { // loss of the token after row[:n−1], starting from an empty state at its first token
		l, err := losses(ctx, runner, [][]int32{row})
		if err != nil {
			t.Fatal(err)
		}
		return l[0]
	}
	sum, n := map[int]float64{}, map[int]float64{}
	for _, row := range rows {
		for at := T / 2; at < 31; at++ {
			if at%4 == 3 {
				continue
			}
			from := (at/4 - 1) * 4
			gap := last(row[:at+2])[at] - last(row[from : at+2])[at-from]
			b := 0
			for edge, k := T, 1; edge <= at; edge, k = edge*2, k+1 {
				b = k
			}
			sum[b], n[b] = sum[b]+gap, n[b]+1
		}
	}
	gap, _ := got.Float("gap")
	for b := range gap {
		if want := sum[b] / n[b]; math.Abs(gap[b]-want) > 1e-5 {
			t.Errorf("bucket %d: gap %g, want %g", b, gap[b], want)
		}
	}
	if math.Abs(gap[0]) > 1e-6 && len(gap) != 3 {
		t.Errorf("gaps %v", gap)
	}
	loss, _ := got.Float("loss") // octaves starting at 8 and at 16
	if want := loss[2] - loss[1]; math.Abs(slope.Value-want) > 1e-9 || !(slope.Low <= want && want <= slope.High) {
		t.Errorf("slope %v, want %g", slope, want)
	}
	odd, _, err := Memory{T: T, Counts: func(row, at int) bool { return at == 21 }}.Gaps(ctx, runner, rows)
	if err != nil {
		t.Fatal(err)
	}
	if some, _ := odd.Float("loss"); math.Abs(some[2]-(last(rows[0][:22])[20]+last(rows[1][:22])[20])/2) > 1e-5 {
		t.Errorf("of one token: %v", some)
	}
	eff, err := Memory{Starts: []int{1, 30, 31}}.EffRem(ctx, runner, rows)
	if err != nil {
		t.Fatal(err)
	}
	distance, _ := eff.Float("distance")
	for _, v := range distance {
		if !(v >= 0 && v <= 1) {
			t.Errorf("distances %v", distance)
		}
	}
	if !(distance[0] < distance[2]) {
		t.Errorf("leaving out one token moves the prediction by %g, leaving out all but one by %g", distance[0], distance[2])
	}
	if _, _, err := (Memory{T: 64}).Gaps(ctx, runner, rows); err == nil {
		t.Error("rows shorter than 2 T pass")
	}
	if _, err := (Memory{Starts: []int{40}}).EffRem(ctx, runner, rows); err == nil {
		t.Error("a start beyond the rows passes")
	}
}
