package train

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
)

// perMember reshapes x [members] so that it multiplies a parameter.
func perMember(x *Node, s lm.Spec) *Node {
	dims := make([]int, len(s.Dims))
	for i := range dims {
		dims[i] = 1
	}
	axis := 0
	if s.Layered {
		axis = 1
	}
	dims[axis] = x.Shape().Dim(0)
	return Reshape(x, dims...)
}

// squares sums the squares of a parameter's entries by member and, of layered ones, by layer: [layers, members] or
// [1, members].
func squares(x *Node, s lm.Spec) *Node {
	if !s.Layered {
		x = InsertAxes(x, 0)
	}
	x = Square(x)
	for x.Rank() > 2 { // axis by axis: one long sum in float32 loses digits
		x = ReduceSum(x, -1)
	}
	return x
}

// norms are ‖x‖ of all parameters [members], and of the layered ones by layer [layers, members].
func norms(xs []*Node, specs []lm.Spec) (all, byLayer *Node) {
	var top *Node
	for i, s := range specs {
		q := squares(xs[i], s)
		if s.Layered {
			byLayer = plus(byLayer, q)
		} else {
			top = plus(top, Squeeze(q, 0))
		}
	}
	all = plus(top, ReduceSum(byLayer, 0))
	return Sqrt(all), Sqrt(byLayer)
}

func plus(a, b *Node) *Node {
	if a == nil {
		return b
	}
	return Add(a, b)
}

// adam is one step of AdamW for parameters p with moments m and v. ok [members] is false where nothing changes; rate,
// scale and count [members] are the learning rate, the factor of the clip and the number of this step from 1.
func (c Config) adam(p, m, v, g *Node, s lm.Spec, ok, rate, scale, count *Node) (p1, m1, v1 *Node) {
	dtype := p.DType()
	of := func(x *Node) *Node { return perMember(ConvertDType(x, dtype), s) }
	g = Mul(g, of(scale))
	m1 = Add(MulScalar(m, c.Beta1), MulScalar(g, 1-c.Beta1))
	v1 = Add(MulScalar(v, c.Beta2), MulScalar(Square(g), 1-c.Beta2))
	correct := func(beta float64) *Node { return OneMinus(Pow(Scalar(p.Graph(), dtype, beta), of(count))) }
	step := Div(Div(m1, correct(c.Beta1)), AddScalar(Sqrt(Div(v1, correct(c.Beta2))), c.Eps))
	p1 = p
	if (s.Decay || c.DecayAll) && c.WeightDecay > 0 {
		p1 = Mul(p, OneMinus(MulScalar(of(rate), c.WeightDecay)))
	}
	p1 = Sub(p1, Mul(step, of(rate)))
	mask := BroadcastToShape(perMember(ok, s), shapes.Make(dtypes.Bool, p.Shape().Dimensions...))
	return Where(mask, p1, p), Where(mask, m1, m), Where(mask, v1, v)
}
