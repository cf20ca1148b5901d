package models

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"stuffed/datasets"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/hub"
	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/pkg/tokenizer"
	"stuffed/xla"
)

// untrained is the beginning of a model name that stands for a preset with initial weights.
const untrained = "preset:"

// IsPreset tells whether a model's name stands for a preset with initial weights, preset:NAME, which has no files.
func IsPreset(name string) bool { return strings.HasPrefix(name, untrained) }

// Opened is a model on a device, ready to run.
type Opened struct {
	*lm.Runner
	Dir       string // its folder, where a name on the hub was given that of its snapshot, or preset:NAME
	Tokenizer string // as asked for; see Tokenizer
}

// Open loads a model folder, a model of the hub by its name (see Folder), or preset:NAME (see lm.Presets) with initial
// weights, and opens a backend (see xla.Open). tokenizer may be empty; see Tokenizer.
func Open(dir, backend, tokenizer string) (*Opened, error) {
	all, err := OpenAll([]string{dir}, backend, tokenizer)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// OpenFor is Open for so many tokens in all, by which auto may choose the backend that answers sooner.
func OpenFor(dir, backend, tokenizer string, tokens int) (*Opened, error) {
	all, err := openAll([]string{dir}, backend, tokenizer, tokens)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// OpenAll is Open for several models on one device.
func OpenAll(dirs []string, backend, tokenizer string) ([]*Opened, error) {
	return openAll(dirs, backend, tokenizer, 0)
}

func openAll(dirs []string, backend, tokenizer string, tokens int) (all []*Opened, err error) {
	var weights []*lm.Weights
	dirs = slices.Clone(dirs)
	for i, dir := range dirs {
		if dir, err = Folder(dir); err != nil {
			return nil, err
		}
		dirs[i] = dir
		w, err := load(dir)
		if err != nil {
			return nil, err
		}
		weights = append(weights, w)
	}
	operations := 0.0
	for _, w := range weights {
		operations += 2 * float64(w.Count()) * float64(tokens)
	}
	device, err := xla.Open(backend, xla.Options{Operations: operations})
	if err != nil {
		return nil, err
	}
	for i, w := range weights {
		all = append(all, &Opened{lm.NewRunner(device, w), dirs[i], tokenizer})
	}
	return all, nil
}

func load(dir string) (*lm.Weights, error) {
	name, preset := strings.CutPrefix(dir, untrained)
	if !preset {
		if dir == "" {
			return nil, fmt.Errorf("model: no folder given")
		}
		_, weights, err := Load(dir, dtypes.Float32)
		return weights, err
	}
	config, err := lm.Preset(name)
	if err != nil {
		return nil, err
	}
	m, err := config.New()
	if err != nil {
		return nil, err
	}
	return lm.InitialWeights(m, 0)
}

// Float64 reads the weights again and has the model computed in float64.
func (o *Opened) Float64() error {
	if IsPreset(o.Dir) {
		return fmt.Errorf("float64: %s has no file; train or export the model and give its folder", o.Dir)
	}
	_, w, err := Load(o.Dir, dtypes.Float64)
	if err != nil {
		return err
	}
	piece := o.Piece
	o.Runner = lm.NewRunner(o.Device, w)
	o.Piece = piece
	return nil
}

// Encoder opens the model's tokenizer.
func (o *Opened) Encoder() (tokenizer.Tokenizer, error) {
	return Tokenizer(o.Tokenizer, o.Dir, o.Weights.Model.Vocab())
}

// Manifest of a run of the model with options, seeds and other inputs (files or folders).
func (o *Opened) Manifest(options any, seeds []int64, inputs ...string) (*manifest.Manifest, error) {
	m, err := manifest.New(options, seeds...)
	if err != nil {
		return nil, err
	}
	m.Model = o.Weights.Model.Name() + " " + o.Weights.Model.Hash()
	m.Device(o.Device)
	if IsPreset(o.Dir) {
		m.Model += " untrained"
	} else {
		folder, err := checkpoint.Folder(o.Dir)
		if err != nil {
			return nil, err
		}
		if err := m.InputAs(hub.Label(o.Dir), folder); err != nil {
			return nil, err
		}
	}
	for _, path := range inputs {
		if err := m.Input(path); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// training is what training.json in a model's folder says; zero where there is none (other programs' models).
func training(dir string) (t struct {
	Config struct {
		TrainLength int `json:"train_length"`
		Stages      []struct {
			TrainLength int `json:"train_length"`
		} `json:"stages"`
		Data struct {
			Kind   string `json:"kind"`
			Keys   int    `json:"keys"`
			Values int    `json:"values"`
			Gap    int    `json:"gap"`
		} `json:"data"`
	} `json:"config"`
}, err error) {
	folder, err := checkpoint.Folder(dir)
	if err != nil {
		return t, err
	}
	text, err := os.ReadFile(filepath.Join(beside(folder), "training.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	} else if err != nil {
		return t, fmt.Errorf("how the model was trained: %w", err)
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("how the model was trained: %s: %w", filepath.Join(filepath.Base(dir), "training.json"), err)
	}
	return t, nil
}

// TrainLength is the training length in tokens that training.json in a model's folder states, that of the last stage
// where there are several, or otherwise (for other programs' models) the given length. It is an error if there is neither.
func TrainLength(dir string, otherwise int) (int, error) {
	t, err := training(dir)
	if err != nil {
		return 0, err
	}
	length := t.Config.TrainLength
	if s := t.Config.Stages; len(s) > 0 {
		length = s[len(s)-1].TrainLength
	}
	if length < 1 {
		length = otherwise
	}
	if length < 1 {
		return 0, fmt.Errorf("%s has no training length (train_length in its training.json), in multiples of which it would be read; "+
			"take a model that was trained, or give --train-length where the command has it", hub.Label(dir))
	}
	return length, nil
}

// RecallStream is the stream that a model was trained on, by its training.json, with another seed.
func RecallStream(dir string, seed int64) (datasets.RecallStream, error) {
	t, err := training(dir)
	if err != nil {
		return datasets.RecallStream{}, err
	}
	d := t.Config.Data
	if d.Kind != "recall" {
		return datasets.RecallStream{}, fmt.Errorf("model %s was not trained on a recall stream (data.kind in its training.json is %q)", filepath.Base(dir), d.Kind)
	}
	stream := datasets.RecallStream{Keys: d.Keys, Values: d.Values, Gap: d.Gap, Seed: seed}
	return stream, stream.Validate()
}
