package trace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"

	"stuffed/datasets/prompt"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

const (
	flushRows  = 1 << 16
	flushAfter = 30 * time.Second
)

// Path returns the file of one table of a trace. The state table is output itself; the others lie next to it, T.losses.parquet for
// T.parquet.
func Path(output, name string) string {
	if name == States {
		return output
	}
	ext := filepath.Ext(output)
	return strings.TrimSuffix(output, ext) + "." + name + ext
}

// Files returns the paths of all tables that Write creates.
func Files(c Config, output string) (paths []string) {
	names, _ := buffers(c)
	for _, name := range names {
		paths = append(paths, Path(output, name))
	}
	return paths
}

// Write traces the prompts into Parquet or CSV files (see Path) in constant memory. Rows become durable within half a minute, and an
// interrupted run resumes from there, since the model's state is saved next to the parts. A finished trace is left as it is.
func Write(ctx context.Context, r *lm.Runner, probes []prompt.Probe, c Config, output string) error {
	c = c.filled(r.Weights.Model)
	if err := check(r, c, probes); err != nil {
		return err
	}
	w, err := openWriter(c, r.Weights.Model, output)
	if err != nil || w == nil {
		return err
	}
	if err := run(ctx, r, probes, c, w.buffers, w.from, w.pause); err != nil {
		return errors.Join(err, w.interrupted())
	}
	if err := w.flush(); err != nil {
		return err
	}
	return w.close()
}

// writer appends rows to all tables in step.
type writer struct {
	model   lm.Model
	output  string
	names   []string
	buffers map[string]*buffer
	files   map[string]*table.Writer
	from    progress
	latest  progress
	rows    int // rows of the state table buffered at the last pause
	flushed time.Time
	storing chan error // result of the flush in progress, or nil
}

// place is saved next to the parts: how far they reach, and the model's state there.
type place struct {
	Batch    int            `json:"batch"`
	Position int            `json:"position"`
	Parts    map[string]int `json:"parts"`
}

func placePath(output string) string { return output + ".position" }

func openWriter(c Config, m lm.Model, output string) (*writer, error) {
	w := &writer{model: m, output: output, files: map[string]*table.Writer{}, flushed: time.Now()}
	w.names, w.buffers = buffers(c)
	at, err := w.restore()
	if err != nil {
		return nil, err
	}
	if at == nil {
		if _, err := os.Stat(output); err == nil {
			return nil, nil // already finished
		}
	}
	for _, name := range w.names {
		path, parts := Path(output, name), 0
		if at != nil {
			parts = at.Parts[name]
			if _, err := os.Stat(path + ".parts"); errors.Is(err, fs.ErrNotExist) && parts > 0 {
				continue // closed before the interruption
			}
		}
		if w.files[name], err = table.Continue(path, w.buffers[name].table(), parts); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// restore reads the place where an earlier run stopped, nil if there is none.
func (w *writer) restore() (*place, error) {
	path := placePath(w.output)
	file, err := checkpoint.ReadSafetensors(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w; remove it to start the trace again", err)
	}
	var at place
	if err := json.Unmarshal([]byte(file.Meta["place"]), &at); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to start the trace again", path, err)
	}
	w.from = progress{batch: at.Batch, position: at.Position}
	if at.Position == 0 {
		return &at, nil
	}
	sums, err := file.Tensor("log_retention")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if w.from.sums, err = sums.Float64s(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w.from.state = lm.State{}
	for _, s := range w.model.State(1) {
		t, err := file.Tensor(s.Name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		dtype := dtypes.Float32
		if t.DType == "F64" {
			dtype = dtypes.Float64
		}
		if w.from.state[s.Name], err = t.ToDevice(shapes.Make(dtype, t.Shape...)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return &at, nil
}

// pause is called when no bucket is open; it flushes the rows from time to time.
func (w *writer) pause(p progress) error {
	w.latest, w.rows = p, w.buffers[States].rows()
	if w.rows < flushRows*writers() && time.Since(w.flushed) < flushAfter {
		return nil
	}
	return w.flush()
}

// interrupted saves what has been traced up to the last pause.
func (w *writer) interrupted() error {
	if w.rows > 0 && w.rows == w.buffers[States].rows() {
		if err := w.flush(); err != nil {
			return err
		}
	}
	return w.wait()
}

// wait blocks until the flush in progress is durable.
func (w *writer) wait() error {
	if w.storing == nil {
		return nil
	}
	err := <-w.storing
	w.storing = nil
	return err
}

// writers is the number of parts encoded concurrently.
func writers() int { return min(runtime.GOMAXPROCS(0), 8) }

// flush starts to write the buffered rows, in parts of about flushRows rows, once the previous flush is durable.
func (w *writer) flush() error {
	if err := w.wait(); err != nil {
		return err
	}
	parts := map[string][]*table.Table{}
	for name, b := range w.buffers {
		parts[name] = cut(b.table(), flushRows)
		b.clear()
	}
	at := w.latest
	at.sums = slices.Clone(at.sums)
	w.rows, w.flushed, w.storing = 0, time.Now(), make(chan error, 1)
	go func() { w.storing <- w.store(parts, at) }()
	return nil
}

func (w *writer) store(parts map[string][]*table.Table, p progress) error {
	at := place{Batch: p.batch, Position: p.position, Parts: map[string]int{}}
	for _, name := range w.names {
		if w.files[name] == nil {
			continue
		}
		if err := w.files[name].AppendAll(parts[name]...); err != nil {
			return err
		}
		at.Parts[name] = w.files[name].Parts()
	}
	meta, err := json.Marshal(at)
	if err != nil {
		return err
	}
	kept := map[string]*checkpoint.Tensor{}
	if p.position > 0 {
		if kept["log_retention"], err = checkpoint.FromFloat64([]int{len(p.sums)}, p.sums); err != nil {
			return err
		}
		for name, t := range p.state {
			if kept[name], err = checkpoint.FromDevice(t); err != nil {
				return err
			}
		}
	}
	return checkpoint.WriteSafetensors(placePath(w.output), kept, map[string]string{"place": string(meta)})
}

// close merges the parts, the state table last, and deletes the place.
func (w *writer) close() error {
	if err := w.wait(); err != nil {
		return err
	}
	for i := len(w.names) - 1; i >= 0; i-- {
		if f := w.files[w.names[i]]; f != nil {
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(placePath(w.output)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
