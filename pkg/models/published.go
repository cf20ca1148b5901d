package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// published is a layout whose config.json and tensors are named by the architecture itself.
type published struct {
	architecture string
	kind         string // model_type
	fromKeys     func(keys map[string]any) (lm.Config, error)
	keys         func(c lm.Config) (map[string]any, error)
	tensor       func(s lm.Spec, layer int) (name string, dims []int) // no name: not in files
	buffers      []string                                             // ends of names that older files have and nobody needs
}

// fromShapes is a configuration of which config.json does not say all: tensors show the rest.
type fromShapes interface {
	FromShapes(shape func(name string) []int) lm.Config
}

func (p published) register() {
	RegisterLayout(Layout{Name: checkpoint.LayoutHuggingFace, Architecture: p.architecture, Tensor: p.tensor, Read: p.read, Write: p.write,
		Reads:  func(config checkpoint.Config) bool { return config["model_type"] == p.kind },
		Config: p.config})
}

func (p published) config(config checkpoint.Config) (lm.Config, error) { return p.fromKeys(config) }

func (p published) read(dir string) (lm.Config, map[string]*checkpoint.Tensor, error) {
	text, err := atomic.Read(filepath.Join(dir, "config.json"), maxConfig)
	if err != nil {
		return nil, nil, err
	}
	keys, err := checkpoint.ParseConfig(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: config.json: %w", dir, err)
	}
	c, err := p.config(keys)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := checkpoint.ReadWeights(dir)
	if err != nil {
		return nil, nil, err
	}
	if some, is := c.(fromShapes); is {
		c = some.FromShapes(func(name string) []int {
			if t := file.Tensors[name]; t != nil {
				return t.Shape
			}
			return nil
		})
	}
	if c, err = p.fit(c, file.Tensors); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return c, file.Tensors, nil
}

// fit compares tensors with a configuration and names the first that does not fit; a head that is not there is tied.
func (p published) fit(c lm.Config, tensors map[string]*checkpoint.Tensor) (lm.Config, error) {
	m, err := c.New()
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, s := range m.Parameters(1) {
		if name, _ := p.tensor(s, -1); s.Role == lm.Head && tensors[name] == nil {
			tied, err := lm.Override(c, `{"tie_word_embeddings":true}`)
			if err != nil {
				return nil, err
			}
			return p.fit(tied, tensors)
		}
		for _, layer := range layersOf(s) {
			name, dims := p.tensor(s, layer)
			known[name] = true
			switch t := tensors[name]; {
			case name == "":
			case t == nil:
				return nil, fmt.Errorf("tensor %s is missing; config.json asks for it, of shape %v", name, dims)
			case !slices.Equal(t.Shape, dims):
				return nil, fmt.Errorf("tensor %s has shape %v, config.json asks for %v", name, t.Shape, dims)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		buffer := slices.ContainsFunc(p.buffers, func(end string) bool { return strings.HasSuffix(name, end) })
		if !known[name] && !buffer && !isHead(name) {
			return nil, fmt.Errorf("tensor %s has no place in a model of this config.json", name)
		}
	}
	return c, nil
}

// isHead tells whether a tensor is the head, which files of tied models may hold once more.
func isHead(name string) bool { return name == "lm_head.weight" || name == "embed_out.weight" }

func (p published) write(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error {
	keys, err := p.keys(c)
	if err != nil {
		return err
	}
	if name := torchNames[dtype]; name != "" {
		keys["dtype"] = name
	}
	text, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	return checkpoint.WriteFolder(dir, append(text, '\n'), tensors, dtype)
}

var torchNames = map[string]string{"F32": "float32", "F16": "float16", "BF16": "bfloat16"}

// keysOf is published.keys for configurations that know their own.
func keysOf(c lm.Config) (map[string]any, error) {
	return c.(interface {
		Keys() (map[string]any, error)
	}).Keys()
}

// as is published.fromKeys for a configuration of any type.
func as[C lm.Config](read func(keys map[string]any) (C, error)) func(keys map[string]any) (lm.Config, error) {
	return func(keys map[string]any) (lm.Config, error) {
		c, err := read(keys)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
}
