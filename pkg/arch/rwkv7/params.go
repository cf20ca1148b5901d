package rwkv7

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/pkg/arch/fla"
	"stuffed/pkg/lm"
)

// Names of the parameters outside the layers.
const (
	embedding = "model.embeddings.weight"
	preNorm   = "model.layers.0.pre_norm"
	head      = "lm_head.weight"
)

// valueMix is the prefix of the parameters that mix in the first layer's values; those of the first layer itself have no effect and are
// not in files.
const valueMix = "attn.v_lora."

// Parameters lists the tensors by their published names, without the layer prefix.
func (m Model) Parameters(members int) []lm.Spec {
	c := m.Config
	var specs []lm.Spec
	top := func(name string, role lm.Role, dims ...int) {
		specs = append(specs, lm.Spec{Name: name, Role: role, Dims: append([]int{members}, dims...), Decay: role != ""})
	}
	add := func(s lm.Spec) {
		s.Dims, s.Layered, s.Decay = append([]int{c.Layers, members}, s.Dims...), true, s.Role != ""
		specs = append(specs, s)
	}
	vector := func(name string, dims ...int) { add(fla.Vector(name, dims...)) }
	norm := func(name string, use func(name string, dims ...int)) {
		use(name+".weight", c.Width)
		if c.NormBias {
			use(name+".bias", c.Width)
		}
	}
	outside := func(name string, dims ...int) { top(name, "", dims...) }

	top(embedding, lm.Embedding, c.Vocab, c.Width)
	if c.NormFirst {
		norm(preNorm, outside)
	}
	norm("attn_norm", vector)
	for _, j := range strings.Split("r w k v a g", " ") {
		vector("attn.x_"+j, c.Width)
	}
	for _, name := range []string{"attn.r_proj", "attn.k_proj", "attn.v_proj", "attn.o_proj"} {
		add(fla.Matrix(name, c.Width, c.Width))
	}
	for _, low := range []struct {
		name string
		rank int
		bias bool
	}{{"w", c.DecayRank, true}, {"a", c.RateRank, true}, {"v", c.ValueRank, true}, {"g", c.GateRank, false}} {
		name := "attn." + low.name + "_lora.lora."
		add(fla.Matrix(name+"0", low.rank, c.Width))
		add(fla.Matrix(name+"2", c.Width, low.rank))
		if low.bias {
			vector(name+"2.bias", c.Width)
		}
	}
	vector("attn.k_k", c.Width)
	vector("attn.k_a", c.Width)
	vector("attn.r_k", c.Heads(), c.Head)
	vector("attn.g_norm.weight", c.Width)
	vector("attn.g_norm.bias", c.Width)
	norm("ffn_norm", vector)
	vector("ffn.x_k", c.Width)
	add(fla.Matrix("ffn.key", c.Inner(), c.Width))
	add(fla.Matrix("ffn.value", c.Width, c.Inner()))
	norm("model.norm", outside)
	if !c.Tied {
		top(head, lm.Head, c.Vocab, c.Width)
	}
	return specs
}

// Tensor returns the published name and shape of a parameter in one layer, or outside the layers (layer −1); an empty name means that
// files do not contain it.
func Tensor(s lm.Spec, layer int) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	if layer == 0 && strings.HasPrefix(s.Name, valueMix) {
		return "", s.Dims[2:]
	}
	if dims = s.Dims[2:]; strings.HasPrefix(s.Name, "attn.x_") {
		dims = append([]int{1, 1}, dims...)
	}
	return fmt.Sprintf("model.layers.%d.%s", layer, s.Name), dims
}

// Initial draws the parameters as BlinkDL's training does (RWKV-v7/train_temp/src/model.py), with normal numbers of the same
// variance for orthogonal matrices: output matrices 0, decays spread over the channels, mixes by channel and depth.
func (m Model) Initial(seed uint64) map[string][]float32 {
	c := m.Config
	values := map[string][]float32{}
	for i, s := range m.Parameters(1) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		v := make([]float32, s.Size())
		layers := 1
		if s.Layered {
			layers = c.Layers
		}
		size := len(v) / layers
		for j := range v {
			v[j] = float32(m.draw(s.Name, j/size, j%size, r))
		}
		values[s.Name] = v
	}
	return values
}

// draw returns the initial value of entry i of a layer's parameter.
func (m Model) draw(name string, layer, i int, r *rand.Rand) float64 {
	c := m.Config
	width := float64(c.Width)
	depth, rest := float64(layer)/math.Max(float64(c.Layers-1), 1), 1-float64(layer)/float64(c.Layers) // 0 … 1, 1 … above 0
	uniform := func(bound float64) float64 { return (2*r.Float64() - 1) * bound / math.Sqrt(width) }
	mix := func(power float64) float64 { return 1 - math.Pow(float64(i)/width, power) }
	switch {
	case name == embedding:
		return (2*r.Float64() - 1) * 1e-4
	case name == head:
		return r.NormFloat64() * 0.5 / math.Sqrt(width)
	case strings.HasPrefix(name, "attn.x_"):
		return mix(map[string]float64{"r": 0.2, "w": 0.9, "k": 0.7, "v": 0.7, "a": 0.9, "g": 0.2}[name[len("attn.x_"):]] * rest)
	case name == "ffn.x_k":
		return mix(math.Pow(rest, 4))
	case name == "attn.w_lora.lora.2.bias":
		return -6.5 + 5*math.Pow(float64(i)/math.Max(width-1, 1), 0.85+math.Sqrt(depth))
	case name == "attn.v_lora.lora.2.bias", name == "attn.k_a":
		return 1
	case name == "attn.k_k":
		return 0.85
	case strings.HasSuffix(name, "lora.2.weight"):
		return r.NormFloat64() * 0.1 / math.Sqrt(width)
	case name == "attn.r_proj.weight", name == "attn.v_proj.weight", name == "ffn.key.weight":
		return uniform(0.5)
	case name == "attn.k_proj.weight":
		return uniform(0.05)
	case name == "attn.g_norm.weight":
		return math.Pow(float64(1+layer)/float64(c.Layers), 0.7)
	case slices.Contains([]string{preNorm + ".weight", "attn_norm.weight", "ffn_norm.weight", "model.norm.weight"}, name):
		return 1
	}
	return 0 // biases, first narrow matrices, a, r_k, output matrices
}
