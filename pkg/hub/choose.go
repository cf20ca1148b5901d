package hub

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
)

// Part is what of a model is wanted.
type Part int

const (
	Whole     Part = iota // configuration, tokenizer and weights
	Config                // configuration alone
	Tokenizer             // tokenizer alone
)

var configFiles = []string{"config.json", "training.json", "generation_config.json"}

// tokenizerFiles by name; a list of RWKV's words has a version in its name.
var tokenizerFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
	"tekken.json", "tokenizer.model.v3", "tokenizer.model.v2"}

func isTokenizerFile(file string) bool {
	return slices.Contains(tokenizerFiles, file) || strings.HasPrefix(file, "rwkv_vocab") && path.Ext(file) == ".txt" && !strings.Contains(file, "/")
}

const (
	safetensorsIndex = "model.safetensors.index.json"
	torchIndex       = "pytorch_model.bin.index.json"
	maxIndex         = 64 << 20
)

// small chooses the files that come before the weights, an index of shards among them.
func small(part Part, name Name, files []string) (chosen []string) {
	for _, f := range files {
		if part != Tokenizer && slices.Contains(configFiles, f) || part != Config && isTokenizerFile(f) {
			chosen = append(chosen, f)
		}
	}
	if part == Whole {
		if form := weightForm(name, files); form == safetensorsIndex || form == torchIndex {
			chosen = append(chosen, form)
		}
	}
	return chosen
}

// weightForm is the file that holds or indexes the weights, safetensors before files of torch; empty where none of the usual names is
// there.
func weightForm(name Name, files []string) string {
	if name.File != "" {
		return name.File
	}
	for _, form := range []string{"model.safetensors", safetensorsIndex, "pytorch_model.bin", torchIndex} {
		if slices.Contains(files, form) {
			return form
		}
	}
	return ""
}

// weights chooses the weight files. read gives the content of an index that has been fetched.
func weights(name Name, files []string, read func(file string) ([]byte, error)) ([]string, error) {
	form := weightForm(name, files)
	switch form {
	case "":
	case safetensorsIndex, torchIndex:
		content, err := read(form)
		if err != nil {
			return nil, err
		}
		return shards(name, form, content, files)
	default:
		if !slices.Contains(files, form) {
			return nil, fmt.Errorf("%s: the model has no file %s", name, form)
		}
		return []string{form}, nil
	}
	var others []string
	for _, f := range files {
		if ext := path.Ext(f); !strings.Contains(f, "/") && (ext == ".pth" || ext == ".safetensors" || ext == ".bin" && f != "training_args.bin") {
			others = append(others, f)
		}
	}
	switch len(others) {
	case 1:
		return others, nil
	case 0:
		return nil, fmt.Errorf("%s: the model has no weights in safetensors or torch's form", name)
	}
	return nil, fmt.Errorf("%s: the model has several weight files, name one as %s/FILE: %s", name, name, strings.Join(others[:min(len(others), 12)], ", "))
}

func shards(name Name, index string, content []byte, files []string) (chosen []string, err error) {
	var parsed struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, index, err)
	}
	for _, f := range parsed.WeightMap {
		if !slices.Contains(files, f) {
			return nil, fmt.Errorf("%s: %s names the shard %.80q, which is not there", name, index, f)
		}
		if !slices.Contains(chosen, f) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%s: %s names no shards", name, index)
	}
	slices.Sort(chosen)
	return chosen, nil
}

func readIndex(path string) ([]byte, error) { return atomic.Read(path, maxIndex) }
