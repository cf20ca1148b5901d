package train

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

// mix is the finaliser of MurmurHash3, a bijection of 32 bits.
func mix(x *Node) *Node {
	x = Mul(BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, 16)), Scalar(x.Graph(), dtypes.Uint32, 0x85ebca6b))
	x = Mul(BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, 13)), Scalar(x.Graph(), dtypes.Uint32, 0xc2b2ae35))
	return BitwiseXor(x, BitwiseShiftRightLogicalScalar(x, 16))
}

// normal is standard normal noise (Box and Muller) of shape [layers, members × rows, rest…]: a pure function of the
// member's seed, the clock (int32 scalar) and the place inside the member, so that it is the same alone and among others. Of all rows
// of a member those from first (uint32 scalar, nil for 0) on are made, so that it is the same on one device and on several.
func normal(g *Graph, seeds []int64, clock *Node, dtype dtypes.DType, dims []int, first *Node, all int) *Node {
	layers, rest := dims[0], dims[2:]
	rows, size := dims[1]/len(seeds), 1
	for _, d := range rest {
		size *= d
	}
	keys := make([]uint32, len(seeds))
	for i, s := range seeds {
		keys[i] = uint32(s) ^ uint32(s>>32)*0x9e3779b9
	}
	key := mix(Add(mix(Const(g, keys)), ConvertDType(clock, dtypes.Uint32))) // [members]
	key = Reshape(key, 1, len(seeds), 1, 1)
	axis := func(i, scale int) *Node {
		return Mul(Iota(g, shapes.Make(dtypes.Uint32, layers, len(seeds), rows, size), i), Scalar(g, dtypes.Uint32, uint32(scale)))
	}
	place := Add(Add(axis(0, all*size), axis(2, size)), axis(3, 1))
	if first != nil {
		place = Add(place, MulScalar(first, size))
	}
	uniform := func(salt uint32) *Node { // (0, 1)
		u := mix(Add(mix(BitwiseXor(place, BroadcastToShape(mix(AddScalar(key, float64(salt))), place.Shape()))), BroadcastToShape(key, place.Shape())))
		u = ConvertDType(BitwiseShiftRightLogicalScalar(u, 8), dtypes.Float32) // 24 bits: exact
		return MulScalar(AddScalar(u, 0.5), 1.0/(1<<24))
	}
	r := Sqrt(MulScalar(Log(uniform(1)), -2))
	n := Mul(r, Cos(MulScalar(uniform(2), 2*math.Pi)))
	return Reshape(ConvertDType(n, dtype), dims...)
}
