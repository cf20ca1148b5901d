package train

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// limited is the model whose state norms are limited as the configuration says.
func (c Config) limited(m lm.Model) (lm.Model, error) {
	return lm.VariantOf(m, lm.Variant{NormEvery: c.NormLimit.Every})
}

// limits are the controls of a limited model, nil of another. They begin with the states that a limit acts on.
func (p *program) limits(g *Graph) map[string]*Node {
	if p.config.NormLimit.Every == 0 {
		return nil
	}
	heads, _, _ := lm.Matrices(p.model)
	return map[string]*Node{"norm_limit": MulScalar(Ones(g, shapes.Make(p.dtype, p.model.Layers(), heads)), p.config.NormLimit.Norm)}
}

// Reader is how a model trained with the configuration is to be read: the weights of its variant, and controls for requests (nil
// without a limit).
func (c Config) Reader(w *lm.Weights) (*lm.Weights, map[string]*tensors.Tensor, error) {
	if c.NormLimit.Every == 0 {
		return w, nil, nil
	}
	m, err := c.limited(w.Model)
	if err != nil {
		return nil, nil, err
	}
	own := *w
	own.Model = m
	heads, _, _ := lm.Matrices(m)
	values := make([]float64, m.Layers()*heads)
	for i := range values {
		values[i] = c.NormLimit.Norm
	}
	dtype := w.Values[0].DType()
	if dtype != dtypes.Float64 {
		dtype = dtypes.Float32
	}
	limit, err := lm.FromFloat64s(values, dtype, m.Layers(), heads)
	return &own, map[string]*tensors.Tensor{"norm_limit": limit}, err
}
