package train

import (
	"embed"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Loss is the sum over the tokens of every member of weight · −log p(label): [members], for hidden [batch, tokens,
// width], labels int32 and weight ≥ 0 [batch, tokens]; tokens of weight 0 count nothing, whatever their label. The head
// runs in pieces of the sequence, and its gradient is taken with each: the logits of one piece exist at a time, once. With
// front the work ends with the last piece that has a weight.
func Loss(m lm.Model, call lm.Call, hidden, labels, weight *Node, pieces int, front bool) *Node {
	members := max(call.Members, 1)
	b, t, d := hidden.Shape().Dim(0), hidden.Shape().Dim(1), hidden.Shape().Dim(-1)
	in, names := []*Node{hidden}, []string{}
	for _, s := range m.Parameters(members) { // what the head may use
		if !s.Layered {
			names, in = append(names, s.Name), append(in, call.Params[s.Name])
		}
	}
	piece := func(hidden, labels, weight *Node, params []*Node) (loss, dHidden *Node, dParams []*Node) {
		inner := lm.Call{Options: call.Options, Params: map[string]*Node{}}
		for i, n := range names {
			inner.Params[n] = params[i]
		}
		logits := m.Logits(inner, hidden)
		each, dLogits := crossEntropy(logits, labels, weight, call.NoKernels)
		grads := Gradient(ReduceAllSum(Mul(logits, StopGradient(dLogits))), append([]*Node{hidden}, params...)...)
		return ReduceSum(Reshape(each, members, -1), 1), ConvertDType(grads[0], logits.DType()), grads[1:]
	}
	var dHidden *Node
	var dParams []*Node
	return xla.CustomVJP(func(stopped []*Node) []*Node {
		var loss *Node
		if pieces <= 1 {
			leaves := make([]*Node, len(stopped)) // of what is stopped there would be no gradient
			for i, x := range stopped {
				leaves[i] = AddScalar(x, 0)
			}
			loss, dHidden, dParams = piece(leaves[0], labels, weight, leaves[1:])
			return []*Node{loss}
		}
		first := func(x *Node) *Node { // [pieces, batch, tokens / pieces, …]
			rest := x.Shape().Dimensions[2:]
			x = Reshape(x, slices.Concat([]int{b, pieces, t / pieces}, rest)...)
			return TransposeAllAxes(x, []int{1, 0, 2, 3}[:x.Rank()]...)
		}
		carry := []*Node{Zeros(hidden.Graph(), shapes.Make(weight.DType(), members))}
		for _, p := range stopped[1:] {
			carry = append(carry, ZerosLike(p))
		}
		loop := xla.Scan{N: pieces, Infer: true, Unroll: !hidden.Graph().Backend().Capabilities().Operations[compute.OpTypeDynamicUpdateSlice]}
		if front {
			at := Iota(weight.Graph(), shapes.Make(dtypes.Int32, b, t), 1)
			upto := AddScalar(DivScalar(at, t/pieces), 1) // pieces up to this token's
			loop.Steps = ReduceAllMax(Where(GreaterThan(weight, ZerosLike(weight)), upto, ZerosLike(upto)))
		}
		last, ys := loop.Run(carry, []*Node{first(stopped[0]), first(labels), first(weight)}, stopped[1:],
			func(_ *xla.Iter, carry, xs, params []*Node) (next, ys []*Node) {
				loss, dh, dp := piece(xs[0], xs[1], xs[2], params)
				next = []*Node{Add(carry[0], loss)}
				for i, g := range dp {
					next = append(next, Add(carry[1+i], g))
				}
				return next, []*Node{dh}
			})
		dHidden, dParams = Reshape(TransposeAllAxes(ys[0], 1, 0, 2, 3), b, t, d), last[1:]
		return last[:1]
	}, func(v []*Node) []*Node {
		by := func(x *Node) *Node { // x [members × n, …] times the adjoint of its member
			dims := x.Shape().Dimensions
			x = Reshape(ConvertDType(x, v[0].DType()), members, -1)
			return Reshape(Mul(x, InsertAxes(v[0], -1)), dims...)
		}
		grads := []*Node{ConvertDType(by(dHidden), hidden.DType())}
		for _, g := range dParams {
			grads = append(grads, by(g))
		}
		return grads
	}, in...)[0]
}

// The kernel of kernels/loss.py as Triton IR.
//
//go:embed kernels/*.ttir
var texts embed.FS

var kernels = xla.Kernels{FS: texts}

// crossEntropy is weight · −log softmax(logits)[label] in float32 or wider, and its gradient in the logits' dtype.
func crossEntropy(logits, labels, weight *Node, plain bool) (loss, grad *Node) {
	g, dims := logits.Graph(), logits.Shape().Dimensions
	vocab, rows := dims[len(dims)-1], labels.Shape().Size()
	if !plain && logits.DType() == dtypes.BFloat16 && weight.DType() == dtypes.Float32 && xla.HasKernels(g.Backend()) {
		k := kernels.Kernel("cross_entropy")
		k.Grid, k.Warps, k.Stages = [3]int{rows}, 8, 2
		outs := xla.TritonCall(k.Bind(map[string]int{"V": vocab}), []shapes.Shape{weight.Shape(), logits.Shape()}, StopGradient(logits), labels, weight)
		return outs[0], outs[1]
	}
	x := StopGradient(logits)
	if x.DType() == dtypes.BFloat16 {
		x = ConvertDType(x, dtypes.Float32)
	}
	x = Sub(x, ReduceAndKeep(x, ReduceMax, -1))
	e := Exp(x)
	total := ReduceAndKeep(e, ReduceSum, -1)
	hit := Equal(InsertAxes(labels, -1), Iota(g, shapes.Make(dtypes.Int32, dims...), len(dims)-1))
	used := GreaterThan(weight, ZerosLike(weight))
	loss = Sub(Log(Squeeze(total, -1)), ReduceSum(Where(hit, x, ZerosLike(x)), -1))
	loss = Where(used, Mul(loss, weight), ZerosLike(loss))
	grad = Mul(Sub(Div(e, total), ConvertDType(hit, x.DType())), InsertAxes(weight, -1))
	grad = Where(BroadcastToShape(InsertAxes(used, -1), shapes.Make(dtypes.Bool, dims...)), grad, ZerosLike(grad))
	return loss, ConvertDType(grad, logits.DType())
}

// pieces is the smallest divisor of length for which a piece is at most so long and its float32 logits take at most so many bytes.
func pieces(batch, length, most, vocab, bytes int) int {
	for p := 1; p < length; p++ {
		if length%p == 0 && length/p <= most && batch*(length/p)*vocab <= bytes/dtypes.Float32.Size() {
			return p
		}
	}
	return length
}

// fewAnswers is how many answers of each row the head works on at once at most, if it works on them in turn.
const fewAnswers = 16

// atOnce is how many of so many answers of each row the head works on at once: a row that has fewer leaves the other pieces out. Where
// pieces would be shorter than half of fewAnswers, it is all of them.
func atOnce(answers int) int {
	for n := min(answers, fewAnswers); n >= fewAnswers/2; n-- {
		if answers%n == 0 {
			return n
		}
	}
	return answers
}
