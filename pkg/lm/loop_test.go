package lm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// A loop by names takes what its body puts in any order; what is missing or put under a name twice is refused with the name.
func TestLoopByNames(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	body := func(_ *xla.Iter, in lm.In, next, ys *lm.Out) {
		count := graph.AddScalar(in.Node("count"), 1)
		ys.Put("count after", count)
		next.Put("sum", graph.Add(in.Node("sum"), graph.Mul(in.Node("x"), in.Node("factor"))))
		next.Put("count", count)
	}
	run := func(x []float32, rename string, body lm.LoopBody) (lm.Results, error) {
		args := (&lm.Args{}).Put("x", x).Put("sum", float32(1)).Put("count", float32(0)).Put("factor", float32(10))
		p := lm.NewProgram(d, "loop", args, func(in lm.In, out *lm.Out) {
			var carry, xs, consts lm.Out
			carry.PutAll([]string{"count", "sum"}, in.Nodes([]string{"count", "sum"}))
			xs.Put("x", in.Node("x"))
			consts.Put(rename, in.Node("factor"))
			last, stacked := lm.Loop(xla.Scan{N: len(x), Infer: true}, carry, xs, consts, body)
			out.Put("sum", last.Node("sum"))
			out.Put("counts", stacked.Node("count after"))
		})
		defer p.Release()
		return p.Call(args)
	}
	r, err := run([]float32{1, 2, 4}, "factor", body)
	if err != nil {
		t.Fatal(err)
	}
	if got := r["sum"].Value().(float32); got != 71 {
		t.Errorf("sum %v, want 1 + 10 (1 + 2 + 4)", got)
	}
	if got := r["counts"].Value().([]float32); !slices.Equal(got, []float32{1, 2, 3}) {
		t.Errorf("counts %v", got)
	}
	if _, err := run([]float32{1}, "sum", body); err == nil || !strings.Contains(err.Error(), `two nodes of a graph are called "sum"`) {
		t.Error(err)
	}
	forgets := func(_ *xla.Iter, in lm.In, next, _ *lm.Out) { next.Put("count", in.Node("count")) }
	if _, err := run([]float32{1}, "factor", forgets); err == nil || !strings.Contains(err.Error(), `does not put "sum"`) {
		t.Error(err)
	}
}
