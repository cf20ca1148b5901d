package trace_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/arch/toy"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

// State statistics of an architecture with the key axis before the value axis, a decay per key and two recurrent tensors, against the
// definition.
func TestStatesOfAnotherArchitecture(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := toy.Config{Layers: 2, Width: 6, Heads: 2, Keys: 4, Values: 3, Vocab: 16}
	m := toy.Model{Config: c}
	values := m.Initial(5)
	params := map[string][]float64{}
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
		for i, x := range values[s.Name] {
			params[s.Name] = append(params[s.Name], float64(x)*(1+0.1*float64(i%3)))
		}
		return params[s.Name], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ids := []int32{3, 1, 4, 1, 5, 9, 2, 6}
	for state, size := range map[string]int{"memory": c.Keys * c.Values, "normaliser": c.Keys} {
		config := trace.Config{Bucket: 1, State: state, Columns: []string{"norm", "absmax", "mean"}, Entries: []trace.Entry{{Head: 1, State: 2}}}
		if state == "memory" {
			config.Entries[0].Channel = 1
		}
		r := lm.NewRunner(d, w)
		r.Piece = 4
		got, err := trace.Collect(context.Background(), r, []prompt.Probe{{Name: "p", IDs: ids}}, config)
		if err != nil {
			t.Fatal(err)
		}
		for n := range ids {
			_, all := c.Naive(params, ids[:n+1])
			for row := range c.Layers * c.Heads { // [layers, heads, …]
				own := all[state][row*size:][:size]
				sum, squares, top := 0.0, 0.0, 0.0
				for _, v := range own {
					sum, squares, top = sum+v, squares+v*v, max(top, math.Abs(v))
				}
				at := n*c.Layers*c.Heads + row
				for column, want := range map[string]float64{"norm": math.Sqrt(squares), "absmax": top, "mean": sum / float64(size)} {
					same(t, fmt.Sprintf("%s of %s, token %d, row %d", column, state, n, row), got[trace.States], column, at, want)
				}
			}
			for l := range c.Layers {
				e := 2 // of the normaliser: its key index
				if state == "memory" {
					e = 2*c.Values + 1 // the key axis comes first
				}
				same(t, fmt.Sprint("entry of ", state), got[trace.Entries], "value", n*c.Layers+l, all[state][(l*c.Heads+1)*size+e])
			}
		}
	}
}

func same(t *testing.T, label string, from *table.Table, column string, row int, want float64) {
	t.Helper()
	v, err := from.Float(column)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(v[row]-want) > 1e-9*(1+math.Abs(want)) {
		t.Errorf("%s is %g, want %g", label, v[row], want)
	}
}
