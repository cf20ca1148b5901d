package intervene_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"stuffed/pkg/intervene"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/xla"
)

// A run that ended after a method, or in its middle, goes on and makes the rest only.
func TestComparisonsResume(t *testing.T) {
	b := initial(t)
	dir := t.TempDir()
	results, sweeps := filepath.Join(dir, "m.parquet"), filepath.Join(dir, "s.csv")
	c := intervene.Compare{Suite: suite(), Methods: []string{"window"}, Choosing: 1}
	models := []intervene.Named{{Name: "small", Bench: b}}
	if err := c.Write(context.Background(), models, results, sweeps, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.Methods = []string{"window", "delta_constant", "rri"}
	err := c.Write(ctx, models, results, sweeps, func(done, _ int) {
		if done == 2+4+7+3 { // within rri
			cancel()
		}
	})
	if err == nil {
		t.Fatal("the run was not interrupted")
	}
	runs := 0
	if err := c.Write(context.Background(), models, results, sweeps, func(int, int) { runs++ }); err != nil {
		t.Fatal(err)
	}
	f, _ := intervene.FindFamily("rri")
	if want := len(f.Grid(8)) + 1; runs != want {
		t.Errorf("%d runs after the interruption, want the %d of rri", runs, want)
	}
	all, err := table.Read(results)
	if err != nil || all.Rows() != 4*3 {
		t.Fatalf("%d rows, %v", all.Rows(), err)
	}
	grid, err := table.Read(sweeps)
	if err != nil || grid.Rows() != (3+6+20)*3 {
		t.Errorf("%d rows of sweeps, %v", grid.Rows(), err)
	}
}

func TestHeadsAreParsed(t *testing.T) {
	heads, top, err := intervene.ParseHeads("0.3, 1.12")
	if err != nil || top != 0 || heads[1] != (intervene.Head{Layer: 1, Head: 12}) {
		t.Error(heads, top, err)
	}
	if _, top, err = intervene.ParseHeads("top:2"); err != nil || top != 2 {
		t.Error(top, err)
	}
	for _, text := range []string{"", "3", "top:0", "a.b", "1.2;3"} {
		if _, _, err := intervene.ParseHeads(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// With a window of T tokens, what happened before the last T tokens of one layer makes no difference, and it does without.
func Example() {
	config := mamba2.Default(16, 1, 32)
	config.HeadDim, config.State = 8, 4
	m, _ := mamba2.New(config)
	w, _ := lm.InitialWeights(m, 1)
	device, _ := xla.Open("go")
	bench, _ := intervene.NewBench(lm.NewRunner(device, w))
	last := func(method intervene.Method, first int32) float64 {
		r, controls, err := bench.Apply(method)
		if err != nil {
			fmt.Println(err)
		}
		row := make([]int32, 40)
		row[0] = first
		loss := 0.0
		_, err = r.Run(context.Background(), [][]int32{row}, nil, lm.Request{Loss: true, Controls: controls}, func(p lm.Piece) error {
			loss = float64(p.Loss[p.Tokens-2])
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
		return loss
	}
	for _, method := range []intervene.Method{{}, {Window: 8}} {
		fmt.Println(method.Window, math.Abs(last(method, 0)-last(method, 5)) > 0)
	}
	// Output:
	// 0 true
	// 8 false
}

// Whatever a method does, it does the same when tokens come one by one; methods that act at the ends of pieces do not.
func TestMethodsAreTheSameTokenByToken(t *testing.T) {
	b, single := initial(t), initial(t)
	single.Runner.Piece = 1
	s := suite()
	s.Multiples, s.Sequences, s.Split = []int{1, 4}, 2, "selection"
	for _, name := range intervene.FamilyNames() {
		if name == "state_norm_chunked" || name == "decimation" {
			continue
		}
		f, err := intervene.FindFamily(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.Method(context.Background(), b, s, f.Grid(8)[0])
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.Run(context.Background(), b, m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Run(context.Background(), single, m)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(got[i].Loss-want[i].Loss) > 1e-5 {
				t.Errorf("%s at %d T: loss %g token by token, %g in pieces", name, want[i].Multiple, got[i].Loss, want[i].Loss)
			}
		}
	}
}

// The grids of factors and thresholds hold a point that leaves the model as it is.
func TestGridsHoldANeutralPoint(t *testing.T) {
	b, s, ctx := initial(t), suite(), context.Background()
	want, err := s.Run(ctx, b, intervene.Method{})
	if err != nil {
		t.Fatal(err)
	}
	for name, neutral := range map[string][]float64{"rri": {1, 1}, "rri_beyond": {1, 1}, "delta_constant": {1}, "filter": {1}} {
		f, err := intervene.FindFamily(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(f.Grid(s.TrainLength), func(p []float64) bool { return slices.Equal(p, neutral) }) {
			t.Errorf("%s: %v is not in its grid", name, neutral)
		}
		m, err := f.Method(ctx, b, s, neutral)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Run(ctx, b, m)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Abs(got[i].Loss-want[i].Loss) > 1e-6 {
				t.Errorf("%s at %v: loss %g, %g without it", name, neutral, got[i].Loss, want[i].Loss)
			}
		}
	}
}
