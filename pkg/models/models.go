// Package models connects files to architectures: [Open] takes a preset, a folder in the layout of transformers, mamba_ssm or
// flash-linear-attention, one of RWKV's files, or a name on the Hugging Face hub, and gives a model with weights, tokenizer and
// runner; [Save] and [Convert] write them in any of their layouts.
package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"

	_ "stuffed/pkg/arch" // folders name architectures
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// Load reads a model folder of any layout, or a model of the hub by its name (see Folder). Weights are float32, or float64 on
// request.
func Load(dir string, dtype dtypes.DType) (lm.Model, *lm.Weights, error) {
	dir, err := Folder(dir)
	if err != nil {
		return nil, nil, err
	}
	if dir, err = checkpoint.Folder(dir); err != nil { // of a name in an index
		return nil, nil, err
	}
	layout, err := layoutOf(dir)
	if err != nil {
		return nil, nil, err
	}
	config, tensors, err := layout.Read(dir)
	if err != nil {
		return nil, nil, err
	}
	m, err := config.New()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	var w *lm.Weights
	if dtype == dtypes.Float64 {
		w, err = lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
			return stacked(layout, tensors, s, (*checkpoint.Tensor).Float64s)
		})
	} else {
		w, err = lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float32, error) {
			return stacked(layout, tensors, s, (*checkpoint.Tensor).Float32s)
		})
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return m, w, nil
}

// Like reads config.json as that of a folder whose tensors are those of a model: what the file leaves to the tensors, whether the
// head is tied, is the model's.
func Like(text []byte, m lm.Model) (lm.Config, error) {
	config, err := checkpoint.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	layout, err := layoutFor(m.Name(), Default)
	if err != nil {
		return nil, err
	}
	if layout.Config == nil {
		return nil, fmt.Errorf("config.json of %s does not stand alone", m.Name())
	}
	c, err := layout.Config(config)
	if err != nil {
		return nil, err
	}
	tied := true
	for _, s := range m.Parameters(1) {
		tied = tied && s.Role != lm.Head
	}
	if with, err := lm.Override(c, fmt.Sprintf(`{"tie_word_embeddings":%v}`, tied)); err == nil {
		return with, nil
	}
	return lm.Override(c, fmt.Sprintf(`{"tied":%v}`, tied))
}

// layersOf lists the layers of a parameter, −1 alone where it has none.
func layersOf(s lm.Spec) []int {
	if !s.Layered {
		return []int{-1}
	}
	layers := make([]int, s.Dims[0])
	for l := range layers {
		layers[l] = l
	}
	return layers
}

// stacked joins the layers of one parameter.
func stacked[T any](layout Layout, tensors map[string]*checkpoint.Tensor, s lm.Spec, read func(*checkpoint.Tensor) ([]T, error)) ([]T, error) {
	var all []T
	for _, layer := range layersOf(s) {
		name, dims := layout.Tensor(s, layer)
		if name == "" { // without effect, and not in files
			all = append(all, make([]T, product(dims))...)
			continue
		}
		t := tensors[name]
		if t == nil {
			return nil, fmt.Errorf("tensor %s is missing", name)
		}
		v, err := read(t)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", name, err)
		}
		all = append(all, v...)
	}
	return all, nil
}

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Save writes one member as a model folder: layout Default or one of the architecture's, dtype "F32", "BF16", "F16".
func Save(dir string, m lm.Model, w *lm.Weights, member int, layout, dtype string) error {
	to, err := layoutFor(m.Name(), layout)
	if err != nil {
		return err
	}
	values, err := w.Member(member)
	if err != nil {
		return err
	}
	tensors, err := split(to, m, values)
	if err != nil {
		return err
	}
	return to.Write(dir, m.Configuration(), tensors, dtype)
}

// Convert writes a model that Load reads as another folder; see Save.
func Convert(from, to, layout, dtype string) error {
	m, w, err := Load(from, dtypes.Float32)
	if err != nil {
		return err
	}
	return Save(to, m, w, 0, layout, dtype)
}

// Split names the layers of stacked parameters, or of their gradients, as the architecture's first layout does.
func Split[T float32 | float64](m lm.Model, values map[string][]T) (map[string]*checkpoint.Tensor, error) {
	layout, err := layoutFor(m.Name(), Default)
	if err != nil {
		return nil, err
	}
	return split(layout, m, values)
}

// Names are the tensors of a parameter in the architecture's first layout.
func Names(m lm.Model, s lm.Spec) (names []string) {
	layout, err := layoutFor(m.Name(), Default)
	if err != nil {
		return nil
	}
	for _, layer := range layersOf(s) {
		if name, _ := layout.Tensor(s, layer); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func split[T float32 | float64](layout Layout, m lm.Model, values map[string][]T) (map[string]*checkpoint.Tensor, error) {
	tensors := map[string]*checkpoint.Tensor{}
	for _, s := range m.Parameters(1) {
		v, layers := values[s.Name], layersOf(s)
		for i, layer := range layers {
			size := len(v) / len(layers)
			name, dims := layout.Tensor(s, layer)
			if name == "" {
				continue
			}
			t, err := from(slices.Clone(dims), v[i*size:][:size])
			if err != nil {
				return nil, fmt.Errorf("tensor %s: %w", name, err)
			}
			tensors[name] = t
		}
	}
	return tensors, nil
}

func from[T float32 | float64](shape []int, values []T) (*checkpoint.Tensor, error) {
	switch v := any(values).(type) {
	case []float64:
		return checkpoint.FromFloat64(shape, v)
	case []float32:
		return checkpoint.FromFloat32(shape, v)
	}
	return nil, nil
}
