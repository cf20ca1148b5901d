package figure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"stuffed/pkg/table"
)

// Verdicts on a redrawn figure.
const (
	Equal      = "equal"            // the same points and spec
	Within     = "within tolerance" // the same spec; the points differ by at most the tolerance
	Different  = "different"
	NotDrawn   = "not drawn"   // shipped but not redrawn
	NotShipped = "not shipped" // redrawn but not shipped
)

// Reproduction compares a redrawn figure with the shipped one.
type Reproduction struct {
	ID       string   `json:"id"`
	Verdict  string   `json:"verdict"`
	Distance float64  `json:"distance"`          // largest difference, relative to the largest magnitude in its column
	Where    string   `json:"where,omitempty"`   // first or largest difference
	Changed  []string `json:"changed,omitempty"` // manifest entries that differ: revision, backend, hardware, inputs …
}

// Reproductions compares the figures in two folders by points and spec.
func Reproductions(drawn, shipped string, tolerance float64) (all []Reproduction, err error) {
	if !(tolerance >= 0 && tolerance <= 1) {
		return nil, fmt.Errorf("tolerance %v is not between 0 and 1", tolerance)
	}
	ours, err := List(drawn)
	if err != nil {
		return nil, fmt.Errorf("figures drawn again: %w; make figures draws them", err)
	}
	theirs, err := List(shipped)
	if err != nil {
		return nil, fmt.Errorf("figures shipped: %w", err)
	}
	ids := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(ours), theirs...))))
	for _, id := range ids {
		r := Reproduction{ID: id}
		switch {
		case !slices.Contains(ours, id):
			r.Verdict = NotDrawn
		case !slices.Contains(theirs, id):
			r.Verdict = NotShipped
		default:
			if err := r.compare(drawn, shipped, tolerance); err != nil {
				return nil, fmt.Errorf("figure %s: %w", id, err)
			}
		}
		all = append(all, r)
	}
	return all, nil
}

func (r *Reproduction) compare(drawn, shipped string, tolerance float64) error {
	a, err := table.Read(filepath.Join(drawn, r.ID, r.ID+".csv"))
	if err != nil {
		return err
	}
	b, err := table.Read(filepath.Join(shipped, r.ID, r.ID+".csv"))
	if err != nil {
		return err
	}
	specs, err := same(filepath.Join(drawn, r.ID, specName), filepath.Join(shipped, r.ID, specName))
	if err != nil {
		return err
	}
	r.Distance, r.Where = Distance(a, b)
	switch {
	case !specs:
		r.Verdict, r.Where = Different, "the spec"
	case r.Distance == 0:
		r.Verdict = Equal
	case r.Distance <= tolerance:
		r.Verdict = Within
	default:
		r.Verdict = Different
	}
	r.Changed, err = changes(filepath.Join(drawn, r.ID, manifestName), filepath.Join(shipped, r.ID, manifestName))
	return err
}

func same(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}

// Distance is the largest difference between two tables of points, relative to the largest magnitude in its column, and its location. It is
// infinite if columns, number of rows or texts differ.
func Distance(a, b *table.Table) (far float64, where string) {
	if !slices.Equal(a.Names(), b.Names()) || a.Rows() != b.Rows() {
		return math.Inf(1), fmt.Sprintf("%d rows of %d columns, shipped %d of %d", a.Rows(), len(a.Columns), b.Rows(), len(b.Columns))
	}
	for _, name := range a.Names() {
		x, err := a.Float(name)
		y, err2 := b.Float(name)
		if err != nil || err2 != nil {
			if row := differing(a, b, name); row >= 0 {
				return math.Inf(1), fmt.Sprintf("column %s, row %d", name, row+1)
			}
			continue
		}
		d, row := farthest(x, y)
		if d > far {
			far, where = d, fmt.Sprintf("column %s, row %d", name, row+1)
		}
	}
	return far, where
}

// differing is the index of the first row whose text differs, −1 if there is none.
func differing(a, b *table.Table, name string) int {
	x, err := a.Text(name)
	y, err2 := b.Text(name)
	if errors.Join(err, err2) != nil {
		return 0
	}
	for i := range x {
		if x[i] != y[i] {
			return i
		}
	}
	return -1
}

func farthest(x, y []float64) (far float64, row int) {
	largest := 0.0
	for i := range x {
		for _, v := range []float64{x[i], y[i]} {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				largest = max(largest, math.Abs(v))
			}
		}
	}
	for i := range x {
		if x[i] == y[i] || math.IsNaN(x[i]) && math.IsNaN(y[i]) {
			continue
		}
		d := math.Abs(x[i]-y[i]) / largest
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > far {
			far, row = d, i
		}
	}
	return far, row
}

// changes lists the manifest entries that differ, except those that always do.
func changes(a, b string) ([]string, error) {
	var x, y map[string]json.RawMessage
	for path, to := range map[string]*map[string]json.RawMessage{a: &x, b: &y} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, to); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var names []string
	for name := range x {
		if !bytes.Equal(compact(x[name]), compact(y[name])) {
			names = append(names, name)
		}
	}
	for name := range y {
		if _, there := x[name]; !there {
			names = append(names, name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == "files" || n == "time" || n == "seconds" || n == "command" })
	slices.Sort(names)
	return names, nil
}

func compact(raw json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return raw
	}
	return out.Bytes()
}
