package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/atomic"
	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/pkg/study"
	"stuffed/xla"
)

// Growth measures how time and memory grow along one axis while everything else stays fixed, each point in a process of its own.
type Growth struct {
	Command []string      // this program's path and the words that make it a child; see [GrowthChild]
	Large   bool          // values for a GPU
	Only    []string      // of Axes, none for all
	Before  *GrowthReport // an earlier report on the same device, or nil: axes that it measured to the end are not repeated
}

// GrowthReport is the file written by stuffed bench growth.
type GrowthReport struct {
	manifest.Run
	Backend string        `json:"backend"`
	Device  string        `json:"device"`
	Memory  int64         `json:"memory"` // of the device in bytes, 0 if unknown
	Load    string        `json:"load"`   // load average of the machine before the first point
	Points  []GrowthPoint `json:"points"`
}

// GrowthPoint is one measurement.
type GrowthPoint struct {
	Axis    string  `json:"axis"`
	Value   int     `json:"value"`
	Seconds float64 `json:"seconds"`          // median of Runs
	Memory  int64   `json:"memory,omitempty"` // bytes beyond those of the opened device, 0 if not measured
	Runs    int     `json:"runs"`
	Error   string  `json:"error,omitempty"`
}

// ReadGrowth reads what [GrowthReport.Write] saved.
func ReadGrowth(path string) (*GrowthReport, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &GrowthReport{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return r, nil
}

// Write saves the report to a file.
func (r *GrowthReport) Write(path string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return atomic.Bytes(path, append(data, '\n'))
}

// Axis is a quantity that grows.
type Axis struct {
	Name, Unit, What string
	Values, Large    []int
	child            func(v int) (train *TrainSpec, read, piece int) // a training step, or a text read in pieces
}

// growthModel is the small model that axes start from: width 64, 2 layers.
func growthModel(layers, width int) lm.Config {
	return shaped(fmt.Sprintf(`{"width": %d, "layers": %d, "vocab": 256, "head_dim": 32, "state": 16}`, width, layers))
}

func growthStep(layers, width, batch, tokens, models int) *TrainSpec {
	return &TrainSpec{Name: "growth", Model: growthModel(layers, width), Batch: batch, Tokens: tokens, Members: models, Compute: "f32", Save: "none"}
}

func stepOf(spec func(v int) *TrainSpec) func(int) (*TrainSpec, int, int) {
	return func(v int) (*TrainSpec, int, int) { return spec(v), 0, 0 }
}

// Axes lists the axes of Growth; rows and workers need no device.
var Axes = []Axis{
	{"T, one call", "tokens", "read a text at once", []int{512, 4096, 32768, 131072}, []int{512, 4096, 32768, 262144, 1 << 20},
		func(v int) (*TrainSpec, int, int) { return nil, v, v }},
	{"T, pieces", "tokens", "read a text in pieces of 4,096", []int{4096, 65536, 1 << 20}, []int{4096, 65536, 1 << 20},
		func(v int) (*TrainSpec, int, int) { return nil, v, 4096 }},
	{"T, step", "tokens", "a training step on one sequence", []int{256, 1024, 4096, 16384}, []int{512, 4096, 32768, 262144},
		stepOf(func(v int) *TrainSpec { return growthStep(2, 64, 1, v, 1) })},
	{"layers", "layers", "a training step, T 256", []int{1, 4, 16}, []int{1, 4, 16, 64},
		stepOf(func(v int) *TrainSpec { return growthStep(v, 64, 4, 256, 1) })},
	{"width", "channels", "a training step, T 256", []int{32, 128, 512}, []int{64, 256, 1024, 4096},
		stepOf(func(v int) *TrainSpec { return growthStep(2, v, 4, 256, 1) })},
	{"batch", "sequences", "a training step, T 256", []int{1, 4, 16, 64}, []int{1, 8, 64, 512},
		stepOf(func(v int) *TrainSpec { return growthStep(2, 64, v, 256, 1) })},
	{"models", "models", "a training step of several models in one graph, T 256", []int{1, 4, 16}, []int{1, 4, 16, 64},
		stepOf(func(v int) *TrainSpec { return growthStep(2, 64, 4, 256, v) })},
	{"rows", "rows", "a study of rows without work, one worker: what the store costs", []int{10, 100, 1000, 4000}, []int{10, 100, 1000, 4000}, nil},
	{"workers", "workers", "a study of 100 rows without work by several workers of one machine", []int{1, 2, 4, 8}, []int{1, 2, 4, 8}, nil},
}

// AxisNames lists the names of [Axes].
func AxisNames() (names []string) {
	for _, a := range Axes {
		names = append(names, a.Name)
	}
	return names
}

const growthRuns = 3

// Report measures the axes and passes the report to emit after every point.
func (g Growth) Report(ctx context.Context, emit func(*GrowthReport, GrowthPoint) error) error {
	r := g.Before
	if r == nil {
		r = &GrowthReport{Run: manifest.ThisRun(), Load: load()}
	}
	for _, a := range Axes {
		values := a.Values
		if g.Large {
			values = a.Large
		}
		if len(g.Only) > 0 && !slices.Contains(g.Only, a.Name) || r.measured(a.Name, values) {
			continue
		}
		r.Points = slices.DeleteFunc(r.Points, func(p GrowthPoint) bool { return p.Axis == a.Name }) // left by a run that was interrupted
		for _, v := range values {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := g.point(ctx, r, a, v)
			if err := ctx.Err(); err != nil {
				return err // the point was interrupted rather than failing
			}
			if passing := errors.New(p.Error); study.Passing(passing) {
				return fmt.Errorf("%s = %d: %w; run the same command again once that has passed", a.Name, v, passing) // no wall
			}
			r.Points = append(r.Points, p)
			if err := emit(r, p); err != nil {
				return err
			}
			if p.Error != "" {
				break // larger values would fail too
			}
		}
	}
	return nil
}

// measured reports whether an axis was measured to its end.
func (r *GrowthReport) measured(axis string, values []int) bool {
	return slices.ContainsFunc(r.Points, func(p GrowthPoint) bool {
		return p.Axis == axis && (p.Error != "" || p.Value == values[len(values)-1])
	})
}

func load() string {
	data, _ := os.ReadFile("/proc/loadavg") // other systems have no such file
	text, _, _ := strings.Cut(string(data), " ")
	return text
}

// growthAnswer is what a child prints.
type growthAnswer struct {
	GrowthPoint
	Backend, Device string
	Total           int64
}

func (g Growth) point(ctx context.Context, r *GrowthReport, a Axis, v int) GrowthPoint {
	p := GrowthPoint{Axis: a.Name, Value: v}
	if a.child == nil {
		seconds, err := storeSeconds(ctx, a.Name, v)
		if err != nil {
			p.Error = err.Error()
		}
		p.Seconds, p.Runs = seconds, 1
		return p
	}
	errs := &tail{}
	c := exec.CommandContext(ctx, g.Command[0], append(slices.Clone(g.Command[1:]), "--child", a.Name, "--value", fmt.Sprint(v))...)
	c.Stderr = errs
	out, err := c.Output()
	var answer growthAnswer
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	if err != nil {
		text := strings.TrimSpace(string(errs.last))
		p.Error = strings.TrimSpace(fmt.Sprintf("%v %s", err, text[max(0, len(text)-300):]))
		return p
	}
	r.Backend, r.Device, r.Memory = answer.Backend, answer.Device, answer.Total
	return answer.GrowthPoint
}

// GrowthChild measures one point and prints it as JSON.
func GrowthChild(ctx context.Context, d *xla.Device, name string, value int, out io.Writer) error {
	at := slices.IndexFunc(Axes, func(a Axis) bool { return a.Name == name && a.child != nil })
	if at < 0 {
		return fmt.Errorf("no axis is called %q", name)
	}
	before := held(d)
	answer := growthAnswer{GrowthPoint: GrowthPoint{Axis: name, Value: value, Runs: growthRuns}, Backend: d.Kind, Device: d.Hardware(), Total: d.Memory()}
	call, err := growthCall(ctx, d, Axes[at], value)
	if err != nil {
		return err
	}
	var seconds []float64
	for i := range growthRuns + 1 { // the first run compiles
		start := time.Now()
		if err := guarded(call); err != nil {
			return err
		}
		if i > 0 {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	slices.Sort(seconds)
	answer.Seconds, answer.Memory = seconds[len(seconds)/2], max(0, held(d)-before)
	return json.NewEncoder(out).Encode(answer)
}

func growthCall(ctx context.Context, d *xla.Device, a Axis, value int) (func() error, error) {
	spec, read, piece := a.child(value)
	if spec != nil {
		filled, _, _ := spec.described()
		t, err := trainer(d, filled)
		if err != nil {
			return nil, err
		}
		return func() error { _, err := t.Step(); return err }, nil
	}
	w, err := initial(growthModel(2, 64))
	if err != nil {
		return nil, err
	}
	ids := make([]int32, read)
	for i := range ids {
		ids[i] = int32((i*7919 + 13) % w.Model.Vocab())
	}
	r := lm.NewRunner(d, w)
	r.Piece = min(piece, read)
	return func() error {
		after, err := r.Run(ctx, [][]int32{ids}, lm.ZeroState(w.Model, 1, dtypes.Float32), lm.Request{Last: true}, nil)
		if err != nil {
			return err
		}
		return after.Release()
	}, nil
}

// held returns the peak memory of this process, or on a GPU the memory in use there (XLA returns none); 0 if unknown.
func held(d *xla.Device) int64 {
	if d.Kind != "cuda" {
		return xla.Resident()
	}
	gpu, _, _ := strings.Cut(os.Getenv("CUDA_VISIBLE_DEVICES"), ",")
	if gpu == "" {
		gpu = "0"
	}
	out, err := exec.Command("nvidia-smi", "--id="+gpu, "--query-gpu=memory.used", "--format=csv,noheader,nounits").Output()
	if err != nil {
		return 0
	}
	mib, _ := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return mib << 20
}

// Slope is the exponent p of cost ∝ value^p, fitted by least squares in logarithms, over all points and between the last two; NaN
// with fewer than two.
func Slope(values, costs []float64) (all, last float64) {
	var x, y []float64
	for i := range values {
		if values[i] > 0 && costs[i] > 0 {
			x, y = append(x, math.Log(values[i])), append(y, math.Log(costs[i]))
		}
	}
	n := len(x)
	if n < 2 {
		return math.NaN(), math.NaN()
	}
	mx, my := 0.0, 0.0
	for i := range x {
		mx, my = mx+x[i]/float64(n), my+y[i]/float64(n)
	}
	sxy, sxx := 0.0, 0.0
	for i := range x {
		sxy, sxx = sxy+(x[i]-mx)*(y[i]-my), sxx+(x[i]-mx)*(x[i]-mx)
	}
	return sxy / sxx, (y[n-1] - y[n-2]) / (x[n-1] - x[n-2])
}
