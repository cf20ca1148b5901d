package models

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// Layout is a kind of model folder: config.json and tensors, in files that package checkpoint reads.
type Layout struct {
	Name         string // as Save takes it
	Architecture string
	Reads        func(config checkpoint.Config) bool              // tells by config.json whether a folder is of this kind
	Bare         func(tensors map[string]*checkpoint.Tensor) bool // tells by tensors, where there is no config.json; or nil
	Read         func(dir string) (lm.Config, map[string]*checkpoint.Tensor, error)
	Config       func(config checkpoint.Config) (lm.Config, error) // of config.json alone; nil where it does not say all
	Write        func(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error
	// Tensor names the tensor of a parameter in one layer (layer is −1 for a parameter without layers) and gives its shape; no name: it
	// has no effect in that layer and is not in files.
	Tensor func(s lm.Spec, layer int) (name string, dims []int)
}

var layouts []Layout

// RegisterLayout adds a layout; the first one of an architecture names its gradients and is what export writes by default.
func RegisterLayout(l Layout) { layouts = append(layouts, l) }

// Own is the layout of architectures without a published one: config.json holds the configuration as training does, with
// "architecture", and model.safetensors the parameters under their names, those of layer N as layers.N.NAME.
const Own = "own"

const maxConfig = 1 << 20

var own = Layout{Name: Own, Read: readOwn, Write: writeOwn, Tensor: func(s lm.Spec, layer int) (string, []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	return fmt.Sprintf("layers.%d.%s", layer, s.Name), s.Dims[2:]
}}

func readOwn(dir string) (lm.Config, map[string]*checkpoint.Tensor, error) {
	text, err := atomic.Read(filepath.Join(dir, "config.json"), maxConfig)
	if err != nil {
		return nil, nil, err
	}
	var c lm.Any
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, nil, fmt.Errorf("%s: config.json: %w", dir, err)
	}
	if err := c.Validate(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := checkpoint.ReadWeights(dir)
	if err != nil {
		return nil, nil, err
	}
	return c.Config, file.Tensors, nil
}

func writeOwn(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error {
	text, err := json.MarshalIndent(lm.Any{Config: c}, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFolder(dir, append(text, '\n'), tensors, dtype)
}

// modelOf is the model that config.json of a folder describes, without its weights.
func modelOf(dir string) (lm.Model, error) {
	layout, err := layoutOf(dir)
	if err != nil {
		return nil, err
	}
	if layout.Config == nil {
		return nil, fmt.Errorf("config.json does not say all; its weights are needed")
	}
	config, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	c, err := layout.Config(config)
	if err != nil {
		return nil, err
	}
	return c.New()
}

func readConfig(dir string) (checkpoint.Config, error) {
	if IsFile(dir) {
		return nil, fmt.Errorf("%s alone does not say what model it is: a model is a folder with config.json and weights, or a file .pth of RWKV", dir)
	}
	text, err := atomic.Read(filepath.Join(dir, "config.json"), maxConfig)
	if err != nil {
		return nil, err
	}
	config, err := checkpoint.ParseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	return config, nil
}

// IsFile tells whether a name is that of a file, as RWKV's models are published.
func IsFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// beside is the folder of a model's other files.
func beside(model string) string {
	if IsFile(model) {
		return filepath.Dir(model)
	}
	return model
}

// bareLayout is the layout of a folder without config.json, or of a file.
func bareLayout(dir string) (Layout, bool) {
	file, err := checkpoint.ReadWeights(dir)
	if err != nil {
		return Layout{}, false
	}
	for _, l := range layouts {
		if l.Bare != nil && l.Bare(file.Tensors) {
			return l, true
		}
	}
	return Layout{}, false
}

// layoutOf is the layout of a folder.
func layoutOf(dir string) (Layout, error) {
	config, err := readConfig(dir)
	if errors.Is(err, fs.ErrNotExist) || IsFile(dir) {
		if l, is := bareLayout(dir); is {
			return l, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Layout{}, fmt.Errorf("%w; a model is a folder with config.json and weights, or a file .pth of RWKV", err)
	}
	if err != nil {
		return Layout{}, err
	}
	if name, ours := config["architecture"].(string); ours {
		if _, err := lm.ArchitectureOf(name); err != nil {
			return Layout{}, fmt.Errorf("%s: %w", dir, err)
		}
		return own, nil
	}
	for _, l := range layouts {
		if l.Reads(config) {
			return l, nil
		}
	}
	var known []string
	for _, l := range layouts {
		if name := l.Architecture + " (" + l.Name + ")"; !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	return Layout{}, fmt.Errorf("%s: config.json is of no layout that is read: %s%s; there are %s, and this program's own", dir, modelType(config), layerKinds(config), strings.Join(known, ", "))
}

// layerKinds names the kinds of layers of a hybrid.
func layerKinds(config checkpoint.Config) string {
	var kinds []string
	add := func(some ...string) {
		for _, kind := range some {
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	for _, key := range []string{"layer_types", "layers_block_type", "block_types"} {
		list, _ := config[key].([]any)
		for _, v := range list {
			add(fmt.Sprint(v))
		}
	}
	if pattern, _ := config["hybrid_override_pattern"].(string); len(kinds) == 0 {
		for _, letter := range pattern {
			add(cmp.Or(map[rune]string{'M': "mamba", '*': "attention", '-': "mlp", 'E': "moe"}[letter], string(letter)))
		}
	}
	if len(kinds) == 0 {
		for _, key := range slices.Sorted(maps.Keys(hybridKeys)) {
			if config[key] != nil {
				add(hybridKeys[key]...)
			}
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return ", with layers of the kinds " + strings.Join(kinds, " and ") + ", which are not read together"
}

// hybridKeys say of a hybrid without a list of its layers which kinds they are.
var hybridKeys = map[string][]string{"attn_layer_period": {"mamba", "attention"}, "attn_layer_indices": {"mamba", "attention"}, "hybrid_layer_ids": {"mamba", "attention"},
	"full_attn_idxs": {"convolution", "attention"}, "linear_attn_config": {"linear attention", "attention"}, "mamba_d_ssm": {"mamba", "attention"}}

// modelType is what a config.json calls its architecture, in either of two places.
func modelType(config checkpoint.Config) string {
	if kind := config["model_type"]; kind != nil {
		return fmt.Sprintf("model_type is %v", kind)
	}
	if ssm, _ := config["ssm_cfg"].(map[string]any); ssm["layer"] != nil {
		return fmt.Sprintf("ssm_cfg.layer is %v", ssm["layer"])
	}
	return "it has no model_type"
}

// layoutFor is the layout of an architecture by name; the empty name stands for its first. Own is for those without another.
func layoutFor(architecture, name string) (Layout, error) {
	var those []Layout
	for _, l := range layouts {
		if l.Architecture == architecture {
			those = append(those, l)
		}
	}
	if those == nil {
		those = []Layout{own}
	}
	var known []string
	for _, l := range those {
		if name == "" || name == l.Name || name == Default {
			return l, nil
		}
		known = append(known, l.Name)
	}
	return Layout{}, fmt.Errorf("layout is %q, must be one of those of %s: %s", name, architecture, strings.Join(known, ", "))
}

// Default stands for the first layout of an architecture.
const Default = "default"
