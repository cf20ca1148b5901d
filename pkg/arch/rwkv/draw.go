package rwkv

import (
	"math"
	"math/rand/v2"
	"strings"

	"stuffed/pkg/lm"
)

// Entry locates one number of a parameter.
type Entry struct {
	Name         string
	Layer, I     int     // layer and place in the layer's tensor
	Depth, Place float64 // of the layer: 0 … 1 from the first to the last; of the channel: 0 … below 1
	Rest         float64 // 1 in the first layer, 1/layers in the last
}

// Initial draws the parameters as BlinkDL's training code does, with normal numbers of the same variance for orthogonal
// matrices; special draws those of the time mix and of mixing vectors, and says so.
func (o Outline) Initial(specs []lm.Spec, seed uint64, special func(e Entry, r *rand.Rand) (float64, bool)) map[string][]float32 {
	values := map[string][]float32{}
	for i, s := range specs {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := make([]float32, s.Size())
		layers := 1
		if s.Layered {
			layers = o.Layers
		}
		size, width := len(v)/layers, s.Dims[len(s.Dims)-1]
		for j := range v {
			layer := j / size
			e := Entry{Name: s.Name, Layer: layer, I: j % size, Depth: float64(layer) / math.Max(float64(layers-1), 1),
				Place: float64(j%width) / float64(width), Rest: 1 - float64(layer)/float64(layers)}
			x, ok := special(e, r)
			if !ok {
				x = o.draw(s, r)
			}
			v[j] = float32(x)
		}
		values[s.Name] = v
	}
	return values
}

// draw returns the initial value of an entry of a parameter outside the time mix, or of a projection.
func (o Outline) draw(s lm.Spec, r *rand.Rand) float64 {
	in := float64(s.Dims[len(s.Dims)-1])
	switch {
	case s.Name == Embedding:
		return (2*r.Float64() - 1) * 1e-4
	case s.Name == Head:
		return r.NormFloat64() * 0.5 / math.Sqrt(in)
	case s.Name == "feed_forward.value.weight", s.Name == "feed_forward.receptance.weight", s.Name == "attention.output.weight":
		return 0 // a new block adds nothing
	case s.Role == lm.Matrix:
		return r.NormFloat64() / math.Sqrt(in)
	case strings.HasSuffix(s.Name, ".weight"):
		return 1
	}
	return 0
}
