package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stuffed/pkg/manifest"
)

// Comparison is what two builds of the program measured on one device, alternating.
type Comparison struct {
	manifest.Run
	Backend string     `json:"backend"`
	Device  string     `json:"device"`
	Before  string     `json:"before"` // revision of the build compared with
	Rounds  int        `json:"rounds"`
	Rows    []Compared `json:"rows"`
}

// Compared is one measurement by both builds, with one median per round.
type Compared struct {
	Work   string    `json:"work"`
	Shape  string    `json:"shape"`
	Unit   string    `json:"unit"`
	Before []float64 `json:"before"`
	After  []float64 `json:"after"`
	Speed  float64   `json:"speed"` // ratio of the best round after to the best before
	Error  string    `json:"error,omitempty"`
}

// Against runs stuffed bench with the given arguments by another build and by this one, alternating, each in its own process, and
// passes the comparison to emit after every round, even one that was stopped or failed, with the rows measured so far.
// Compilation times are left out.
func Against(ctx context.Context, before, after string, rounds int, args []string, emit func(*Comparison) error) error {
	c := &Comparison{Run: manifest.ThisRun()}
	dir, err := os.MkdirTemp("", "against-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for range rounds {
		for i, program := range []string{before, after} {
			r, err := benchBy(ctx, program, args, filepath.Join(dir, "report.json"))
			if r != nil {
				if i == 0 {
					c.Before = r.Revision
				}
				c.Backend, c.Device = r.Backend, r.Device
				c.add(r.Rows, i == 1)
			}
			if err != nil {
				if len(c.Rows) > 0 {
					err = errors.Join(err, emit(c))
				}
				return err
			}
		}
		c.Rounds++
		if err := emit(c); err != nil {
			return err
		}
	}
	return nil
}

// benchBy runs a program's stuffed bench and returns the report that it wrote to path, even if it ended early.
func benchBy(ctx context.Context, program string, args []string, path string) (*Report, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, slices.Concat([]string{"bench"}, args, []string{"--output", path})...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	text, failed := cmd.CombinedOutput()
	said := fmt.Sprintf("%s bench %s", program, strings.Join(args, " "))
	if failed != nil {
		failed = fmt.Errorf("%s: %w: %s", said, failed, text[max(0, len(text)-2000):])
	}
	data, err := os.ReadFile(path)
	if err != nil {
		if failed == nil {
			failed = fmt.Errorf("%s wrote no report: %w: %s", said, err, text[max(0, len(text)-2000):])
		}
		return nil, failed
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, errors.Join(failed, fmt.Errorf("the report of %s: %w", program, err))
	}
	return &r, failed
}

func (c *Comparison) add(rows []Row, after bool) {
	for _, row := range rows {
		if row.Work == "compile" {
			continue
		}
		at := slices.IndexFunc(c.Rows, func(r Compared) bool { return r.Work == row.Work && r.Shape == row.Shape })
		if at < 0 {
			at, c.Rows = len(c.Rows), append(c.Rows, Compared{Work: row.Work, Shape: row.Shape, Unit: row.Unit})
		}
		r := &c.Rows[at]
		switch {
		case row.Error != "":
			r.Error = row.Error
		case after:
			r.After = append(r.After, row.Median)
		default:
			r.Before = append(r.Before, row.Median)
		}
		if len(r.Before) == 0 || len(r.After) == 0 {
			continue
		}
		if r.Speed = slices.Max(r.After) / slices.Max(r.Before); r.Unit == "ms" || r.Unit == "s" {
			r.Speed = slices.Min(r.Before) / slices.Min(r.After)
		}
	}
}

// String formats the comparison as a table.
func (c *Comparison) String() string {
	var b strings.Builder
	for _, r := range c.Rows {
		if r.Error != "" {
			fmt.Fprintf(&b, "%s  %s  failed: %s\n", r.Work, r.Shape, r.Error)
			continue
		}
		if len(r.Before) == 0 || len(r.After) == 0 {
			fmt.Fprintf(&b, "%s  %s  %s  measured by one of the two\n", r.Work, r.Shape, r.Unit)
			continue
		}
		fmt.Fprintf(&b, "%s  %s  %s  before %s, after %s: %.3f times as fast\n", r.Work, r.Shape, r.Unit, amounts(r.Before), amounts(r.After), r.Speed)
	}
	return b.String()
}

func amounts(values []float64) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, amount(v))
	}
	return strings.Join(texts, " ")
}
