package models

import (
	"bytes"
	"encoding/json"
	"fmt"

	"stuffed/pkg/arch/mamba1"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// Folders of mamba_ssm, as state-spaces/mamba-130m: pytorch_model.bin, another config.json, another name of the embedding.
func init() {
	RegisterLayout(Layout{Name: checkpoint.LayoutOfficial, Architecture: "mamba1", Tensor: officialMamba1,
		Reads: func(c checkpoint.Config) bool {
			ssm, _ := c["ssm_cfg"].(map[string]any)
			layer, given := ssm["layer"]
			return c["d_model"] != nil && (!given || layer == "Mamba1")
		},
		Config: func(c checkpoint.Config) (lm.Config, error) { return mamba1.FromKeys(c) },
		Read:   readOfficialMamba1,
		Write:  writeOfficialMamba1})
}

// writeOfficialMamba1 writes a tied head too: mamba_ssm loads strictly and asks for both.
func writeOfficialMamba1(dir string, c lm.Config, tensors map[string]*checkpoint.Tensor, dtype string) error {
	keys, err := c.(mamba1.Config).Official()
	if err != nil {
		return fmt.Errorf("%w: save as %s", err, checkpoint.LayoutHuggingFace)
	}
	text, err := json.MarshalIndent(keys, "", "  ")
	if err != nil {
		return err
	}
	if tensors[headName] == nil {
		tensors[headName] = tensors[officialEmbedding]
	}
	return checkpoint.WriteFolderAs(dir, append(text, '\n'), "pytorch_model.bin", nil, tensors, dtype)
}

const headName = "lm_head.weight"

const officialEmbedding = "backbone.embedding.weight"

func officialMamba1(s lm.Spec, layer int) (name string, dims []int) {
	if name, dims = mamba1.Tensor(s, layer); s.Role == lm.Embedding {
		name = officialEmbedding
	}
	return name, dims
}

func readOfficialMamba1(dir string) (lm.Config, map[string]*checkpoint.Tensor, error) {
	keys, err := readConfig(dir)
	if err != nil {
		return nil, nil, err
	}
	c, err := mamba1.FromKeys(keys)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := checkpoint.ReadWeights(dir)
	if err != nil {
		return nil, nil, err
	}
	head, table := file.Tensors[headName], file.Tensors[officialEmbedding]
	c.Tied = head == nil || table != nil && bytes.Equal(head.Data, table.Data)
	fitted, err := published{tensor: officialMamba1}.fit(c, file.Tensors)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", dir, err)
	}
	return fitted, file.Tensors, nil
}
