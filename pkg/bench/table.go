package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ours is the program's name in rows whose file names none.
const ours = "stuffed"

// measured is a row of a report with its program and device.
type measured struct {
	Row
	name, device, backend string
}

// read returns the rows of report files, including those of other programs (bench/peers), whose work and shape match; nil matches
// all. A name in the file says whose rows they are.
func read(match *regexp.Regexp, paths []string) (rows []measured, err error) {
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var r struct {
			Report
			Name string `json:"name"`
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if r.Name == "" {
			r.Name = ours
		}
		for _, row := range r.Rows {
			if row.Median == 0 && row.Error == "" {
				return nil, fmt.Errorf("%s: row %q of %s has no median; give reports of stuffed bench or of bench/peers, not comparisons", filepath.Base(path), row.Shape, row.Work)
			}
			if match == nil || match.MatchString(row.Work+" "+row.Shape) {
				rows = append(rows, measured{row, r.Name, r.Device, r.Backend})
			}
		}
	}
	return rows, nil
}

// value formats the median with its unit, and whatever else the row notes about its shape.
func (m measured) value() (shape, value string) {
	shape, value = m.Shape, "failed"
	if m.Note != "" {
		shape += ", " + m.Note
	}
	if m.Error == "" {
		value = fmt.Sprintf("%s %s", amount(m.Median), m.Unit)
	}
	return shape, value
}

// Markdown writes the rows of several report files as one table.
func Markdown(match *regexp.Regexp, paths ...string) (string, error) {
	rows, err := read(match, paths)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| work | shape | median | range | device | whose |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, row := range rows {
		shape, value := row.value()
		spread := strings.ReplaceAll(row.Error, "|", "/")
		if row.Error == "" {
			spread = fmt.Sprintf("%s … %s of %d", amount(row.Min), amount(row.Max), row.Runs)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Work, shape, value, spread, row.device, row.name)
	}
	old, err := unrevised(paths)
	return b.String() + old, err
}

// unrevised names our own reports that do not record which revision made them.
func unrevised(paths []string) (string, error) {
	var old []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		var r struct{ Name, Revision string }
		if err := json.Unmarshal(data, &r); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if r.Revision == "" && (r.Name == "" || r.Name == ours) {
			old = append(old, filepath.Base(path))
		}
	}
	if len(old) == 0 {
		return "", nil
	}
	return fmt.Sprintf("\nRevision, date and command are not recorded in %s: these reports are older than that record.\n", strings.Join(old, ", ")), nil
}

// variant matches the part of a shape that says how, not what: "(kernels) ", " × 6 models".
var variant = regexp.MustCompile(` \([^)]*\)| × \d+ models`)

// pair is one of our rows and the fastest of other programs for the same work, shape and device, if there is one.
type pair struct {
	ours, other measured
	found       bool
}

// speed is larger when the row is faster.
func (m measured) speed() float64 {
	if m.Unit == "ms" || m.Unit == "s" {
		return 1 / m.Median
	}
	return m.Median
}

// other returns the other program's value and how it was run; times is the ratio of our speed to its.
func (p pair) columns() (other, times string) {
	if !p.found || p.ours.Error != "" {
		return "", ""
	}
	_, other = p.other.value()
	other += ", " + p.other.name
	if p.other.Note != "" {
		other += ", " + p.other.Note
	}
	return other, fmt.Sprintf("%.3g", p.ours.speed()/p.other.speed())
}

func pairs(rows []measured) (out []pair) {
	key := func(m measured) string {
		return strings.Join([]string{m.Work, variant.ReplaceAllString(m.Shape, ""), m.Unit, m.device}, "|")
	}
	best := map[string]measured{}
	for _, row := range rows {
		if old, seen := best[key(row)]; row.name != ours && row.Error == "" && (!seen || row.speed() > old.speed()) {
			best[key(row)] = row
		}
	}
	for _, row := range rows {
		if row.name == ours {
			other, found := best[key(row)]
			out = append(out, pair{row, other, found})
		}
	}
	return out
}

// Beside writes a table of our rows next to the fastest of other programs for the same work, shape and device, with the ratio of
// speeds.
func Beside(match *regexp.Regexp, paths ...string) (string, error) {
	rows, err := read(match, paths)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| work | shape | stuffed | the fastest other | times as fast | device |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, p := range pairs(rows) {
		shape, value := p.ours.value()
		other, times := p.columns()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", p.ours.Work, shape, value, other, times, p.ours.device)
	}
	return b.String(), nil
}

// front lists the rows of the front page: how reports name them, and in plain words. It includes those where others are faster.
var front = []struct{ backend, work, shape, plain string }{
	{"cuda", "train", "130m B16 T2048 bf16", "train 130M"},
	{"cuda", "prefill", "130m B1 T65536 bf16", "read 65,536 tokens, 130M"},
	{"cuda", "decode", "130m B1 bf16", "generate, 130M"},
	{"cpu", "prefill", "130m B1 T512 f32", "read 512 tokens, 130M"},
	{"cpu", "decode", "130m B1 bf16", "generate, 130M, bfloat16"},
}

// Front writes the front page's short table; a row missing from the reports is an error.
func Front(_ *regexp.Regexp, paths ...string) (string, error) {
	rows, err := read(nil, paths)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| tokens per second | here | the fastest other | times as fast | on |")
	fmt.Fprintln(&b, "|---|---|---|---|---|")
	all := pairs(rows)
	for _, f := range front {
		at := slices.IndexFunc(all, func(p pair) bool {
			return p.ours.Work == f.work && p.ours.Shape == f.shape && p.ours.Unit == "tok/s" && p.found && p.ours.backend == f.backend
		})
		if at < 0 {
			return "", fmt.Errorf("no row %q of ours with another program's beside it in these reports: give all of bench/results", f.work+" "+f.shape)
		}
		us, other := all[at].ours, all[at].other
		_, times := all[at].columns()
		fmt.Fprintf(&b, "| %s | %s | %s, %s | %s | %s |\n", f.plain, amount(us.Median), amount(other.Median), strings.Fields(other.name)[0], times, strings.TrimPrefix(us.device, "NVIDIA "))
	}
	return b.String(), nil
}

// amount formats a number with three digits and K or M.
func amount(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gK", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}
