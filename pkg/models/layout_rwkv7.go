package models

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// RWKV-7 as BlinkDL publishes it: one file .pth, whose shapes say the configuration. Narrow matrices are stored [in, out], and the
// norm of heads has a fixed ε.
func init() {
	RegisterLayout(Layout{Name: checkpoint.LayoutOfficial, Architecture: "rwkv7", Tensor: rwkv7.Tensor,
		Reads: func(checkpoint.Config) bool { return false },
		Bare:  func(tensors map[string]*checkpoint.Tensor) bool { return tensors["blocks.0.att.r_k"] != nil },
		Read: func(dir string) (lm.Config, map[string]*checkpoint.Tensor, error) {
			file, err := checkpoint.ReadWeights(dir)
			if err != nil {
				return nil, nil, err
			}
			c, tensors, err := officialRWKV7(file.Tensors)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", dir, err)
			}
			return c, tensors, nil
		},
		Write: func(string, lm.Config, map[string]*checkpoint.Tensor, string) error {
			return fmt.Errorf("layout: RWKV-7 is written in that of flash-linear-attention (%s) only", checkpoint.LayoutHuggingFace)
		}})
}

// officialNames are parts of names as flash-linear-attention has them.
var officialNames = strings.NewReplacer("att.receptance.", "attn.r_proj.", "att.key.", "attn.k_proj.", "att.value.", "attn.v_proj.", "att.output.", "attn.o_proj.",
	"att.ln_x.", "attn.g_norm.", "ln0.", "pre_norm.", "ln1.", "attn_norm.", "ln2.", "ffn_norm.", "att.", "attn.")

// officialRWKV7 renames and turns tensors, and reads the configuration from their shapes.
func officialRWKV7(from map[string]*checkpoint.Tensor) (rwkv7.Config, map[string]*checkpoint.Tensor, error) {
	to, layers := map[string]*checkpoint.Tensor{}, 0
	for name, t := range from {
		switch name {
		case "emb.weight":
			to["model.embeddings.weight"] = t
			continue
		case "head.weight":
			to["lm_head.weight"] = t
			continue
		case "ln_out.weight", "ln_out.bias":
			to["model.norm."+strings.TrimPrefix(name, "ln_out.")] = t
			continue
		}
		var layer int
		var part string
		if n, err := fmt.Sscanf(name, "blocks.%d.%s", &layer, &part); n != 2 || err != nil {
			return rwkv7.Config{}, nil, fmt.Errorf("tensor %s has no place in RWKV-7", name)
		}
		layers = max(layers, layer+1)
		own, t, err := officialTensor(part, t)
		if err != nil {
			return rwkv7.Config{}, nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if layer > 0 || !strings.HasPrefix(own, "attn.v_lora.") { // without effect in the first layer
			to[fmt.Sprintf("model.layers.%d.%s", layer, own)] = t
		}
	}
	shape := func(name string) []int {
		if t := to[name]; t != nil && len(t.Shape) == 2 {
			return t.Shape
		}
		return []int{0, 0}
	}
	table := shape("model.embeddings.weight")
	c := rwkv7.Default(table[1], layers, table[0])
	c.Head, c.Intermediate, c.GroupEps = shape("model.layers.0.attn.r_k")[1], shape("model.layers.0.ffn.key.weight")[0], 64e-5
	for name, rank := range map[string]*int{"w": &c.DecayRank, "a": &c.RateRank, "g": &c.GateRank} {
		*rank = shape("model.layers.0.attn." + name + "_lora.lora.0.weight")[0]
	}
	if layers > 1 {
		c.ValueRank = shape("model.layers.1.attn.v_lora.lora.0.weight")[0]
	}
	c.Tied = to["lm_head.weight"] == nil
	if err := c.Validate(); err != nil {
		return c, nil, err
	}
	_, err := published{tensor: rwkv7.Tensor}.fit(c, to)
	return c, to, err
}

// officialTensor is a tensor of a block: w0, w1 and w2 are a narrow product, whose matrices are turned.
func officialTensor(part string, t *checkpoint.Tensor) (string, *checkpoint.Tensor, error) {
	name := strings.TrimPrefix(part, "att.")
	if len(name) == 2 && strings.Contains("wavg", name[:1]) && strings.Contains("012", name[1:]) {
		own := "attn." + name[:1] + "_lora.lora." + map[byte]string{'0': "2.bias", '1': "0.weight", '2': "2.weight"}[name[1]]
		if name[1] == '0' {
			return own, reshaped(t, t.Len()), nil
		}
		turned, err := transposed(t)
		return own, turned, err
	}
	if name == "k_k" || name == "k_a" || part == "ffn.x_k" {
		t = reshaped(t, t.Len())
	}
	return officialNames.Replace(part), t, nil
}

func reshaped(t *checkpoint.Tensor, dims ...int) *checkpoint.Tensor {
	out := *t
	out.Shape = dims
	return &out
}

// transposed is a matrix with its axes exchanged, in float32.
func transposed(t *checkpoint.Tensor) (*checkpoint.Tensor, error) {
	if len(t.Shape) != 2 {
		return nil, fmt.Errorf("has shape %v, must be a matrix", t.Shape)
	}
	v, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	rows, columns := t.Shape[0], t.Shape[1]
	out := slices.Clone(v)
	for i := range rows {
		for j := range columns {
			out[j*rows+i] = v[i*columns+j]
		}
	}
	return checkpoint.FromFloat32([]int{columns, rows}, out)
}
