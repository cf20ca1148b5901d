package paper

import (
	"math"
	"testing"

	"stuffed/pkg/table"
)

func TestOverHeads(t *testing.T) {
	in := table.New().AddInt("position", []int64{8, 8, 4, 4}).AddFloat("state_rank", []float64{1, 3, 2, math.NaN()}).AddFloat("memory_rank", []float64{math.NaN(), math.NaN(), 5, 7})
	out, err := OverHeads(in, "state_rank", "memory_rank")
	if err != nil || out.Rows() != 3 {
		t.Fatal(out, err)
	}
	rank, _ := out.Float("rank")
	of, _ := out.Text("of")
	if rank[0] != 2 || rank[1] != 2 || rank[2] != 6 || of[2] != "of what the past can do" {
		t.Error(rank, of)
	}
	if some, err := Finite(in, "state_rank"); err != nil || some.Rows() != 3 {
		t.Error(some, err)
	}
}
