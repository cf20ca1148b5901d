package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ReadWeights reads all tensors of a folder: model.safetensors, its shards, pytorch_model.bin or its shards, or otherwise the only weights
// file in it (.safetensors, .pth, .pt or .bin). It also accepts the path of such a file.
func ReadWeights(dir string) (*File, error) {
	if info, err := os.Stat(dir); err == nil && info.Mode().IsRegular() {
		return readAlone(dir)
	}
	for _, source := range []struct {
		name string
		read func(string) (*File, error)
	}{
		{singleName, ReadSafetensors},
		{indexName, ReadSharded},
		{"pytorch_model.bin", ReadTorch},
		{"pytorch_model.bin.index.json", func(path string) (*File, error) { return readSharded(path, ReadTorch) }},
	} {
		path := filepath.Join(dir, source.name)
		if _, err := os.Stat(path); err == nil {
			return source.read(path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return readOnly(dir)
}

// alone maps file extensions to readers; torch files are read by the restricted unpickler.
var alone = map[string]func(string) (*File, error){".safetensors": ReadSafetensors, ".pth": ReadTorch, ".pt": ReadTorch, ".bin": ReadTorch}

func readAlone(path string) (*File, error) {
	read := alone[filepath.Ext(path)]
	if read == nil {
		return nil, fmt.Errorf("%s: a weight file must end in .safetensors, .pth, .pt or .bin", path)
	}
	return read(path)
}

// readOnly reads the only weights file of a folder that has none of the usual names, as RWKV's models are published.
func readOnly(dir string) (*File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if alone[filepath.Ext(e.Name())] != nil && !e.IsDir() && e.Name() != "training_args.bin" {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 1:
		return readAlone(filepath.Join(dir, found[0]))
	case 0:
		return nil, fmt.Errorf("%s: no weights: want %s, %s, pytorch_model.bin or one file .pth", dir, singleName, indexName)
	}
	return nil, fmt.Errorf("%s: several weight files and none of the usual names: %s", dir, strings.Join(found, ", "))
}
