package models

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/arch/rwkv"
	"stuffed/pkg/arch/rwkv4"
	"stuffed/pkg/arch/rwkv5"
	"stuffed/pkg/arch/rwkv6"
	"stuffed/pkg/arch/rwkv7"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// blinkDL is RWKV as BlinkDL publishes it: one file .pth without config.json, whose shapes say the configuration. Layers' norms
// have ε 1e-5, those of heads 64e-5.
type blinkDL struct {
	architecture string
	mark         string                                                        // a tensor that no other version has
	config       func(shape func(name string) []int, o rwkv.Outline) lm.Config // of versions 4 to 6
	tensor       func(s lm.Spec, layer int) (name string, dims []int)          // of versions 4 to 6 as transformers has it
}

func init() {
	for _, b := range []blinkDL{
		{"rwkv7", "blocks.0.att.r_k", nil, nil},
		{"rwkv6", "blocks.0.att.time_maa_x", func(shape func(name string) []int, o rwkv.Outline) lm.Config {
			c := rwkv6.Default(o.Width, o.Layers, o.Vocab)
			c.Outline, c.Head = o, last(shape("blocks.0.att.time_faaaa"))
			return c.FromShapes(func(name string) []int { return shape(toBlinkDL.Replace(name)) })
		}, rwkv6.Tensor},
		{"rwkv5", "blocks.0.att.time_mix_g", func(shape func(name string) []int, o rwkv.Outline) lm.Config {
			c := rwkv5.Default(o.Width, o.Layers, o.Vocab)
			c.Outline, c.Head = o, last(shape("blocks.0.att.time_faaaa"))
			return c
		}, rwkv5.Tensor},
		{"rwkv4", "blocks.0.att.time_first", func(_ func(name string) []int, o rwkv.Outline) lm.Config {
			c := rwkv4.Default(o.Width, o.Layers, o.Vocab)
			c.Outline = o
			return c
		}, rwkv4.Tensor},
	} {
		RegisterLayout(Layout{Name: checkpoint.LayoutOfficial, Architecture: b.architecture, Tensor: b.named, Read: b.read, Write: b.write,
			Reads: func(checkpoint.Config) bool { return false },
			Bare:  func(tensors map[string]*checkpoint.Tensor) bool { return tensors[b.mark] != nil }})
	}
}

// toBlinkDL turns names of versions 4 to 6.
var toBlinkDL = strings.NewReplacer("rwkv.embeddings.", "emb.", "rwkv.blocks.", "blocks.", "rwkv.ln_out.", "ln_out.", ".pre_ln.", ".ln0.",
	".attention.", ".att.", ".feed_forward.", ".ffn.", "time_mix_key", "time_mix_k", "time_mix_value", "time_mix_v",
	"time_mix_receptance", "time_mix_r", "time_mix_gate", "time_mix_g")

// named is the tensor of a parameter while it is split and stacked: of version 7 as flash-linear-attention has it, since narrow
// matrices are turned in files.
func (b blinkDL) named(s lm.Spec, layer int) (name string, dims []int) {
	if b.tensor == nil {
		return rwkv7.Tensor(s, layer)
	}
	name, dims = b.tensor(s, layer)
	return toBlinkDL.Replace(name), dims
}

func (b blinkDL) read(path string) (lm.Config, map[string]*checkpoint.Tensor, error) {
	file, err := checkpoint.ReadWeights(path)
	if err != nil {
		return nil, nil, err
	}
	var c lm.Config
	tensors := file.Tensors
	if b.tensor == nil {
		c, tensors, err = fromBlinkDL7(tensors)
	} else {
		c, err = b.sized(tensors)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, tensors, nil
}

// sized is the configuration that the shapes of tensors of versions 4 to 6 say.
func (b blinkDL) sized(tensors map[string]*checkpoint.Tensor) (lm.Config, error) {
	shape := func(name string) []int {
		if t := tensors[name]; t != nil {
			return t.Shape
		}
		return nil
	}
	table := shape("emb.weight")
	if len(table) != 2 {
		return nil, fmt.Errorf("tensor emb.weight has shape %v, must be [vocabulary, width]", table)
	}
	o := rwkv.Outline{Vocab: table[0], Width: table[1], Eps: 1e-5, Tied: shape("head.weight") == nil}
	for shape(fmt.Sprintf("blocks.%d.ln1.weight", o.Layers)) != nil {
		o.Layers++
	}
	for name, size := range map[string]*int{"blocks.0.att.key.weight": &o.Attention, "blocks.0.ffn.key.weight": &o.Intermediate} {
		if rows := shape(name); len(rows) == 2 {
			*size = rows[0]
		}
	}
	c := b.config(shape, o)
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return published{tensor: b.named}.fit(c, tensors)
}

func last(shape []int) int {
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1]
}

func (b blinkDL) write(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error {
	if err := builtIn(c); err != nil {
		return fmt.Errorf("layout %s: %w: save as %s", checkpoint.LayoutOfficial, err, checkpoint.LayoutHuggingFace)
	}
	if b.tensor == nil {
		var err error
		if tensors, err = toBlinkDL7(tensors); err != nil {
			return err
		}
	}
	if tensors["head.weight"] == nil { // BlinkDL's code asks for it
		tensors["head.weight"] = tensors["emb.weight"]
	}
	return checkpoint.WriteFolderAs(dir, nil, "model.pth", inTurn, tensors, dtype)
}

// inTurn is BlinkDL's order of tensors, by which his code tells versions: layer by layer, mixes before decays before matrices.
func inTurn(a, b string) int {
	rank := func(name string) (layer, part int) {
		if n, _ := fmt.Sscanf(name, "blocks.%d.", &layer); n == 0 {
			return map[bool]int{true: -1, false: 1 << 30}[strings.HasPrefix(name, "emb.")], 0
		}
		parts := []string{".ln", ".att.time_maa", ".att.time_mix", ".att.x_", ".att.time_", ".att.", ".ffn."}
		return layer, slices.IndexFunc(parts, func(p string) bool { return strings.Contains(name, p) })
	}
	la, pa := rank(a)
	lb, pb := rank(b)
	return cmp.Or(cmp.Compare(la, lb), cmp.Compare(pa, pb))
}

// builtIn refuses what BlinkDL's code has as a constant and a configuration has otherwise.
func builtIn(c lm.Config) error {
	eps, heads := 0.0, 64e-5
	switch c := c.(type) {
	case rwkv4.Config:
		eps = c.Eps
	case rwkv5.Config:
		eps, heads = c.Eps, 1e-5*float64(c.Divisor*c.Divisor)
	case rwkv6.Config:
		eps, heads = c.Eps, 1e-5*float64(c.Divisor*c.Divisor)
	case rwkv7.Config:
		eps, heads = c.Eps, c.HeadEps()
		if !c.NormBias || !c.NormFirst {
			return fmt.Errorf("norms have biases and embeddings a norm in it, but norm_bias is %v and norm_first %v", c.NormBias, c.NormFirst)
		}
	}
	if math.Abs(eps-1e-5) > 1e-12 || math.Abs(heads-64e-5) > 1e-12 {
		return fmt.Errorf("norms of layers and heads have ε 1e-05 and 0.00064 in it, not %g and %g", eps, heads)
	}
	return nil
}
