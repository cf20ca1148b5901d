package mamba2_test

import (
	"math"
	"strings"
	"testing"

	"stuffed/pkg/mamba2"
)

// TestPresets: state sizes of Stuffed Mamba's Table 2, in millions, with and without the convolution; parameters of
// the official models.
func TestPresets(t *testing.T) {
	for _, c := range []struct {
		name                         string
		recurrent, full, table, size float64 // size 0: not an official model
	}{
		{"780m", 18.874, 19.354, 19.3, 780.2}, {"370m", 12.583, 12.915, 12.9, 368.4}, {"130m", 4.719, 4.848, 4.8, 129.0},
		{"84.6m", 2.359, 2.424, 2.4, 0}, {"47.0m", 1.573, 1.619, 1.6, 0}, {"36.4m", 0.786, 0.809, 0.8, 0},
		{"1.3b", 25.166, 0, 0, 1343.8}, {"2.7b", 41.943, 0, 0, 2702.6},
	} {
		config, err := mamba2.Preset(c.name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mamba2.New(config)
		if err != nil {
			t.Fatal(err)
		}
		close := func(what string, got int, want, slack float64) {
			if want != 0 && math.Abs(float64(got)/1e6-want) > slack {
				t.Errorf("%s: %s is %.3fM, want %gM", c.name, what, float64(got)/1e6, want)
			}
		}
		recurrent, full := m.StateSize()
		close("recurrent state", recurrent, c.recurrent, 0.0006)
		close("state with convolution", full, c.full, 0.0006)
		close("state as printed in Table 2", full, c.table, 0.06)
		count := 0
		for _, s := range m.Parameters(1) {
			count += s.Size()
		}
		close("number of parameters", count, c.size, 0.06)
	}
	for _, name := range mamba2.Presets() {
		if _, err := mamba2.Preset(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := mamba2.Preset("131m"); err == nil || !strings.Contains(err.Error(), "130m") {
		t.Errorf("unknown preset: %v", err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	nan := math.NaN()
	for want, change := range map[string]func(c *mamba2.Config){
		"layers = 0":                      func(c *mamba2.Config) { c.Layers = 0 },
		"layers = 513":                    func(c *mamba2.Config) { c.Layers = 513 },
		"width = -1":                      func(c *mamba2.Config) { c.Width = -1 },
		"vocab = 1 ":                      func(c *mamba2.Config) { c.Vocab = 1 },
		"vocab = 1048577":                 func(c *mamba2.Config) { c.Vocab = 1<<20 + 1 },
		"state = 65537":                   func(c *mamba2.Config) { c.State = 1<<16 + 1 },
		"kernel = 1 ":                     func(c *mamba2.Config) { c.Kernel = 1 },
		"expand = 0":                      func(c *mamba2.Config) { c.Expand = 0 },
		"chunk = 0":                       func(c *mamba2.Config) { c.Chunk = 0 },
		"head_dim = 48 must divide":       func(c *mamba2.Config) { c.HeadDim = 48 },
		"groups = 3 must divide the 4":    func(c *mamba2.Config) { c.Groups = 3 },
		"eps = 0 ":                        func(c *mamba2.Config) { c.Eps = 0 },
		"eps = NaN":                       func(c *mamba2.Config) { c.Eps = nan },
		"delta_min = -1 ":                 func(c *mamba2.Config) { c.DeltaMin = -1 },
		"delta_min = +Inf":                func(c *mamba2.Config) { c.DeltaMin = math.Inf(1) },
		"delta_max = 0.1 must":            func(c *mamba2.Config) { c.DeltaMin, c.DeltaMax = 0.2, 0.1 },
		"delta_max = NaN":                 func(c *mamba2.Config) { c.DeltaMax = nan },
		"delta_max = +Inf":                func(c *mamba2.Config) { c.DeltaMax = math.Inf(1) },
		"init_linear = -0.02":             func(c *mamba2.Config) { c.InitLinear = -0.02 },
		"init_delta = {0 0.1}":            func(c *mamba2.Config) { c.InitDelta.Low = 0 },
		"init_delta = {0.1 0.01}":         func(c *mamba2.Config) { c.InitDelta = mamba2.Range{Low: 0.1, High: 0.01} },
		"init_delta = {0.001 +Inf}":       func(c *mamba2.Config) { c.InitDelta.High = math.Inf(1) },
		"init_delta_floor = NaN":          func(c *mamba2.Config) { c.InitFloor = nan },
		"init_a = {NaN 16}":               func(c *mamba2.Config) { c.InitA.Low = nan },
		"groups = 0 is outside 1 … 65536": func(c *mamba2.Config) { c.Groups = 0 },
	} {
		c := mamba2.Default(128, 2, 272)
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
		if _, err := mamba2.New(c); err == nil {
			t.Errorf("a model with %s was made", want)
		}
	}
	if err := mamba2.Default(128, 2, 272).Validate(); err != nil {
		t.Error(err)
	}
}

func TestHashTellsConfigurationsApart(t *testing.T) {
	seen := map[string]string{}
	base := mamba2.Default(128, 2, 272)
	for name, change := range map[string]func(c *mamba2.Config){
		"base": func(*mamba2.Config) {}, "layers": func(c *mamba2.Config) { c.Layers = 3 }, "eps": func(c *mamba2.Config) { c.Eps = 1e-6 },
		"tied": func(c *mamba2.Config) { c.Tied = false }, "delta": func(c *mamba2.Config) { c.DeltaMax = 0.5 }, "norm": func(c *mamba2.Config) { c.NormPer = false },
	} {
		c := base
		change(&c)
		h := c.Hash()
		if len(h) != 12 || h != c.Hash() {
			t.Errorf("%s: hash %q", name, h)
		}
		if seen[h] != "" {
			t.Errorf("%s and %s have the same hash", name, seen[h])
		}
		seen[h] = name
	}
}

func TestKeysRoundTrip(t *testing.T) {
	c := mamba2.Default(64, 3, 256)
	c.HeadDim, c.State, c.Groups, c.UseBias, c.ConvBias, c.Tied, c.NormPer = 16, 8, 2, true, false, false, false
	c.DeltaMin, c.DeltaMax, c.Eps, c.InitFloor = 0.01, 0.3, 1e-6, 1e-3
	for _, limit := range []float64{0.3, 0} {
		c.DeltaMax = limit
		got, err := mamba2.FromKeys(c.Keys())
		if err != nil {
			t.Fatal(err)
		}
		if got != c {
			t.Errorf("%+v came back as %+v", c, got)
		}
	}
}

// TestNormPerGroupIsTheDefault: as in mamba_ssm and in transformers from 5.23 on.
func TestNormPerGroupIsTheDefault(t *testing.T) {
	keys := mamba2.Default(64, 3, 256).Keys()
	for value, want := range map[any]bool{nil: true, true: true, false: false} {
		if keys["norm_per_group"] = value; value == nil {
			delete(keys, "norm_per_group")
		}
		if c, err := mamba2.FromKeys(keys); err != nil || c.NormPer != want {
			t.Errorf("norm_per_group %v: %v %v, want %v", value, c.NormPer, err, want)
		}
	}
}

func TestBadKeysAreNamed(t *testing.T) {
	good := mamba2.Default(64, 3, 256)
	for _, c := range []struct {
		key   string
		value any
		want  string
	}{
		{"hidden_size", "64", "hidden_size = 64 must be a number"},
		{"hidden_size", 64.5, "hidden_size = 64.5 must be a whole number"},
		{"hidden_size", 1e300, "whole number below"},
		{"num_hidden_layers", math.NaN(), "num_hidden_layers"},
		{"num_hidden_layers", -3.0, "layers = -3"},
		{"num_heads", 5.0, "num_heads = 5"},
		{"use_bias", 1.0, "use_bias = 1 must be true or false"},
		{"tie_word_embeddings", "yes", "tie_word_embeddings"},
		{"time_step_limit", []any{0.0}, "time_step_limit"},
		{"time_step_limit", []any{0.0, "inf"}, "time_step_limit"},
		{"time_step_limit", 0.5, "time_step_limit"},
		{"time_step_limit", []any{0.0, 0.0}, "time_step_limit"},
		{"time_step_limit", []any{0.5, 0.1}, "delta_max"},
		{"hidden_act", "gelu", "hidden_act"},
		{"layer_norm_epsilon", 0.0, "eps = 0"},
		{"n_groups", []any{}, "n_groups"},
	} {
		keys := good.Keys()
		keys[c.key] = c.value
		if _, err := mamba2.FromKeys(keys); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: error %v, want one that says %q", c.key, c.value, err, c.want)
		}
	}
}
