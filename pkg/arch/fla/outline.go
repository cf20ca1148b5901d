// Package fla is what models in the layout of flash-linear-attention share (fla-org/flash-linear-attention, fla/models):
// blocks of a mixer and a gated MLP, each behind an RMSNorm,
//
//	r ← r + mixer(norm(r))      r ← r + W_down(SiLU(W_gate x) ⊙ W_up x),  x = norm(r)
//
// with their parameters' names, config.json and initialisation.
package fla

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/pkg/stack"
)

// Outline is the common part of a configuration; the JSON names are those of config.json.
type Outline struct {
	Layers       int     `json:"num_hidden_layers"`
	Width        int     `json:"hidden_size"`
	Vocab        int     `json:"vocab_size"`
	Ratio        float64 `json:"hidden_ratio"`      // of the MLP, where Intermediate is 0
	Intermediate int     `json:"intermediate_size"` // 0 (null): ⌊2/3 · ratio · width⌋ rounded up to a multiple of 256
	Eps          float64 `json:"norm_eps"`
	Tied         bool    `json:"tie_word_embeddings"`
	InitRange    float64 `json:"initializer_range"` // standard deviation of matrices and embeddings at initialisation
	Chunk        int     `json:"chunk"`             // tokens per chunk of the recurrence, a power of two
}

// Default returns an outline of the given size.
func Default(width, layers, vocab int) Outline {
	return Outline{Layers: layers, Width: width, Vocab: vocab, Ratio: 4, Eps: 1e-6, InitRange: 0.02, Chunk: 64}
}

// Inner is the width of the MLP.
func (o Outline) Inner() int {
	if o.Intermediate > 0 {
		return o.Intermediate
	}
	return (int(float64(o.Width)*o.Ratio*2/3) + 255) / 256 * 256
}

// Validate returns an error that names the first field out of range.
func (o Outline) Validate() error {
	err := Ranges(Range{"num_hidden_layers", o.Layers, 1, 512}, Range{"hidden_size", o.Width, 1, 65536}, Range{"vocab_size", o.Vocab, 2, 1 << 20},
		Range{"intermediate_size", o.Inner(), 1, 1 << 20}, Range{"chunk", o.Chunk, 1, 4096})
	switch {
	case err != nil:
		return err
	case o.Chunk&(o.Chunk-1) != 0:
		return fmt.Errorf("config: chunk = %d must be a power of two", o.Chunk)
	case !(o.Eps > 0 && o.Eps < 1):
		return fmt.Errorf("config: norm_eps = %g is outside (0, 1)", o.Eps)
	case !(o.InitRange > 0 && o.InitRange < 10):
		return fmt.Errorf("config: initializer_range = %g is outside (0, 10)", o.InitRange)
	}
	return nil
}

// Range is a field and its allowed range.
type Range struct {
	Name          string
	Value, Lo, Hi int
}

// Ranges returns an error that names the first field out of range.
func Ranges(all ...Range) error {
	for _, r := range all {
		if r.Value < r.Lo || r.Value > r.Hi {
			return fmt.Errorf("config: %s = %d is outside %d … %d", r.Name, r.Value, r.Lo, r.Hi)
		}
	}
	return nil
}

// Names of the parameters outside the layers.
const (
	Embedding = "model.embeddings.weight"
	Norm      = "model.norm.weight"
	Head      = "lm_head.weight"
)

// Parameters are those around a mixer's, which are given without the axes of layers and members.
func (o Outline) Parameters(members int, mixer []lm.Spec) []lm.Spec {
	top := func(name string, role lm.Role, dims ...int) lm.Spec {
		return lm.Spec{Name: name, Role: role, Dims: append([]int{members}, dims...), Decay: role != ""}
	}
	inner := append([]lm.Spec{{Name: "attn_norm.weight", Dims: []int{o.Width}}}, mixer...)
	inner = append(inner, lm.Spec{Name: "mlp_norm.weight", Dims: []int{o.Width}}, Matrix("mlp.gate_proj", o.Inner(), o.Width),
		Matrix("mlp.up_proj", o.Inner(), o.Width), Matrix("mlp.down_proj", o.Width, o.Inner()))
	specs := []lm.Spec{top(Embedding, lm.Embedding, o.Vocab, o.Width)}
	for _, s := range inner {
		s.Dims, s.Layered, s.Decay = append([]int{o.Layers, members}, s.Dims...), true, s.Role != ""
		specs = append(specs, s)
	}
	specs = append(specs, top(Norm, "", o.Width))
	if !o.Tied {
		specs = append(specs, top(Head, lm.Head, o.Vocab, o.Width))
	}
	return specs
}

// Matrix returns the spec of a projection's weight.
func Matrix(name string, out, in int) lm.Spec {
	return lm.Spec{Name: name + ".weight", Role: lm.Matrix, Dims: []int{out, in}}
}

// Filter returns the spec of a short convolution's weight.
func Filter(name string, channels, taps int) lm.Spec {
	return lm.Spec{Name: name + ".weight", Role: lm.Filter, Dims: []int{channels, taps}}
}

// Vector returns the spec of a parameter that is not a matrix.
func Vector(name string, dims ...int) lm.Spec { return lm.Spec{Name: name, Dims: dims} }

// Stack builds the layers of a model.
func (o Outline) Stack(m lm.Model, block func(l *stack.Layer, r *Node) *Node) stack.Layers {
	return stack.Layers{Model: m, Block: block, Leave: func(b *stack.Batch, r *Node) *Node {
		return stack.RMSNorm(r, b.PerRow(b.Params[Norm], 1), o.Eps)
	}}
}

// Block builds one layer around a mixer.
func (o Outline) Block(l *stack.Layer, r *Node, mixer func(x *Node) *Node) *Node {
	out := mixer(stack.RMSNorm(r, l.Weight("attn_norm.weight", r), o.Eps))
	l.Probe("mixer_out", func() *Node { return out })
	r = Add(r, out)
	x := stack.RMSNorm(r, l.Weight("mlp_norm.weight", r), o.Eps)
	return Add(r, l.Affine("mlp.down_proj", Mul(stack.SiLU(l.Affine("mlp.gate_proj", x)), l.Affine("mlp.up_proj", x))))
}

// Initial draws the parameters: matrices, filters and embeddings N(0, range²), norms 1, other vectors as special says, else 0.
func Initial(specs []lm.Spec, deviation float64, seed uint64, special func(name string, r *rand.Rand) func() float64) map[string][]float32 {
	values := map[string][]float32{}
	for i, s := range specs {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		draw := special(s.Name, r)
		switch {
		case draw != nil:
		case s.Role != "":
			draw = func() float64 { return r.NormFloat64() * deviation }
		case isNorm(s.Name):
			draw = func() float64 { return 1 }
		default:
			draw = func() float64 { return 0 }
		}
		v := make([]float32, s.Size())
		for j := range v {
			v[j] = float32(draw())
		}
		values[s.Name] = v
	}
	return values
}

// InverseSoftplus draws b with softplus(b) log-uniform in [1e-3, 0.1].
func InverseSoftplus(r *rand.Rand) float64 {
	dt := math.Exp(math.Log(1e-3) + r.Float64()*(math.Log(0.1)-math.Log(1e-3)))
	return dt + math.Log(-math.Expm1(-dt))
}

func isNorm(name string) bool {
	return slices.ContainsFunc([]string{"norm.weight", "norm_swish_gate.weight", "layernorm.weight", "layer_norm.weight"}, func(end string) bool {
		return len(name) >= len(end) && name[len(name)-len(end):] == end
	})
}

// FromKeys overwrites defaults, through a pointer to a configuration, with the keys of config.json. Values that the models here do not
// support are an error; unknown keys are ignored.
func FromKeys(keys map[string]any, into any) error {
	for key, kinds := range map[string]string{"attn": "layers of attention", "attnres_block_size": "residual attention"} {
		if v := keys[key]; v != nil {
			return fmt.Errorf("config: %s = %v: layers of one kind only, not %s among them", key, v, kinds)
		}
	}
	if act, given := keys["hidden_act"]; given && act != "swish" && act != "silu" {
		return fmt.Errorf("config: hidden_act = %v must be swish", act)
	}
	return lm.ReadKeys(keys, into)
}

// Keys returns the content of config.json for a configuration.
func Keys(c any, kind, class string) (map[string]any, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	keys := map[string]any{}
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, err
	}
	delete(keys, "chunk")
	for _, name := range []string{"intermediate_size", "num_v_heads", "lower_bound"} { // 0 here is null there
		if keys[name] == 0.0 {
			keys[name] = nil
		}
	}
	keys["model_type"], keys["architectures"], keys["hidden_act"], keys["dtype"] = kind, []string{class}, "swish", "float32"
	return keys, nil
}

// References maps reference tensors to probes.
var References = map[string]string{"hidden.layers": lm.Residual, "stats.mean": lm.Sum, "stats.var": lm.Squares, "stats.log_decay": lm.LogAlpha, "stats.beta": lm.Delta}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1).
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	if dims = s.Dims[2:]; s.Role == lm.Filter {
		dims = []int{dims[0], 1, dims[1]}
	}
	return fmt.Sprintf("model.layers.%d.%s", layer, s.Name), dims
}
