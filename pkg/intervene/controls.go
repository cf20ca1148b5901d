package intervene

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// Controls are the inputs of a call as host values, by name. Every device gets tensors of its own.
type Controls struct {
	floats map[string]values[float64]
	index  map[string]values[int32]
}

type values[T any] struct {
	flat []T
	dims []int
}

// Compile turns the plan into controls of the model. Plans of the same kinds, with positions or without, compile to the
// same names and shapes, so that another dose or other heads reuse the compiled graph.
func (p Plan) Compile(m lm.Model) (Controls, error) {
	c := Controls{map[string]values[float64]{}, map[string]values[int32]{}}
	if err := p.Validate(m); err != nil {
		return c, err
	}
	for _, v := range p {
		for i, name := range kinds[v.Kind].controls() {
			spec, err := lm.ControlOf(m, name)
			if err != nil {
				return c, err
			}
			bound := []*float64{v.Low, v.High}[i]
			c.set(m, v, spec, bound)
			if v.From > 0 || v.Until > 0 {
				c.position(m, v, spec, lm.From, 0, v.From)
				c.position(m, v, spec, lm.Until, math.MaxInt32, v.Until)
			}
		}
	}
	return c, nil
}

// set writes the values of one intervention into one control, which begins neutral.
func (c Controls) set(m lm.Model, v Intervention, spec lm.Control, bound *float64) {
	units, width := spec.Dims[0], 1
	for _, d := range spec.Dims[1:] {
		width *= d
	}
	dims := append([]int{m.Layers()}, spec.Dims...)
	if spec.Integer {
		at, begun := c.index[spec.Name]
		if !begun {
			at = values[int32]{make([]int32, m.Layers()*units), dims}
			for i := range at.flat {
				at.flat[i] = int32(i % units)
			}
			c.index[spec.Name] = at
		}
		for i, h := range v.Heads {
			at.flat[h.Layer*units+h.Head], at.flat[h.Layer*units+v.With[i].Head] = int32(v.With[i].Head), int32(h.Head)
		}
		return
	}
	at, begun := c.floats[spec.Name]
	if !begun {
		at = values[float64]{make([]float64, m.Layers()*units*width), dims}
		for i := range at.flat {
			at.flat[i] = spec.Neutral
		}
		c.floats[spec.Name] = at
	}
	for i, h := range v.heads(m) {
		for w := range width {
			x := v.Value
			if len(v.Values) > 0 {
				x = v.Values[i*width+w]
			}
			to := &at.flat[(h.Layer*units+h.Head)*width+w]
			switch {
			case v.Kind == "alpha_clamp" || v.Kind == "delta_clamp":
				if bound == nil {
					continue
				}
				if *to = *bound; v.Kind == "alpha_clamp" {
					*to = math.Log(*bound)
				}
			case v.Kind == "alpha_scale":
				if x != 1 { // log 1 is +0, and only −0 is neutral
					*to += math.Log(x)
				}
			case v.Kind == "dt_shift":
				if x != 0 {
					*to += x
				}
			case kinds[v.Kind].compose:
				*to *= x
			default:
				*to = x
			}
		}
	}
}

// position writes where an intervention acts.
func (c Controls) position(m lm.Model, v Intervention, spec lm.Control, suffix string, neutral int32, position int) {
	name, units := spec.Name+suffix, spec.Dims[0]
	at, begun := c.index[name]
	if !begun {
		at = values[int32]{make([]int32, m.Layers()*units), []int{m.Layers(), units}}
		for i := range at.flat {
			at.flat[i] = neutral
		}
		c.index[name] = at
	}
	if suffix == lm.Until && position == 0 {
		return
	}
	for _, h := range append(slices.Clone(v.heads(m)), v.With...) {
		at.flat[h.Layer*units+h.Head] = int32(min(position, math.MaxInt32))
	}
}

// Tensors are the controls for lm.Request, floats in the dtype of the weights.
func (c Controls) Tensors(dtype dtypes.DType) (map[string]*tensors.Tensor, error) {
	out := map[string]*tensors.Tensor{}
	for name, v := range c.floats {
		switch dtype {
		case dtypes.Float64:
			out[name] = tensors.FromFlatDataAndDimensions(slices.Clone(v.flat), v.dims...)
		case dtypes.Float32:
			narrow := make([]float32, len(v.flat))
			for i, x := range v.flat {
				narrow[i] = float32(x)
			}
			out[name] = tensors.FromFlatDataAndDimensions(narrow, v.dims...)
		default:
			return nil, fmt.Errorf("controls in %s: weights must be float32 or float64", dtype)
		}
	}
	for name, v := range c.index {
		out[name] = tensors.FromFlatDataAndDimensions(slices.Clone(v.flat), v.dims...)
	}
	return out, nil
}

// Names are the controls that are given, sorted.
func (c Controls) Names() []string {
	var names []string
	for name := range c.floats {
		names = append(names, name)
	}
	for name := range c.index {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
