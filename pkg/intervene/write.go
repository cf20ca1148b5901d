package intervene

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"stuffed/pkg/table"
)

// Named is a model with the name that rows carry.
type Named struct {
	Name string
	*Bench
}

// done are the values of columns in rows, joined, that need not be made again.
func done(t *table.Table, columns ...string) (map[string]bool, error) {
	out := map[string]bool{}
	var all [][]string
	for _, c := range columns {
		v, err := t.Text(c)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	for i := range t.Rows() {
		var key []string
		for _, v := range all {
			key = append(key, v[i])
		}
		out[strings.Join(key, "\x00")] = true
	}
	return out, nil
}

// resumed is a table of rows R being written and what is in it already.
type resumed[R any] struct {
	*table.Writer
	have map[string]bool
	keys []string
}

func resume[R any](path string, keys ...string) (*resumed[R], error) {
	w, former, err := table.Resume(path, table.Of[R](nil))
	if err != nil {
		return nil, err
	}
	have, err := done(former, keys...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &resumed[R]{w, have, keys}, nil
}

// add appends rows that are not in the table yet.
func (r *resumed[R]) add(rows []R, key ...string) error {
	if r == nil || r.has(key...) || len(rows) == 0 {
		return nil
	}
	r.have[strings.Join(key, "\x00")] = true
	return r.Append(table.Of(rows))
}

func (r *resumed[R]) has(key ...string) bool { return r.have[strings.Join(key, "\x00")] }

func (r *resumed[R]) close() error {
	if r == nil {
		return nil
	}
	return r.Close()
}

// Write compares methods on several models (seeds) and writes a table of Result and, where a path is given, one of Tried. It continues
// after the methods that an interrupted run finished.
func (c Compare) Write(ctx context.Context, models []Named, results, sweeps string, progress func(done, total int)) error {
	out, err := resume[Result](results, "model", "method")
	if err != nil {
		return err
	}
	var grid *resumed[Tried]
	if sweeps != "" {
		if grid, err = resume[Tried](sweeps, "model", "method"); err != nil {
			return err
		}
	}
	methods := []string{"none"}
	for _, name := range c.Methods {
		if name != "none" {
			methods = append(methods, name)
		}
	}
	total, before := 0, 0
	for _, name := range methods {
		f, err := FindFamily(name)
		if err != nil {
			return err
		}
		total += (len(f.Grid(c.Suite.TrainLength)) + 1) * len(models)
	}
	for _, m := range models {
		if err := c.Validate(m.Model.Vocab()); err != nil {
			return err
		}
		for _, name := range methods {
			f, _ := FindFamily(name)
			of := len(f.Grid(c.Suite.TrainLength)) + 1
			if !out.has(m.Name, name) {
				rows, swept, err := c.Run(ctx, m.Bench, m.Name, name, func(done, _ int) {
					if progress != nil {
						progress(before+done, total)
					}
				})
				if err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
				if err := grid.add(swept, m.Name, name); err != nil {
					return err
				}
				if err := out.add(rows, m.Name, name); err != nil {
					return err
				}
			}
			before += of
		}
	}
	if err := grid.close(); err != nil {
		return err
	}
	return out.Close()
}

// WritePlan scores several models as they are ("none") and under a plan ("plan"): a table of Result.
func WritePlan(ctx context.Context, models []Named, s Suite, plan Plan, results string, progress func(done, total int)) error {
	both := []Method{{Name: "none"}, {Name: "plan", Plan: plan}}
	return WriteMethods(ctx, models, s, func(Named) ([]Method, error) { return both, nil }, results, progress)
}

// Write makes dose–response runs on several models: a table of Response. With top above 0, the heads are those of the largest
// retention over the training length, model by model, instead of d.Heads.
func (d Dose) Write(ctx context.Context, models []Named, s Suite, top int, responses string, progress func(done, total int)) error {
	out, err := resume[Response](responses, "model", "set", "draw", "dose")
	if err != nil {
		return err
	}
	for i, m := range models {
		if top > 0 {
			stats, err := m.inWindow(ctx, s)
			if err != nil {
				return err
			}
			d.Heads = Top(stats.Retention(s.TrainLength), top)
		}
		steps, err := d.Steps(m.Bench)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		for j, step := range steps {
			key := []string{m.Name, step.Set, strconv.Itoa(step.Draw), strconv.FormatFloat(step.Dose, 'g', -1, 64)}
			if !out.has(key...) {
				rows, err := d.Run(ctx, m.Bench, s, m.Name, step)
				if err != nil {
					return fmt.Errorf("%s: %w", m.Name, err)
				}
				if err := out.add(rows, key...); err != nil {
					return err
				}
			}
			if progress != nil {
				progress(i*len(steps)+j+1, len(models)*len(steps))
			}
		}
	}
	return out.Close()
}

// ParseHeads reads "0.3,1.2" (layer.head) or "top:N", the N heads of the largest retention.
func ParseHeads(text string) (heads []Head, top int, err error) {
	if n, is := strings.CutPrefix(text, "top:"); is {
		if top, err = strconv.Atoi(n); err != nil || top < 1 {
			return nil, 0, fmt.Errorf("heads %q: want top:N with N of 1 or more", text)
		}
		return nil, top, nil
	}
	for _, part := range strings.Split(text, ",") {
		layer, head, found := strings.Cut(strings.TrimSpace(part), ".")
		l, err1 := strconv.Atoi(layer)
		h, err2 := strconv.Atoi(head)
		if !found || err1 != nil || err2 != nil {
			return nil, 0, fmt.Errorf("heads %q: %q is not layer.head, such as 0.3", text, part)
		}
		heads = append(heads, Head{l, h})
	}
	return heads, 0, nil
}
