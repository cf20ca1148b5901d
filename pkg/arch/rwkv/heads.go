package rwkv

import (
	"fmt"

	"stuffed/pkg/arch/gated"
	"stuffed/pkg/lm"
)

// Heads is what RWKV-5 and RWKV-6 share: a time mix of heads. It is made of their configurations, not embedded in them,
// because a configuration's hash names the fields where they stand.
type Heads struct {
	Outline
	Kind          string // model_type in config.json
	Head, Divisor int    // head_size, head_size_divisor
	Chunk         int
}

// Inner is the width of the channel mix: 3.5 times the model's, rounded down to a multiple of 32.
func (h Heads) Inner() int {
	if h.Intermediate > 0 {
		return h.Intermediate
	}
	return h.Width * 7 / 2 / 32 * 32
}

// Count is the number of heads of a layer.
func (h Heads) Count() int { return h.Mix() / h.Head }

// Size is a field of a configuration that must be at least 1.
type Size struct {
	Name      string
	Value, Hi int
}

// Validate returns an error that names the first field out of range, including the architecture's own sizes.
func (h Heads) Validate(own ...Size) error {
	if err := h.Outline.Validate(h.Inner()); err != nil {
		return err
	}
	for _, f := range append([]Size{{"head_size", h.Head, 65536}, {"head_size_divisor", h.Divisor, 65536}, {"chunk", h.Chunk, 4096}}, own...) {
		if f.Value < 1 || f.Value > f.Hi {
			return fmt.Errorf("config: %s = %d is outside 1 … %d", f.Name, f.Value, f.Hi)
		}
	}
	if h.Mix()%h.Head != 0 {
		return fmt.Errorf("config: head_size = %d must divide attention_hidden_size = %d", h.Head, h.Mix())
	}
	return nil
}

// Read is config.json over a configuration's defaults. num_attention_heads is left alone: published files say 64 whatever the
// heads are.
func Read[C interface{ Validate() error }](keys map[string]any, c C) (C, error) {
	if err := lm.ReadKeys(keys, &c); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// Keys returns the content of config.json; published is the prefix of the class names, such as Rwkv5.
func (h Heads) Keys(published string) map[string]any {
	return map[string]any{"model_type": h.Kind, "architectures": []string{published + "ForCausalLM"}, "num_hidden_layers": h.Layers, "hidden_size": h.Width,
		"vocab_size": h.Vocab, "attention_hidden_size": h.Mix(), "intermediate_size": h.Inner(), "layer_norm_epsilon": h.Eps,
		"tie_word_embeddings": h.Tied, "head_size": h.Head, "head_size_divisor": h.Divisor, "num_attention_heads": h.Count(),
		"rescale_every": 6, "use_cache": true, "torch_dtype": "float32", "bos_token_id": 0, "eos_token_id": 0,
		"auto_map": map[string]string{"AutoConfig": "configuration_" + h.Kind + "." + published + "Config",
			"AutoModelForCausalLM": "modeling_" + h.Kind + "." + published + "ForCausalLM"}}
}

// Sizes returns the sizes that tables and reports show.
func (h Heads) Sizes() lm.Sizes {
	recurrent := h.Layers * h.Mix() * h.Head
	return lm.Sizes{Layers: h.Layers, Width: h.Width, Vocab: h.Vocab, Heads: h.Count(), State: h.Head, Recurrent: recurrent, Carried: recurrent + 2*h.Layers*h.Width}
}

// State lists "state" [layers, batch, heads, key, value] and the last inputs of both mixes, shift.att and shift.ffn [layers,
// batch, width].
func (h Heads) State(m gated.Memory, batch int) []lm.Spec {
	return append(m.StateSpecs(h.Layers, batch, h.Count(), h.Head, h.Head), h.Shifts(batch)...)
}

// Probes lists the activations that can be recorded.
func (h Heads) Probes() []lm.Probe {
	wide := []lm.Axis{lm.Batch, lm.Token, lm.Channel}
	return append(append(gated.Probes(lm.Key), Probes()...), lm.Probe{Name: "g", Axes: wide, Does: "output gate"})
}
