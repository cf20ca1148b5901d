package bench

import (
	"fmt"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Prefill times one call that reads a prompt and gives the state and the last token's logits, and its compilation.
func Prefill(d *xla.Device, name string, w *lm.Weights, options lm.Options, batch, tokens, runs int) []Row {
	options.Infer = true
	shape := fmt.Sprintf("%s B%d T%d %s", name, batch, tokens, products(options))
	compile, row := Row{Work: "compile", Shape: "prefill " + shape, Unit: "s", Runs: 1}, Row{Work: "prefill", Shape: shape}
	ids := make([]int32, batch*tokens)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % w.Model.Vocab())
	}
	prompt := tensors.FromFlatDataAndDimensions(ids, batch, tokens)
	state := lm.ZeroState(w.Model, batch, dtypes.Float32)
	e := graph.MustNewExec(d.Backend, func(in []*graph.Node) []*graph.Node {
		params, in := w.Nodes(in)
		call := lm.Call{Params: params, Tokens: in[0], State: in[1:], Options: options}
		out := w.Model.Forward(call)
		last := graph.SliceAxis(out.Hidden, 1, graph.AxisRangeToEnd(tokens-1))
		return append([]*graph.Node{w.Model.Logits(call, last)}, out.State...)
	})
	args := w.Args(prompt)
	for _, s := range state {
		args = append(args, s)
	}
	call := func() error {
		outs, err := e.Call(args...)
		for _, o := range outs {
			o.MustFinalizeAll()
		}
		return err
	}
	start := time.Now()
	if err := guarded(call); err != nil {
		compile.Error, row.Error = err.Error(), err.Error()
		return []Row{compile, row}
	}
	compile = compile.once(time.Since(start).Seconds())
	return []Row{compile, guard(row, func() Row { return rates(row, runs, float64(batch*tokens), call) })}
}

// products names the dtype of the products.
func products(o lm.Options) string {
	if o.Compute == dtypes.BFloat16 {
		return "bf16"
	}
	return "f32"
}

func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}
