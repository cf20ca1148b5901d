package mamba2

import (
	"fmt"
	"math"
)

// FromKeys reads a configuration under transformers' Mamba2Config keys. The gated norm works per group, as in mamba_ssm and
// in transformers from 5.23 on; norm_per_group false, a key that only this program writes, asks for the norm over all
// channels of older transformers.
func FromKeys(keys map[string]any) (Config, error) {
	c := Default(0, 0, 0)
	var problem error
	number := func(key string, set func(float64)) {
		v, present := keys[key]
		if !present || v == nil {
			return
		}
		f, ok := v.(float64)
		if i, isInt := v.(int); isInt {
			f, ok = float64(i), true
		}
		if !ok && problem == nil {
			problem = fmt.Errorf("config: %s = %v must be a number", key, v)
		}
		set(f)
	}
	whole := func(key string, to *int) {
		number(key, func(f float64) {
			if f != math.Trunc(f) || math.Abs(f) > 1<<31 {
				if problem == nil {
					problem = fmt.Errorf("config: %s = %g must be a whole number below 2³¹", key, f)
				}
				return
			}
			*to = int(f)
		})
	}
	flag := func(key string, to *bool) {
		switch v := keys[key].(type) {
		case bool:
			*to = v
		case nil:
		default:
			if problem == nil {
				problem = fmt.Errorf("config: %s = %v must be true or false", key, v)
			}
		}
	}
	heads := 0
	whole("hidden_size", &c.Width)
	whole("num_hidden_layers", &c.Layers)
	whole("vocab_size", &c.Vocab)
	whole("head_dim", &c.HeadDim)
	whole("num_heads", &heads)
	whole("state_size", &c.State)
	whole("n_groups", &c.Groups)
	whole("expand", &c.Expand)
	whole("conv_kernel", &c.Kernel)
	number("layer_norm_epsilon", func(f float64) { c.Eps = f })
	number("time_step_min", func(f float64) { c.InitDelta.Low = f })
	number("time_step_max", func(f float64) { c.InitDelta.High = f })
	number("time_step_floor", func(f float64) { c.InitFloor = f })
	flag("norm_per_group", &c.NormPer)
	flag("use_bias", &c.UseBias)
	flag("use_conv_bias", &c.ConvBias)
	flag("tie_word_embeddings", &c.Tied)
	if given := keys["time_step_limit"]; given != nil {
		limit, _ := given.([]any)
		if len(limit) != 2 {
			return c, fmt.Errorf("config: time_step_limit = %v must be two numbers", given)
		}
		lo, okLo := limit[0].(float64)
		hi, okHi := limit[1].(float64)
		if !okLo || !okHi {
			return c, fmt.Errorf("config: time_step_limit = %v must be two numbers", limit)
		}
		if c.DeltaMin = lo; hi == 0 {
			return c, fmt.Errorf("config: time_step_limit = %v leaves no time step; the upper end must be above the lower", limit)
		}
		if !math.IsInf(hi, 1) {
			c.DeltaMax = hi
		}
	}
	if problem != nil {
		return c, problem
	}
	if err := c.Validate(); err != nil {
		return c, err
	}
	if heads != 0 && heads != c.Heads() {
		return c, fmt.Errorf("config: num_heads = %d, but expand × hidden_size / head_dim = %d", heads, c.Heads())
	}
	if act, ok := keys["hidden_act"].(string); ok && act != "silu" && act != "swish" {
		return c, fmt.Errorf("config: hidden_act = %q is not supported; Mamba-2 uses silu", act)
	}
	return c, nil
}

// Keys writes the configuration under transformers' names.
func (c Config) Keys() map[string]any {
	hi := c.deltaMax()
	return map[string]any{
		"architectures": []any{"Mamba2ForCausalLM"}, "model_type": "mamba2", "hidden_size": float64(c.Width),
		"num_hidden_layers": float64(c.Layers), "vocab_size": float64(c.Vocab), "head_dim": float64(c.HeadDim),
		"num_heads": float64(c.Heads()), "state_size": float64(c.State), "n_groups": float64(c.Groups),
		"expand": float64(c.Expand), "conv_kernel": float64(c.Kernel), "layer_norm_epsilon": c.Eps,
		"time_step_min": c.InitDelta.Low, "time_step_max": c.InitDelta.High, "time_step_floor": c.InitFloor,
		"time_step_limit": []any{c.DeltaMin, hi}, "use_bias": c.UseBias, "use_conv_bias": c.ConvBias,
		"tie_word_embeddings": c.Tied, "norm_per_group": c.NormPer, "chunk_size": float64(c.Chunk), "hidden_act": "silu", "residual_in_fp32": true,
	}
}

// LayerName is transformers' name of a layered parameter.
func LayerName(layer int, name string) string {
	return fmt.Sprintf("backbone.layers.%d.%s", layer, name)
}

// HasLayers tells layered parameters from top-level ones by their short name.
func HasLayers(name string) bool {
	return name != embedding && name != finalNorm && name != head
}
