package models

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/checkpoint"
)

// Names of RWKV-7's tensors as flash-linear-attention has them, in pairs with BlinkDL's: whole ones, and parts of those of a block.
var (
	outside7 = [][2]string{{"emb.weight", "model.embeddings.weight"}, {"head.weight", "lm_head.weight"}, {"ln_out.weight", "model.norm.weight"}, {"ln_out.bias", "model.norm.bias"}}
	parts7   = [][2]string{{"att.receptance.", "attn.r_proj."}, {"att.key.", "attn.k_proj."}, {"att.value.", "attn.v_proj."}, {"att.output.", "attn.o_proj."},
		{"att.ln_x.", "attn.g_norm."}, {"ln0.", "pre_norm."}, {"ln1.", "attn_norm."}, {"ln2.", "ffn_norm."}, {"att.", "attn."}}
	low7 = [][2]string{{"0", "2.bias"}, {"1", "0.weight"}, {"2", "2.weight"}} // of a narrow product: bias and both matrices
)

// swap finds what stands beside a prefix of a name, from one side of pairs to the other.
func swap(pairs [][2]string, from int, name string) (string, bool) {
	for _, p := range pairs {
		if rest, is := strings.CutPrefix(name, p[from]); is {
			return p[1-from] + rest, true
		}
	}
	return name, false
}

// fromBlinkDL7 renames and turns tensors, and reads the configuration from their shapes.
func fromBlinkDL7(from map[string]*checkpoint.Tensor) (rwkv7.Config, map[string]*checkpoint.Tensor, error) {
	to, layers := map[string]*checkpoint.Tensor{}, 0
	for name, t := range from {
		if own, is := swap(outside7, 0, name); is {
			to[own] = t
			continue
		}
		var layer int
		var part string
		if n, err := fmt.Sscanf(name, "blocks.%d.%s", &layer, &part); n != 2 || err != nil {
			return rwkv7.Config{}, nil, fmt.Errorf("tensor %s has no place in RWKV-7", name)
		}
		layers = max(layers, layer+1)
		own, t, err := fromBlock7(part, t)
		if err != nil {
			return rwkv7.Config{}, nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		if layer > 0 || !strings.HasPrefix(own, "attn.v_lora.") { // without effect in the first layer
			to[fmt.Sprintf("model.layers.%d.%s", layer, own)] = t
		}
	}
	c, err := config7(to, layers)
	return c, to, err
}

// config7 is the configuration that tensors under flash-linear-attention's names say.
func config7(to map[string]*checkpoint.Tensor, layers int) (rwkv7.Config, error) {
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
		return c, err
	}
	_, err := published{tensor: rwkv7.Tensor}.fit(c, to)
	return c, err
}

// fromBlock7 is a tensor of a block: w0, w1 and w2 are a narrow product, whose matrices are turned.
func fromBlock7(part string, t *checkpoint.Tensor) (string, *checkpoint.Tensor, error) {
	name := strings.TrimPrefix(part, "att.")
	if len(name) == 2 && strings.Contains("wavg", name[:1]) && strings.Contains("012", name[1:]) {
		end, _ := swap(low7, 0, name[1:])
		own := "attn." + name[:1] + "_lora.lora." + end
		if name[1] == '0' {
			return own, reshaped(t, t.Len()), nil
		}
		turned, err := transposed(t)
		return own, turned, err
	}
	if name == "k_k" || name == "k_a" || part == "ffn.x_k" {
		t = reshaped(t, t.Len())
	}
	own, _ := swap(parts7, 0, part)
	return own, t, nil
}

// toBlinkDL7 is the way back.
func toBlinkDL7(from map[string]*checkpoint.Tensor) (map[string]*checkpoint.Tensor, error) {
	to := map[string]*checkpoint.Tensor{}
	for name, t := range from {
		if theirs, is := swap(outside7, 1, name); is {
			to[theirs] = t
			continue
		}
		var layer int
		var part string
		if n, err := fmt.Sscanf(name, "model.layers.%d.%s", &layer, &part); n != 2 || err != nil {
			return nil, fmt.Errorf("tensor %s is none of RWKV-7's", name)
		}
		theirs, _ := swap(parts7, 1, part)
		if low, end, narrow := strings.Cut(strings.TrimPrefix(part, "attn."), "_lora.lora."); narrow {
			digit, _ := swap(low7, 1, end)
			theirs = "att." + low + digit
			if digit != "0" {
				var err error
				if t, err = transposed(t); err != nil {
					return nil, fmt.Errorf("tensor %s: %w", name, err)
				}
			}
		}
		if len(t.Shape) == 1 && !strings.Contains(theirs, "ln") { // vectors other than those of norms
			t = reshaped(t, 1, 1, t.Len())
		}
		to[fmt.Sprintf("blocks.%d.%s", layer, theirs)] = t
	}
	return to, nil
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
