package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"stuffed/pkg/models"
)

// modelFlags choose a model and the device that runs it.
type modelFlags struct {
	dir, backend, tokenizer string
	piece, devices          int
}

func (m *modelFlags) add(f *pflag.FlagSet) {
	f.StringVar(&m.dir, "model", "", "folder of the model (config.json and weights; transformers or mamba_ssm layout), its name on the Hugging Face hub (OWNER/MODEL[@REVISION]), or preset:NAME untrained")
	f.StringVar(&m.backend, "backend", "auto", "auto, cuda, cpu, go, or a GoMLX string such as xla:cuda,tf32=false")
	f.StringVar(&m.tokenizer, "tokenizer", "", "bytes, the path of a tokenizer's file or folder, or a name on the hub (default: the model's own, else chosen by its vocabulary)")
	f.IntVar(&m.piece, "piece", 512, "tokens that go through the device at once")
}

// addDevices is for commands whose sequences may be shared by devices.
func (m *modelFlags) addDevices(f *pflag.FlagSet) {
	f.IntVar(&m.devices, "devices", 1, "devices of this host that share the batches of sequences, each with the whole model")
}

// open loads the model and opens the device.
func (m *modelFlags) open() (*models.Opened, error) { return m.openFor(0) }

// openFor is open for so many tokens in all, 0 where that is not known.
func (m *modelFlags) openFor(tokens int) (*models.Opened, error) {
	o, err := models.OpenFor(m.dir, m.backend, m.tokenizer, tokens)
	if err != nil {
		return nil, err
	}
	o.Piece = max(m.piece, 1)
	if m.devices != 0 {
		if err := o.Spread(m.devices); err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
	}
	return o, nil
}
