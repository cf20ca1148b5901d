// Package models connects files to architectures: it opens a checkpoint folder as a model with weights and writes one.
package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// Load reads a model folder (transformers or mamba_ssm layout), or a model of the hub by its name (see Folder). Weights are float32,
// or float64 on request.
func Load(dir string, dtype dtypes.DType) (mamba2.Model, *lm.Weights, error) {
	dir, err := Folder(dir)
	if err != nil {
		return mamba2.Model{}, nil, err
	}
	file, err := checkpoint.LoadModel(dir)
	if err != nil {
		return mamba2.Model{}, nil, err
	}
	config, err := mamba2.FromKeys(file.Config)
	if err != nil {
		return mamba2.Model{}, nil, fmt.Errorf("%s: %w", dir, err)
	}
	config.Tied = file.Tied()
	m, err := mamba2.New(config)
	if err != nil {
		return m, nil, fmt.Errorf("%s: %w", dir, err)
	}
	var w *lm.Weights
	if dtype == dtypes.Float64 {
		w, err = lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
			return stacked(file.Tensors, s, (*checkpoint.Tensor).Float64s)
		})
	} else {
		w, err = lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float32, error) {
			return stacked(file.Tensors, s, (*checkpoint.Tensor).Float32s)
		})
	}
	if err != nil {
		return m, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return m, w, nil
}

// stacked joins the layers of one parameter.
func stacked[T any](tensors map[string]*checkpoint.Tensor, s lm.Spec, read func(*checkpoint.Tensor) ([]T, error)) ([]T, error) {
	names := []string{s.Name}
	if s.Layered {
		names = nil
		for l := range s.Dims[0] {
			names = append(names, mamba2.LayerName(l, s.Name))
		}
	}
	var all []T
	for _, name := range names {
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

// Save writes one replica as a model folder: layout "huggingface" or "official", dtype "F32", "BF16", "F16".
func Save(dir string, m mamba2.Model, w *lm.Weights, replica int, layout, dtype string) error {
	values, err := w.Replica(replica)
	if err != nil {
		return err
	}
	tensors, err := Split(m, values)
	if err != nil {
		return err
	}
	return checkpoint.SaveModel(dir, layout, checkpoint.Config(m.Keys()), tensors, dtype)
}

// Split names the layers of stacked parameters, or of their gradients, as transformers does.
func Split[T float32 | float64](m mamba2.Model, values map[string][]T) (map[string]*checkpoint.Tensor, error) {
	tensors := map[string]*checkpoint.Tensor{}
	for _, s := range m.Parameters(1) {
		v, count, dims := values[s.Name], 1, s.Dims[1:]
		if s.Layered {
			count, dims = s.Dims[0], s.Dims[2:]
		}
		if s.Name == "mixer.conv1d.weight" {
			dims = []int{dims[0], 1, dims[1]}
		}
		for l := range count {
			name, size := s.Name, len(v)/count
			if s.Layered {
				name = mamba2.LayerName(l, s.Name)
			}
			t, err := from(slices.Clone(dims), v[l*size:][:size])
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
