package stack

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// embed looks tokens up, member by member: [batch, tokens, width].
func (b *Batch) embed(table, tokens *Node) *Node {
	v, d := table.Shape().Dim(1), table.Shape().Dim(2)
	if b.Members > 1 {
		offset := MulScalar(Iota(table.Graph(), shapes.Make(dtypes.Int32, b.Members, b.Rows/b.Members, b.Tokens), 0), v)
		tokens = Add(tokens, Reshape(offset, b.Rows, b.Tokens))
	}
	return Gather(Reshape(table, b.Members*v, d), InsertAxes(tokens, -1))
}

// Linear is x Wᵀ in a dtype: x [batch, tokens, in], w [members, out, in].
func (b *Batch) Linear(x, w *Node, out dtypes.DType) *Node {
	dims := x.Shape().Dimensions
	rows, in, width := dims[0]*dims[1], dims[2], w.Shape().Dim(1)
	if b.Members == 1 {
		y := Dot(Reshape(x, rows, in), Reshape(w, width, in)).WithOutputDType(out).General([]int{1}, nil, []int{1}, nil)
		return Reshape(y, dims[0], dims[1], width)
	}
	x = Reshape(x, b.Members, rows/b.Members, in)
	y := Dot(x, w).WithOutputDType(out).General([]int{2}, []int{0}, []int{2}, []int{0})
	return Reshape(y, dims[0], dims[1], width)
}

// PerRow turns a parameter [members, n…] into [batch or 1, 1 × axes, n…], which broadcasts over tokens.
func (b *Batch) PerRow(p *Node, axes int) *Node {
	dims := p.Shape().Dimensions
	ones := make([]int, axes)
	for i := range ones {
		ones[i] = 1
	}
	if b.Members == 1 {
		return Reshape(p, append(append([]int{1}, ones...), dims[1:]...)...)
	}
	p = BroadcastToDims(InsertAxes(p, 1), append([]int{b.Members, b.Rows / b.Members}, dims[1:]...)...)
	return Reshape(p, append(append([]int{b.Rows}, ones...), dims[1:]...)...)
}

// RMSNorm is x / √(mean x² + eps) · w over the last axis, w [batch or 1, …] or nil for 1.
func RMSNorm(x, w *Node, eps float64) *Node {
	mean := ReduceAndKeep(Square(x), ReduceMean, -1)
	x = Mul(x, Rsqrt(AddScalar(mean, eps)))
	if w == nil {
		return x
	}
	return Mul(x, w)
}

// LayerNorm is (x − mean) / √(variance + eps) · w + bias over the last axis; w and bias may be nil.
func LayerNorm(x, w, bias *Node, eps float64) *Node {
	x = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	if x = RMSNorm(x, w, eps); bias != nil {
		x = Add(x, bias)
	}
	return x
}

// SiLU is x σ(x).
func SiLU(x *Node) *Node { return Mul(x, Sigmoid(x)) }

// Product is the linear map of a matrix of the layer, in the dtype of the gates.
func (l *Layer) Product(name string, x *Node) *Node {
	return l.Linear(ConvertDType(x, l.Products), l.Param(name), l.Gate)
}

// Norm is RMSNorm with a weight of the layer [members, width].
func (l *Layer) Norm(name string, x *Node, eps float64) *Node {
	return RMSNorm(x, l.PerRow(l.Param(name), 1), eps)
}

// Real sets padding to 0: x [batch, tokens, …].
func (l *Layer) Real(x *Node) *Node {
	if l.Length == nil {
		return x
	}
	real := LessThan(Iota(x.Graph(), shapes.Make(dtypes.Int32, x.Shape().Dimensions...), 1), l.Length)
	return Where(real, x, ZerosLike(x))
}
