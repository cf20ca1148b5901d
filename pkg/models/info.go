package models

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/hub"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Describe writes what a model is and needs: name is a folder, a preset, or a model on the hub. The device, if not nil, is asked for its memory
// and speed.
func Describe(name string, d *xla.Device, w io.Writer) error {
	m, kind, err := describe(name)
	if err != nil {
		return err
	}
	config, err := json.MarshalIndent(lm.Any{Config: m.Configuration()}, "", "  ")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n%s\n", kind, config)
	parameters := 0
	for _, s := range m.Parameters(1) {
		parameters += s.Size()
	}
	sizes := m.Configuration().Sizes()
	forward, train := lm.Operations(m)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, format string, values ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{label}, values...)...)
	}
	line("configuration", "%s", m.Hash())
	line("parameters", "%d (%s in float32, %s in bfloat16)", parameters, xla.Bytes(4*int64(parameters)), xla.Bytes(2*int64(parameters)))
	line("heads", "%d per layer, %d in all", sizes.Heads, sizes.Layers*sizes.Heads)
	line("state, recurrent alone", "%d scalars (%s in float32)", sizes.Recurrent, xla.Bytes(4*int64(sizes.Recurrent)))
	line(carried(m), "%d scalars (%s in float32)", sizes.Carried, xla.Bytes(4*int64(sizes.Carried)))
	for _, s := range m.State(1) {
		line("  "+s.Name, "%s, %v %v for one sequence", s.Role, s.Axes, s.Dims)
	}
	line("operations per token", "%.3g forward, %.3g in training", forward, train)
	memory := int64(0)
	if d != nil {
		memory = d.Memory()
	}
	for _, l := range []struct {
		label string
		load  lm.Load
	}{
		{"memory: reading, 1 sequence in pieces of 512", lm.Load{Batch: 1, Tokens: 512, Logits: true}},
		{"memory: reading, 16 sequences in pieces of 512", lm.Load{Batch: 16, Tokens: 512, Logits: true}},
		{"memory: training, 8 sequences of 1024", lm.Load{Batch: 8, Tokens: 1024, Train: true}},
		{"memory: training, 8 of 1024, bfloat16 products", lm.Load{Batch: 8, Tokens: 1024, Train: true, Half: true}},
	} {
		note := ""
		if memory > 0 && lm.Fit(m, l.load, memory) != nil {
			note = ": does not fit"
		}
		line(l.label, "about %s%s", xla.Bytes(lm.Estimate(m, l.load).Total()), note)
	}
	if d != nil {
		rate, err := d.ProductRate()
		if err != nil {
			return err
		}
		line("device", "%s, %s, %.3g float32 operations/s in products", d.Why, known(memory), rate)
		at := func(operations float64) time.Duration {
			return time.Duration(operations / rate * 1e9).Round(time.Millisecond)
		}
		line("time at that speed, at least", "%v per 1000 tokens read, %v per 1000 trained on", at(1000*forward), at(1000*train))
	}
	return t.Flush()
}

// carried says what the state holds beside the recurrence.
func carried(m lm.Model) string {
	label := "state with"
	for _, s := range m.State(1) {
		if role := " " + string(s.Role); s.Role != lm.Recurrent && !strings.HasSuffix(label, role) {
			label += role
		}
	}
	if label == "state with" {
		return "state, all"
	}
	return label
}

func known(memory int64) string {
	if memory <= 0 {
		return "memory unknown"
	}
	return xla.Bytes(memory) + " of memory"
}

// describe finds a model's configuration. The weights of a folder are loaded to check them; those of a model on the hub only if they
// are in the cache.
func describe(name string) (m lm.Model, kind string, err error) {
	folder, err := checkpoint.Folder(name)
	if err != nil {
		return m, "", err
	}
	if info, statErr := os.Stat(folder); statErr == nil && (info.IsDir() || info.Mode().IsRegular()) {
		m, w, err := Load(name, dtypes.Float32)
		if err != nil {
			return m, "", err
		}
		return m, fmt.Sprintf("model folder, %d tensors", len(w.Specs)), nil
	}
	if c, err := lm.Preset(strings.TrimPrefix(name, untrained)); err == nil {
		m, err = c.New()
		return m, "preset", err
	}
	if n, ok := hub.ParseName(name); ok {
		return describeNamed(n)
	}
	return m, "", noModel(name)
}

func describeNamed(n hub.Name) (m lm.Model, kind string, err error) {
	c, err := Client()
	if err != nil {
		return m, "", err
	}
	if dir, ok := c.Cached(n); ok {
		m, kind, err = describe(dir)
		return m, fmt.Sprintf("%s, %s in the cache at %s", n, kind, dir), err
	}
	dir, err := fetch(n, hub.Config)
	if err != nil {
		return m, "", err
	}
	m, err = modelOf(dir)
	if err != nil {
		return m, "", fmt.Errorf("%s: %w", n, err)
	}
	return m, fmt.Sprintf("%s, commit %s, on the hub: its weights are not in the cache, stuffed fetch %s brings them", n, filepath.Base(dir), n), nil
}
