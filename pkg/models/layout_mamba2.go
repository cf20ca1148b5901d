package models

import (
	"fmt"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// Mamba-2 folders: those of transformers, and those of mamba_ssm, which differ in config.json and the embedding's name.
func init() {
	for _, name := range []string{checkpoint.LayoutHuggingFace, checkpoint.LayoutOfficial} {
		RegisterLayout(Layout{Name: name, Architecture: "mamba2", Reads: isMamba2, Read: readMamba2, Tensor: mamba2Tensor,
			Config: func(config checkpoint.Config) (lm.Config, error) {
				if config["d_model"] != nil {
					var err error
					if config, err = checkpoint.Normal(config); err != nil {
						return nil, err
					}
				}
				return mamba2.FromKeys(config)
			},
			Write: func(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error {
				return checkpoint.SaveModel(dir, name, checkpoint.Config(c.(mamba2.Config).Keys()), tensors, dtype)
			}})
	}
}

func isMamba2(c checkpoint.Config) bool {
	kind, named := c["model_type"]
	ssm, _ := c["ssm_cfg"].(map[string]any)
	return kind == "mamba2" || !named && (c["hidden_size"] != nil || ssm["layer"] == "Mamba2")
}

func readMamba2(dir string) (lm.Config, map[string]*checkpoint.Tensor, error) {
	file, err := checkpoint.LoadModel(dir)
	if err != nil {
		return nil, nil, err
	}
	config, err := mamba2.FromKeys(file.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	config.Tied = file.Tied()
	return config, file.Tensors, nil
}

func mamba2Tensor(s lm.Spec, layer int) (name string, dims []int) {
	if layer < 0 {
		return s.Name, s.Dims[1:]
	}
	if dims = s.Dims[2:]; s.Role == lm.Filter {
		dims = []int{dims[0], 1, dims[1]}
	}
	return mamba2.LayerName(layer, s.Name), dims
}
