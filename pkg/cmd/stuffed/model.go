package main

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/spf13/pflag"

	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/tokenizer"
	"stuffed/xla"
)

// modelFlags choose a model and the device that runs it.
type modelFlags struct {
	dir, backend, tokenizer string
	piece                   int
}

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.dir, "model", "", "folder of the model (config.json and weights; transformers or mamba_ssm layout)")
	f.StringVar(&m.backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string such as xla:cuda,tf32=false")
	f.StringVar(&m.tokenizer, "tokenizer", "", "bytes, or the path of a tokenizer.json (default: the model's own, else chosen by its vocabulary)")
	f.IntVar(&m.piece, "piece", 512, "tokens that go through the device at once")
}

// open loads the model and opens the device.
func (m *modelFlags) open() (*lm.Runner, error) {
	_, weights, err := models.Load(m.dir, dtypes.Float32)
	if err != nil {
		return nil, err
	}
	device, err := xla.Open(m.backend)
	if err != nil {
		return nil, err
	}
	r := lm.NewRunner(device, weights)
	r.Piece = max(m.piece, 1)
	return r, nil
}

// encoder is the tokenizer of the opened model.
func (m *modelFlags) encoder(r *lm.Runner) (tokenizer.Tokenizer, error) {
	return models.Tokenizer(m.tokenizer, m.dir, r.Weights.Model.Vocab())
}

// manifest of a run with options and other inputs than the model.
func (m *modelFlags) manifest(r *lm.Runner, options any, seeds []int64, inputs ...string) (*manifest.Manifest, error) {
	out, err := manifest.New(options, seeds...)
	if err != nil {
		return nil, err
	}
	out.Model = r.Weights.Model.Name() + " " + r.Weights.Model.Hash()
	out.Device(r.Device)
	for _, path := range append([]string{m.dir}, inputs...) {
		if err := out.Input(path); err != nil {
			return nil, err
		}
	}
	return out, nil
}
