package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"stuffed/pkg/atomic"
	"stuffed/pkg/plaintext"
)

const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// jsonText marshals values that cannot fail (strings, integers, maps of strings) without HTML escapes.
func jsonText(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

type shardIndex struct {
	Metadata  map[string]any    `json:"metadata"`
	WeightMap map[string]string `json:"weight_map"`
}

// ReadSharded reads all shards that an index file (model.safetensors.index.json) names. Every tensor of the map must be in its shard,
// every shard must lie beside the index, and no shard may hold a tensor that the map does not place there.
func ReadSharded(indexPath string) (*File, error) {
	return readSharded(indexPath, ReadSafetensors)
}

func readSharded(indexPath string, read func(string) (*File, error)) (*File, error) {
	content, err := atomic.Read(indexPath, maxHeader)
	if err != nil {
		return nil, err
	}
	var index shardIndex
	if content, err = plaintext.Decode(content); err == nil {
		err = json.Unmarshal(content, &index)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexPath, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is missing or empty", indexPath)
	}
	byShard := map[string][]string{}
	for name, shard := range index.WeightMap {
		if shard == "" || shard != filepath.Base(shard) || shard == "." || shard == ".." {
			return nil, fmt.Errorf("%s: weight_map[%q] is %q: a shard must be a plain file name beside the index", indexPath, short(name), short(shard))
		}
		byShard[shard] = append(byShard[shard], name)
	}
	out := &File{Tensors: map[string]*Tensor{}, Meta: map[string]string{}}
	for _, shard := range slices.Sorted(maps.Keys(byShard)) {
		file, err := read(filepath.Join(filepath.Dir(indexPath), shard))
		if err != nil {
			return nil, fmt.Errorf("shard of %s: %w", indexPath, err)
		}
		for _, name := range byShard[shard] {
			if file.Tensors[name] == nil {
				return nil, fmt.Errorf("%s: weight_map places tensor %q in %s, which does not have it", indexPath, short(name), shard)
			}
		}
		for name, t := range file.Tensors {
			if index.WeightMap[name] != shard {
				return nil, fmt.Errorf("%s: shard %s has tensor %q, which weight_map does not place there", indexPath, shard, short(name))
			}
			out.Tensors[name] = t
		}
		maps.Copy(out.Meta, file.Meta)
	}
	return out, nil
}

// WriteSharded writes tensors to dir in name order as model-0000i-of-0000n.safetensors of at most maxBytes of data each (a larger
// tensor gets a shard of its own) and then the index, whose rename commits the set. If all fit in one file it writes
// model.safetensors alone.
func WriteSharded(dir string, tensors map[string]*Tensor, maxBytes int64) error {
	if maxBytes <= 0 {
		return fmt.Errorf("maxBytes is %d, must be positive", maxBytes)
	}
	var shards []map[string]*Tensor
	var room int64
	total := int64(0)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		if tensors[name] == nil {
			return fmt.Errorf("tensor %q is nil", name)
		}
		size := int64(len(tensors[name].Data))
		if len(shards) == 0 || (size > room && len(shards[len(shards)-1]) > 0) {
			shards = append(shards, map[string]*Tensor{})
			room = maxBytes
		}
		shards[len(shards)-1][name] = tensors[name]
		room -= size
		total += size
	}
	if len(shards) < 2 {
		return WriteSafetensors(filepath.Join(dir, singleName), tensors, nil)
	}
	index := shardIndex{Metadata: map[string]any{"total_size": total}, WeightMap: map[string]string{}}
	for i, shard := range shards {
		file := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := WriteSafetensors(filepath.Join(dir, file), shard, nil); err != nil {
			return err
		}
		for name := range shard {
			index.WeightMap[name] = file
		}
	}
	content, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	err = atomic.Write(filepath.Join(dir, indexName), func(w io.Writer) error {
		_, err := w.Write(append(content, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	// Readers prefer a single file over an index, so a leftover single file would hide the shards.
	if err := os.Remove(filepath.Join(dir, singleName)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
