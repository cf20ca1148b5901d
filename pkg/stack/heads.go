package stack

import (
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// Heads splits the last axis of x [batch, tokens, heads · n].
func Heads(x *Node, heads int) *Node {
	d := x.Shape().Dimensions
	return Reshape(x, d[0], d[1], heads, d[2]/heads)
}

// Flat joins the axes of x after the tokens.
func Flat(x *Node) *Node {
	d := x.Shape().Dimensions
	return Reshape(x, d[0], d[1], x.Shape().Size()/(d[0]*d[1]))
}

// Repeat gives each of the heads of x [batch, tokens, heads, n] to so many heads that follow each other.
func Repeat(x *Node, times int) *Node {
	if times == 1 {
		return x
	}
	d := x.Shape().Dimensions
	return Reshape(BroadcastToDims(InsertAxes(x, 3), d[0], d[1], d[2], times, d[3]), d[0], d[1], d[2]*times, d[3])
}

// Weight is a parameter of the layer that broadcasts over x [batch, tokens, …].
func (l *Layer) Weight(name string, x *Node) *Node {
	p := l.Param(name)
	return l.PerRow(p, x.Rank()-p.Rank())
}

// Affine is the linear map with weight name + ".weight" and, where the model has it, bias name + ".bias".
func (l *Layer) Affine(name string, x *Node) *Node {
	y := l.Keep("proj", l.Product(name+".weight", x))
	if l.params[name+".bias"] != nil {
		y = Add(y, l.Weight(name+".bias", y))
	}
	return y
}

// LayerNorm has weight name + ".weight" and, where the model has it, bias name + ".bias".
func (l *Layer) LayerNorm(name string, x *Node, eps float64) *Node {
	return l.layerNorm(l.params, name, x, eps)
}

// LayerNorm is that of parameters outside the layers.
func (b *Batch) LayerNorm(name string, x *Node, eps float64) *Node {
	return b.layerNorm(b.Params, name, x, eps)
}

func (b *Batch) layerNorm(params map[string]*Node, name string, x *Node, eps float64) *Node {
	var bias *Node
	if params[name+".bias"] != nil {
		bias = b.PerRow(params[name+".bias"], x.Rank()-2)
	}
	return LayerNorm(x, b.PerRow(params[name+".weight"], x.Rank()-2), bias, eps)
}
