package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"stuffed/pkg/atomic"
)

// Model is a Mamba-2 checkpoint: its layout, its config with Hugging Face keys, and its tensors under Hugging Face names.
//
// With D hidden_size, I = num_heads*head_dim, G n_groups, N state_size, K conv_kernel, C = I + 2 G N, H num_heads, V vocab_size:
// backbone.embeddings.weight [V,D]; per layer backbone.layers.i.norm.weight [D] and under backbone.layers.i.mixer: in_proj.weight
// [I+C+H,D], conv1d.weight [C,1,K], conv1d.bias [C] (use_conv_bias), dt_bias, A_log, D [H], norm.weight [I], out_proj.weight [D,I],
// in_proj.bias [I+C+H] and out_proj.bias [D] (use_bias); backbone.norm_f.weight [D]; lm_head.weight [V,D] unless tied.
type Model struct {
	Layout  string
	Config  Config
	Tensors map[string]*Tensor
}

// Tied reports whether the output head is the embedding.
func (m *Model) Tied() bool { return m.Tensors[headName] == nil }

// LoadModel reads config.json and the weights (model.safetensors, its shards, pytorch_model.bin or its shards) of a folder in either layout,
// and checks that it contains exactly the tensors that the config calls for, with the right shapes and float dtypes. A tied head (absent, or
// identical to the embedding unless the config says otherwise) is left out and "tie_word_embeddings" is set.
func LoadModel(dir string) (*Model, error) {
	dir, err := Folder(dir)
	if err != nil {
		return nil, err
	}
	m, saysTied, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	file, err := ReadWeights(dir)
	if err != nil {
		return nil, err
	}
	for name, t := range file.Tensors {
		name = huggingFaceName(name)
		if m.Tensors[name] != nil {
			return nil, fmt.Errorf("%s: tensor %q is present under both layouts' names", dir, name)
		}
		m.Tensors[name] = t
	}
	if err := m.tie(saysTied); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := m.CheckFinite(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return m, nil
}

// Normal converts a config of either layout to Hugging Face keys.
func Normal(config Config) (Config, error) {
	m, _, err := newModel(config)
	if err != nil {
		return nil, err
	}
	return m.Config, nil
}

func readConfig(dir string) (m *Model, saysTied *bool, err error) {
	path := filepath.Join(dir, "config.json")
	text, err := atomic.Read(path, maxConfig)
	if err != nil {
		return nil, nil, err
	}
	config, err := ParseConfig(text)
	if err == nil {
		m, saysTied, err = newModel(config)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, saysTied, nil
}

// newModel normalises a config of either layout. saysTied is nil if the config does not mention tying.
func newModel(config Config) (m *Model, saysTied *bool, err error) {
	m = &Model{Layout: LayoutHuggingFace, Tensors: map[string]*Tensor{}}
	_, hidden := config["hidden_size"]
	_, width := config["d_model"]
	switch kind := config["model_type"]; {
	case kind == "mamba2", kind == nil && hidden:
		m.Config = withDefaults(config, huggingFaceDefaults)
	case kind == nil && width:
		m.Layout = LayoutOfficial
		if m.Config, err = fromOfficial(config); err != nil {
			return nil, nil, err
		}
	case kind != nil:
		return nil, nil, fmt.Errorf("config: model_type is %v, only \"mamba2\" is read", kind)
	default:
		return nil, nil, fmt.Errorf("config: neither a Hugging Face config (model_type \"mamba2\") nor an official one (d_model)")
	}
	if v, ok := m.Config["tie_word_embeddings"]; ok && v != nil {
		tied, err := m.Config.Bool("tie_word_embeddings")
		if err != nil {
			return nil, nil, err
		}
		saysTied = &tied
	}
	return m, saysTied, nil
}

// tie drops a head that duplicates the embedding, and sets tie_word_embeddings accordingly.
func (m *Model) tie(saysTied *bool) error {
	embedding, head := m.Tensors[embeddingName], m.Tensors[headName]
	tied := head == nil
	if head != nil && embedding != nil && (saysTied == nil || *saysTied) {
		tied = head.DType == embedding.DType && slices.Equal(head.Shape, embedding.Shape) && bytes.Equal(head.Data, embedding.Data)
	}
	if saysTied != nil && tied != *saysTied {
		if tied {
			return fmt.Errorf("%s is missing, but tie_word_embeddings is false: add the tensor or set it to true", headName)
		}
		return fmt.Errorf("tie_word_embeddings is true, but %s differs from %s: remove the tensor or set it to false", headName, embeddingName)
	}
	if tied {
		delete(m.Tensors, headName)
	}
	m.Config["tie_word_embeddings"] = tied
	return nil
}

// Check compares the tensors with those that the config calls for and names every missing, extra or wrong one (the first ten).
func (m *Model) Check() error {
	want, err := expectedShapes(m.Config, m.Tensors)
	if err != nil {
		return err
	}
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(want)) {
		t := m.Tensors[name]
		switch {
		case t == nil:
			wrong = append(wrong, fmt.Errorf("tensor %q of shape %v is missing", name, want[name]))
		case !slices.Equal(t.Shape, want[name]):
			wrong = append(wrong, fmt.Errorf("tensor %q has shape %v, the config asks for %v", name, t.Shape, want[name]))
		case !isFloat(t.DType):
			wrong = append(wrong, fmt.Errorf("tensor %q has dtype %s, want one of F64 F32 F16 BF16", name, t.DType))
		default:
			if err := t.Check(); err != nil {
				wrong = append(wrong, fmt.Errorf("tensor %q: %w", name, err))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Tensors)) {
		if want[name] == nil {
			wrong = append(wrong, fmt.Errorf("tensor %q is not part of this model", short(name)))
		}
	}
	if len(wrong) > 10 {
		wrong = append(wrong[:10], fmt.Errorf("and %d more", len(wrong)-10))
	}
	return errors.Join(wrong...)
}

func expectedShapes(c Config, have map[string]*Tensor) (map[string][]int, error) {
	n := map[string]int{}
	for _, key := range []string{"num_heads", "head_dim", "vocab_size", "hidden_size", "state_size", "num_hidden_layers", "conv_kernel", "n_groups", "expand"} {
		v, err := c.Int(key, 1, bigDim)
		if err != nil {
			return nil, err
		}
		n[key] = v
	}
	flags := map[string]bool{}
	for _, key := range []string{"use_bias", "use_conv_bias", "tie_word_embeddings"} {
		v, err := c.Bool(key)
		if err != nil {
			return nil, err
		}
		flags[key] = v
	}
	d, heads, inner := n["hidden_size"], n["num_heads"], n["num_heads"]*n["head_dim"]
	if inner != n["expand"]*d {
		return nil, fmt.Errorf("config: num_heads*head_dim = %d, must equal expand*hidden_size = %d", inner, n["expand"]*d)
	}
	if n["num_hidden_layers"] > len(have) {
		return nil, fmt.Errorf("config: num_hidden_layers is %d, but the file has only %d tensors", n["num_hidden_layers"], len(have))
	}
	channels := inner + 2*n["n_groups"]*n["state_size"]
	want := map[string][]int{embeddingName: {n["vocab_size"], d}, "backbone.norm_f.weight": {d}}
	if !flags["tie_word_embeddings"] {
		want[headName] = []int{n["vocab_size"], d}
	}
	for i := range n["num_hidden_layers"] {
		layer := fmt.Sprintf("backbone.layers.%d.", i)
		mixer := layer + "mixer."
		want[layer+"norm.weight"] = []int{d}
		want[mixer+"in_proj.weight"] = []int{inner + channels + heads, d}
		want[mixer+"conv1d.weight"] = []int{channels, 1, n["conv_kernel"]}
		want[mixer+"dt_bias"] = []int{heads}
		want[mixer+"A_log"] = []int{heads}
		want[mixer+"D"] = []int{heads}
		want[mixer+"norm.weight"] = []int{inner}
		want[mixer+"out_proj.weight"] = []int{d, inner}
		if flags["use_conv_bias"] {
			want[mixer+"conv1d.bias"] = []int{channels}
		}
		if flags["use_bias"] {
			want[mixer+"in_proj.bias"] = []int{inner + channels + heads}
			want[mixer+"out_proj.bias"] = []int{d}
		}
	}
	return want, nil
}

// SaveModel writes config.json and model.safetensors (official: pytorch_model.bin) of a model folder in the given layout. config has Hugging Face keys and tensors
// Hugging Face names whatever the layout; dtype (F64 F32 F16 BF16) converts every tensor, "" keeps each as it is. A new folder appears
// complete or not at all; in an existing one both files are replaced, weights first, each complete or not at all.
func SaveModel(dir, layout string, config Config, tensors map[string]*Tensor, dtype string) error {
	m, saysTied, err := newModel(withDefaults(Config{"model_type": "mamba2"}, config))
	if err != nil {
		return err
	}
	maps.Copy(m.Tensors, tensors)
	if err := m.tie(saysTied); err != nil {
		return err
	}
	if err := m.Check(); err != nil {
		return err
	}
	out := map[string]*Tensor{}
	for name, t := range m.Tensors {
		if dtype != "" {
			if t, err = t.Convert(dtype); err != nil {
				return fmt.Errorf("tensor %q: %w", name, err)
			}
		}
		if layout == LayoutOfficial {
			name = officialName(name)
		}
		out[name] = t
	}
	switch layout {
	case LayoutHuggingFace:
		m.Config["model_type"], m.Config["architectures"] = "mamba2", []any{"Mamba2ForCausalLM"}
		m.Config["dtype"] = torchDTypes[m.Tensors[embeddingName].DType]
		if dtype != "" {
			m.Config["dtype"] = torchDTypes[dtype]
		}
	case LayoutOfficial:
		if m.Tied() {
			out[headName] = out[officialName(embeddingName)] // mamba_ssm loads strictly and requires both
		}
		if m.Config, err = toOfficial(m.Config); err != nil {
			return err
		}
	default:
		return fmt.Errorf("layout is %q, must be %q or %q", layout, LayoutHuggingFace, LayoutOfficial)
	}
	text, err := EncodeConfig(m.Config)
	if err != nil {
		return err
	}
	return writeModelFolder(dir, text, weightsName[layout], nil, out)
}

var torchDTypes = map[string]string{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

// weightsName is the weights file of each layout; mamba_ssm reads no other.
var weightsName = map[string]string{LayoutHuggingFace: singleName, LayoutOfficial: binName}

const binName = "pytorch_model.bin"

// WriteFolder writes config.json and model.safetensors, whose tensors dtype (F64 F32 F16 BF16) converts; "" keeps each as it is. A
// new folder appears complete or not at all; in an existing one both files are replaced, weights first.
func WriteFolder(dir string, config []byte, tensors map[string]*Tensor, dtype string) error {
	return WriteFolderAs(dir, config, singleName, nil, tensors, dtype)
}

// WriteFolderAs is WriteFolder with another weights file: one that ends in .bin or .pth is written in torch's format, its tensors sorted by
// order (see WriteTorch). If config is nil, no config.json is written. A weights file left under the other usual name is removed.
func WriteFolderAs(dir string, config []byte, weights string, order func(a, b string) int, tensors map[string]*Tensor, dtype string) error {
	out := map[string]*Tensor{}
	for name, t := range tensors {
		var err error
		if dtype != "" {
			if t, err = t.Convert(dtype); err != nil {
				return fmt.Errorf("tensor %q: %w", name, err)
			}
		}
		out[name] = t
	}
	return writeModelFolder(dir, config, weights, order, out)
}

func writeModelFolder(dir string, config []byte, weights string, order func(a, b string) int, tensors map[string]*Tensor) (err error) {
	target := dir
	if _, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
		parent := filepath.Dir(filepath.Clean(dir))
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
		if target, err = os.MkdirTemp(parent, "."+filepath.Base(dir)+".*.tmp"); err != nil {
			return err
		}
		defer os.RemoveAll(target)
	}
	if err := writeWeights(filepath.Join(target, weights), order, tensors); err != nil {
		return err
	}
	if config != nil {
		err = atomic.Bytes(filepath.Join(target, "config.json"), config)
	}
	for _, other := range []string{singleName, binName} {
		if err == nil && other != weights {
			if err = os.Remove(filepath.Join(target, other)); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
	}
	if err != nil || target == dir {
		return err
	}
	if err := os.Chmod(target, 0o755); err != nil {
		return err
	}
	if err := os.Rename(target, dir); err != nil {
		return err
	}
	return atomic.Sync(filepath.Dir(filepath.Clean(dir)))
}

func writeWeights(path string, order func(a, b string) int, tensors map[string]*Tensor) error {
	if filepath.Ext(path) == ".safetensors" {
		return WriteSafetensors(path, tensors, nil)
	}
	return WriteTorch(path, tensors, order)
}
