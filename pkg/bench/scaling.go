package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/xla"
)

// Scaling measures the speed-up from several devices of one host, each measurement in processes of its own:
//
//	parallel     one model whose sequences are shared by 1, 2, … devices, each with as many tokens as one alone
//	independent  1, 2, … processes that train models of their own, each on its GPU, over the same interval
//	grid         a plan of equal rows worked on by 1, 2, … workers of stuffed study run, from start to end
type Scaling struct {
	Command          []string // this program's path and the words that make it a child; see [ScalingChild]
	Study            []string // the same for study run, without plan, store and workers
	GPUs             []string // values of CUDA_VISIBLE_DEVICES; if empty, children choose their device
	Devices, Workers []int
	Only             []string // subset of ScalingWorks, empty for all
	Steps            int      // timed calls
	Tiny             bool     // shapes for a CPU
}

// ScalingWorks lists the measurements of Scaling.
var ScalingWorks = []string{"parallel", "independent", "grid"}

// scalingWarm is the number of calls before the timed ones.
const scalingWarm = 3

// parallelSpec is the model whose sequences are shared.
func parallelSpec(tiny bool) (TrainSpec, error) {
	if tiny {
		return TrainSpec{Name: "tiny", Model: shaped(`{"width": 32, "layers": 1, "vocab": 64, "head_dim": 16, "state": 8}`), Batch: 2, Tokens: 32, Compute: "f32", Save: "none"}, nil
	}
	model, err := lm.Preset("130m")
	return TrainSpec{Name: "130m", Model: model, Batch: 16, Tokens: 2048, Compute: "bf16", Save: "none"}, err
}

// independentSpec is the set of models trained by one process.
func independentSpec(tiny bool) TrainSpec {
	if tiny {
		return TrainSpec{Name: "tiny", Model: shaped(`{"width": 32, "layers": 1, "vocab": 64, "head_dim": 16, "state": 8}`), Batch: 4, Tokens: 32, Members: 2, Compute: "f32", Save: "all", StepsPerCall: 2, Unroll: true}
	}
	return TrainSpec{Name: "small d256 L2 N128 V4096", Model: shaped(`{"width": 256, "layers": 2, "vocab": 4096}`), Batch: 256, Tokens: 256, Members: 6, Compute: "bf16", Save: "all", StepsPerCall: 4, Unroll: true}
}

// Report runs the measurements and passes the report to emit whenever it has grown; a measurement that fails is a row with its
// error.
func (s Scaling) Report(ctx context.Context, emit func(*Report, Row) error) error {
	r := &Report{Run: manifest.ThisRun()}
	add := func(row Row) error {
		r.Rows = append(r.Rows, row)
		return emit(r, row)
	}
	runs := []func(context.Context, *Report, func(Row) error) error{s.parallel, s.independent, s.grid}
	for i, work := range ScalingWorks {
		if len(s.Only) > 0 && !slices.Contains(s.Only, work) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := runs[i](ctx, r, add); err != nil {
			return err
		}
	}
	return nil
}

// times notes in a row the ratio to the first row, and what fraction of n that is.
func times(row, first Row, n int) string {
	if row.Error != "" || first.Error != "" || first.Median == 0 {
		return ""
	}
	ratio := row.Median / first.Median
	return fmt.Sprintf("%.2f times the first, %.0f %% of %d", ratio, 100*ratio/float64(n), n)
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// parallel starts one child for each number of devices, so that each begins with empty memory.
func (s Scaling) parallel(ctx context.Context, r *Report, add func(Row) error) error {
	var first Row
	for i, n := range s.Devices {
		c, err := s.start(ctx, "", "--child", "parallel", "--devices", fmt.Sprint(n))
		if err != nil {
			return err
		}
		spec, err := parallelSpec(s.Tiny)
		if err != nil {
			return err
		}
		spec, shape, note := spec.described()
		row := Row{Work: "parallel", Shape: shape + fmt.Sprintf(" on each of %d devices", n), Note: note}
		spec.Devices = n
		got, err := c.result()
		if err != nil {
			row.Error = err.Error()
		} else {
			row = ratesOf(row, got.Seconds, float64(spec.tokens()))
			got.describe(r)
			if err := add(Row{Work: "compile", Shape: "parallel " + row.Shape, Unit: "s"}.once(got.Compile)); err != nil {
				return err
			}
		}
		if i == 0 {
			first = row
		}
		row.Note = joined(row.Note, times(row, first, n/s.Devices[0]))
		if err := add(row); err != nil {
			return err
		}
	}
	return nil
}

// independent lets the children start together once all are warm; the total rate is the sum of their medians.
func (s Scaling) independent(ctx context.Context, r *Report, add func(Row) error) error {
	var first Row
	spec, shape, note := independentSpec(s.Tiny).described()
	for i, n := range s.Workers {
		row := Row{Work: "independent", Shape: fmt.Sprintf("%s by each of %d processes%s", shape, n, s.spread(n)), Note: note}
		got, err := s.together(ctx, n)
		if err != nil {
			row.Error = err.Error()
		} else {
			row.Unit, row.Runs = "tok/s", s.Steps
			for _, child := range got {
				one := ratesOf(Row{}, child.Seconds, float64(spec.tokens()))
				row.Median, row.Min, row.Max = row.Median+one.Median, row.Min+one.Min, row.Max+one.Max
			}
			got[0].describe(r)
		}
		if i == 0 {
			first = row
		}
		row.Note = joined(row.Note, times(row, first, s.devicesOf(n)/s.devicesOf(s.Workers[0])))
		if err := add(row); err != nil {
			return err
		}
	}
	return nil
}

// devicesOf returns the number of GPUs that n processes use, or n where there is no GPU.
func (s Scaling) devicesOf(n int) int {
	if len(s.GPUs) == 0 {
		return n
	}
	return min(n, len(s.GPUs))
}

func (s Scaling) spread(n int) string {
	if len(s.GPUs) == 0 {
		return ""
	}
	return fmt.Sprintf(" on %d GPUs", s.devicesOf(n))
}

func (s Scaling) together(ctx context.Context, n int) (all []ChildResult, err error) {
	children := make([]*child, n)
	defer func() {
		for _, c := range children {
			if c != nil {
				c.end()
			}
		}
	}()
	for i := range children {
		gpu := ""
		if len(s.GPUs) > 0 {
			gpu = s.GPUs[i%len(s.GPUs)]
		}
		if children[i], err = s.start(ctx, gpu, "--child", "independent", "--devices", "1"); err != nil {
			return nil, err
		}
	}
	for i, c := range children {
		if line, err := c.out.ReadString('\n'); err != nil || line != childReady {
			_, err = c.result()
			return nil, fmt.Errorf("process %d: %w", i+1, err)
		}
	}
	for _, c := range children {
		if _, err := io.WriteString(c.in, "go\n"); err != nil {
			return nil, err
		}
	}
	for i, c := range children {
		got, err := c.result()
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", i+1, err)
		}
		all = append(all, got)
	}
	return all, nil
}

// child is a process of this program.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *tail
}

// tail keeps the end of what is written to it.
type tail struct{ last []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.last = append(t.last, b...)
	t.last = t.last[max(0, len(t.last)-2000):]
	return len(b), nil
}

func (s Scaling) start(ctx context.Context, gpu string, args ...string) (*child, error) {
	args = append(slices.Clone(s.Command[1:]), append(args, "--steps", fmt.Sprint(s.Steps), fmt.Sprint("--tiny=", s.Tiny))...)
	c := &child{cmd: exec.CommandContext(ctx, s.Command[0], args...), err: &tail{}}
	c.cmd.Stderr = c.err
	if gpu != "" {
		c.cmd.Env = append(os.Environ(), "CUDA_VISIBLE_DEVICES="+gpu)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return c, c.cmd.Start()
}

// result reads a child's last line and waits for it to exit.
func (c *child) result() (r ChildResult, err error) {
	decodeErr := json.NewDecoder(c.out).Decode(&r)
	if err = c.cmd.Wait(); err != nil {
		return r, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(c.err.last)))
	}
	return r, decodeErr
}

func (c *child) end() {
	_ = c.in.Close()
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

const childReady = "ready\n"

// ChildResult is what a child prints: the device and the seconds taken by its compilation and by each call.
type ChildResult struct {
	Backend, Precision, Device string
	Cores                      int
	Compile                    float64
	Seconds                    []float64
}

func (c ChildResult) describe(r *Report) {
	r.Backend, r.Precision, r.Device, r.Cores = c.Backend, c.Precision, c.Device, c.Cores
}

// ScalingChild is the process started by Scaling. work is parallel, with a number of devices, or independent, which announces
// when it is ready and starts when it reads a line from in.
func ScalingChild(d *xla.Device, work string, devices, steps int, tiny bool, in io.Reader, out io.Writer) error {
	spec := independentSpec(tiny)
	var err error
	if work == "parallel" {
		if spec, err = parallelSpec(tiny); err != nil {
			return err
		}
		spec.Devices = devices
	}
	report := NewReport(d)
	r := ChildResult{Backend: report.Backend, Precision: report.Precision, Device: report.Device, Cores: report.Cores}
	spec, _, _ = spec.described()
	t, err := trainer(d, spec)
	if err != nil {
		return err
	}
	start := time.Now()
	if err := guarded(func() error { return t.Compile(spec.StepsPerCall) }); err != nil {
		return err
	}
	r.Compile = time.Since(start).Seconds()
	for i := range scalingWarm + steps {
		if i == scalingWarm && work == "independent" {
			fmt.Fprint(out, childReady)
			if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
				return errors.New("the other processes ended")
			}
		}
		start := time.Now()
		if _, err := t.Step(); err != nil {
			return err
		}
		if i >= scalingWarm {
			r.Seconds = append(r.Seconds, time.Since(start).Seconds())
		}
	}
	return json.NewEncoder(out).Encode(r)
}

// grid runs equal rows, the same number for each worker, after one row that leaves the compiled programs on disk.
func (s Scaling) grid(ctx context.Context, r *Report, add func(Row) error) error {
	dir, err := os.MkdirTemp("", "scaling-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var first Row
	for i, n := range append([]int{0}, s.Workers...) {
		workers, rows := max(n, 1), max(n*gridRows, 1)
		plan, tokens := gridPlan(rows, 1000*i, s.Tiny)
		path := filepath.Join(dir, fmt.Sprintf("plan-%d.json", i))
		if err := os.WriteFile(path, plan, 0o644); err != nil {
			return err
		}
		row := Row{Work: "grid", Shape: fmt.Sprintf("%d rows by %d workers%s", rows, workers, s.spread(workers)), Unit: "tok/s"}
		start := time.Now()
		args := append(slices.Clone(s.Study[1:]), path, "--store", filepath.Join(dir, fmt.Sprint(i)), "--workers", fmt.Sprint(workers))
		c := exec.CommandContext(ctx, s.Study[0], args...)
		text, err := c.CombinedOutput()
		seconds := time.Since(start).Seconds()
		if row = row.once(tokens / seconds); err != nil {
			row.Error = fmt.Sprintf("%v: %s", err, text[max(0, len(text)-2000):])
		}
		row.Note = fmt.Sprintf("%.1f s from start to end, trained tokens", seconds)
		switch i {
		case 0:
			if row.Error == "" {
				continue
			}
		case 1:
			first = row
		}
		if n > 0 {
			row.Note = joined(row.Note, times(row, first, s.devicesOf(n)/s.devicesOf(s.Workers[0])))
		}
		if err := add(row); err != nil {
			return err
		}
	}
	return nil
}

// gridRows is the number of rows per worker.
const gridRows = 2

// gridPlan returns a plan of equal rows that differ only in their seeds, and the number of tokens it trains on.
func gridPlan(rows, firstSeed int, tiny bool) (plan []byte, tokens float64) {
	model, members, batch, steps, length, pairs, compute := `{"width": 256, "layers": 2}`, 6, 65536, 300, 256, [2]int{3072, 1024}, "bf16"
	if tiny {
		model, members, batch, steps, length, pairs, compute = `{"width": 16, "layers": 1, "head_dim": 8, "state": 4}`, 2, 128, 8, 16, [2]int{24, 8}, "f32"
	}
	var seeds []any
	for r := range rows {
		var own []int
		for k := range members {
			own = append(own, firstSeed+r*members+k)
		}
		seeds = append(seeds, own)
	}
	data, err := json.Marshal(map[string]any{
		"name": "scaling", "about": "equal rows",
		"base": map[string]any{
			"train": map[string]any{
				"data": map[string]any{"kind": "recall", "keys": pairs[0], "values": pairs[1]}, "model": json.RawMessage(model),
				"train_length": length, "batch_tokens": batch, "policy": []string{"zero"}, "seeds": []int{firstSeed}, "lr": []float64{0.001}, "warmup": 2,
				"steps": steps, "compute": compute, "steps_per_call": 4, "unroll": true,
			},
			"gap_share": 0.25, "evaluate": map[string]any{"times": 4, "sequences": 16, "traced": 1, "shares": []float64{}},
		},
		"groups": []any{map[string]any{"name": "seeds", "axes": []any{map[string]any{"field": "train.seeds", "values": seeds}}}},
	})
	if err != nil {
		panic(err) // cannot fail: plain values
	}
	return data, float64(rows * members * batch * steps)
}
