package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"stuffed/pkg/atomic"
	"stuffed/pkg/manifest"
	"stuffed/pkg/table"
)

// log writes OUTPUT/config.json, OUTPUT/manifest.json (of the process that went on last), OUTPUT/metrics.jsonl and OUTPUT/valid.jsonl row by row and both as Parquet at the end.
type log struct {
	t              *Trainer
	metrics, valid *journal
	sums           []row // of the interval so far, by member
	steps          int64
	last           time.Time
}

// row is one line of the metrics: means over an interval of steps that ends at Step. NaN becomes null.
type row struct {
	Step       int64     `json:"step"`
	Tokens     int64     `json:"tokens"`  // that the member has read
	Member     int       `json:"replica"` // the name of logs and tables written so far
	Policy     string    `json:"policy"`
	LR         float64   `json:"lr"` // peak
	Seed       int64     `json:"seed"`
	Loss       *float64  `json:"loss"`                       // nats per token
	GradNorm   *float64  `json:"grad_norm"`                  // before clipping
	Rate       float64   `json:"rate"`                       // learning rate of the last step
	Skipped    int64     `json:"skipped"`                    // steps
	Throughput float64   `json:"tokens_per_second"`          // of all members
	GradLayer  []float64 `json:"grad_norm_layer,omitempty"`  // of the last step
	ParamLayer []float64 `json:"param_norm_layer,omitempty"` // before the last step
}

// validRow is the mean loss of held-out sequences over a bucket of positions.
type validRow struct {
	Step     int64    `json:"step"`
	Member   int      `json:"replica"`
	Policy   string   `json:"policy"`
	LR       float64  `json:"lr"`
	Seed     int64    `json:"seed"`
	Position int      `json:"position"` // first input token of the bucket
	Tokens   int      `json:"tokens"`   // positions in the bucket
	Loss     *float64 `json:"loss"`
	Scored   *float64 `json:"scored_loss"` // over tokens that only memory of the sequence can know
}

// metricRow is a line of the metrics as a table has it.
type metricRow struct {
	Step       int64   `parquet:"step" doc:"step at which the interval ends"`
	Tokens     int64   `parquet:"tokens" doc:"tokens that the member has read"`
	Member     int     `parquet:"replica" doc:"number of the member"`
	Policy     string  `parquet:"policy" doc:"policy of the initial states"`
	LR         float64 `parquet:"lr" doc:"peak learning rate"`
	Seed       int64   `parquet:"seed" doc:"seed of weights and data"`
	Loss       float64 `parquet:"loss" doc:"nats per token, mean over the interval"`
	GradNorm   float64 `parquet:"grad_norm" doc:"norm of the gradients before clipping, mean over the interval"`
	Rate       float64 `parquet:"rate" doc:"learning rate of the last step"`
	Skipped    int64   `parquet:"skipped" doc:"steps of the interval that changed nothing, as the gradients were not finite"`
	Throughput float64 `parquet:"tokens_per_second" doc:"of all members"`
}

// validMetric is a line of the validation as a table has it.
type validMetric struct {
	Step     int64   `parquet:"step" doc:"step after which it was measured"`
	Member   int     `parquet:"replica" doc:"number of the member"`
	Policy   string  `parquet:"policy" doc:"policy of the initial states"`
	LR       float64 `parquet:"lr" doc:"peak learning rate"`
	Seed     int64   `parquet:"seed" doc:"seed of weights and data"`
	Position int     `parquet:"position" doc:"first input token of the bucket"`
	Tokens   int     `parquet:"tokens" doc:"positions in the bucket"`
	Read     float64 `parquet:"read" doc:"tokens read at the middle of the bucket"`
	Loss     float64 `parquet:"loss" doc:"nats per token"`
	Scored   float64 `parquet:"scored_loss" doc:"the same over tokens that only memory of the sequence can know"`
}

func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func openLog(t *Trainer) (*log, error) {
	l := &log{t: t, last: time.Now()}
	if t.Config.Output == "" {
		return l, nil
	}
	if err := os.MkdirAll(t.Config.Output, 0o755); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	text, err := json.MarshalIndent(t.Config, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := atomic.Bytes(filepath.Join(t.Config.Output, "config.json"), append(text, '\n')); err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	m, err := manifest.New(map[string]any{"config": "config.json"}, t.Config.Seeds...)
	if err != nil {
		return nil, err
	}
	m.Config = t.Config.Hash()
	if err := m.Device(t.Device).Write(filepath.Join(t.Config.Output, "manifest.json")); err != nil {
		return nil, err
	}
	if l.metrics, err = openJournal(filepath.Join(t.Config.Output, "metrics.jsonl"), t.step); err != nil {
		return nil, err
	}
	if l.valid, err = openJournal(filepath.Join(t.Config.Output, "valid.jsonl"), t.step); err != nil {
		return nil, err
	}
	return l, nil
}

// add counts the steps of a call and writes the intervals that they end.
func (l *log) add(r Results) error {
	p, every := l.t.program, l.t.Config.Log.Every
	for s := range r.Loss {
		if l.sums == nil {
			l.sums = make([]row, len(p.members))
			for i := range l.sums {
				l.sums[i].Loss, l.sums[i].GradNorm = new(float64), new(float64)
			}
		}
		l.steps++
		for i := range l.sums {
			*l.sums[i].Loss += float64(r.Loss[s][i])
			*l.sums[i].GradNorm += float64(r.GradNorm[s][i])
			l.sums[i].Skipped += int64(r.Skipped[s][i])
		}
		step := r.Step + int64(s) + 1
		if step%every != 0 && step != l.t.Config.Total() {
			continue
		}
		for i, sum := range l.sums {
			member := p.members[i]
			sum.Step, sum.Tokens, sum.Member = step, step*int64(l.t.Config.BatchTokens), i
			sum.Policy, sum.LR, sum.Seed = member.Policy, member.LR, member.Seed
			sum.Loss, sum.GradNorm = finite(*sum.Loss/float64(l.steps)), finite(*sum.GradNorm/float64(l.steps))
			sum.Rate = member.LR * l.t.Config.Rate(step-1, l.t.Config.Total())
			sum.Throughput = float64(l.steps) * float64(l.t.Config.BatchTokens*len(p.members)) / time.Since(l.last).Seconds()
			if r.GradLayer != nil {
				sum.GradLayer, sum.ParamLayer = column(r.GradLayer[s], i, len(p.members)), column(r.ParamLayer[s], i, len(p.members))
			}
			if err := l.metrics.write(sum); err != nil {
				return err
			}
		}
		l.sums, l.steps, l.last = nil, 0, time.Now()
	}
	return l.metrics.flush()
}

// column is member i of [layers × members].
func column(flat []float32, i, members int) (v []float64) {
	for ; i < len(flat); i += members {
		x := float64(flat[i])
		if math.IsNaN(x) || math.IsInf(x, 0) {
			x = -1
		}
		v = append(v, x)
	}
	return
}

// keep closes the files of a run that did not finish.
func (l *log) keep(err error) error {
	return errors.Join(err, l.metrics.close(), l.valid.close())
}

// finish closes the files and writes them as Parquet.
func (l *log) finish() error {
	if err := l.keep(nil); err != nil || l.metrics == nil {
		return err
	}
	if err := metricsTable(l.metrics.path, filepath.Join(l.t.Config.Output, "metrics.parquet")); err != nil {
		return err
	}
	return validTable(l.valid.path, filepath.Join(l.t.Config.Output, "valid.parquet"))
}

// journal is a file of JSON lines that grows.
type journal struct {
	path string
	file *os.File
	buf  *bufio.Writer
	last int64 // largest step of the lines that were kept
}

// openJournal keeps the whole lines of steps up to step and appends to them; later steps are written again.
func openJournal(path string, step int64) (*journal, error) {
	var kept []byte
	var last int64
	err := eachLine(path, func(line []byte) error {
		var at struct {
			Step int64 `json:"step"`
		}
		if json.Unmarshal(line, &at) == nil && at.Step <= step {
			kept, last = append(append(kept, line...), '\n'), max(last, at.Step)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := atomic.Bytes(path, kept); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &journal{path: path, file: f, buf: bufio.NewWriter(f), last: last}, nil
}

func (j *journal) write(v any) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.buf.Write(append(line, '\n'))
	return err
}

func (j *journal) flush() error {
	if j == nil {
		return nil
	}
	return j.buf.Flush()
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	return errors.Join(j.buf.Flush(), j.file.Close())
}

// eachLine visits the lines of a file that end in a line break: a cut last line is left out.
func eachLine(path string, visit func([]byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(line[:len(line)-1]); err != nil {
			return err
		}
	}
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// ReadMetrics reads metrics.jsonl of a run, finished or not, as a table: step, tokens, replica (number of the member), policy, lr, seed, loss,
// grad_norm, rate, skipped, tokens_per_second and, where logged, grad_norm_layer_N and param_norm_layer_N. Missing losses and norms were not finite.
func ReadMetrics(path string) (*table.Table, error) {
	var rows []row
	err := eachLine(path, func(line []byte) error {
		var r row
		err := json.Unmarshal(line, &r)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	t := table.Of(each(rows, func(r row) metricRow {
		return metricRow{r.Step, r.Tokens, r.Member, r.Policy, r.LR, r.Seed, orNaN(r.Loss), orNaN(r.GradNorm), r.Rate, r.Skipped, r.Throughput}
	}))
	if len(rows) > 0 {
		for layer := range rows[0].GradLayer {
			t.AddFloat(fmt.Sprintf("grad_norm_layer_%d", layer), each(rows, func(r row) float64 { return r.GradLayer[layer] }))
			t.AddFloat(fmt.Sprintf("param_norm_layer_%d", layer), each(rows, func(r row) float64 { return r.ParamLayer[layer] }))
		}
	}
	return t, nil
}

// ReadValid reads valid.jsonl of a run as a table: step, replica (number of the member), policy, lr, seed, position,
// tokens, loss, scored_loss, and read, the tokens read at the middle of the bucket.
func ReadValid(path string) (*table.Table, error) {
	var rows []validRow
	err := eachLine(path, func(line []byte) error {
		var r validRow
		err := json.Unmarshal(line, &r)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("validation: %w", err)
	}
	return table.Of(each(rows, func(r validRow) validMetric {
		middle := float64(r.Position) + float64(r.Tokens)/2
		return validMetric{r.Step, r.Member, r.Policy, r.LR, r.Seed, r.Position, r.Tokens, middle, orNaN(r.Loss), orNaN(r.Scored)}
	})), nil
}

func each[R, V any](rows []R, f func(R) V) []V {
	out := make([]V, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}

func metricsTable(from, to string) error {
	t, err := ReadMetrics(from)
	if err != nil {
		return err
	}
	return t.Write(to)
}

func validTable(from, to string) error {
	t, err := ReadValid(from)
	if err != nil {
		return err
	}
	return t.Write(to)
}
