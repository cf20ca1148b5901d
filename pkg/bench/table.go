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

// ours is the name of rows whose file does not name a program.
const ours = "stuffed"

// measured is a row of a report, with the program and the device.
type measured struct {
	Row
	name, device, backend string
}

// read takes the rows of report files, those of other programs (bench/peers) among them, whose work and shape match; nil takes all. The
// name in a file says whose rows they are.
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

// value is the median with its unit, and what else the row says of its shape.
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

// Markdown is one table of the rows of several report files.
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

// unrevised names our own reports that do not record what made them.
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

// variant is what a shape says of how, not of what: "(kernels) ", " × 6 models".
var variant = regexp.MustCompile(` \([^)]*\)| × \d+ models`)

// pair is a row of ours and the fastest of other programs for the same work, shape and device, if there is one.
type pair struct {
	ours, other measured
	found       bool
}

// speed is more when it is better.
func (m measured) speed() float64 {
	if m.Unit == "ms" || m.Unit == "s" {
		return 1 / m.Median
	}
	return m.Median
}

// other is the other program's value and how it was run; times is how many times as fast ours is.
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

// Beside is a table of our rows with the fastest of other programs for the same work, shape and device, and how many times as fast ours are.
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

// front are the rows of the first page: what they are in the reports, and in plain words. Where others are faster is among them.
var front = []struct{ backend, work, shape, plain string }{
	{"cuda", "train", "130m B16 T2048 bf16", "train 130M"},
	{"cuda", "train", "small d256 L2 N128 V4096 B256 T256 bf16 × 6 models", "train 6 small models at once"},
	{"cuda", "prefill", "130m B1 T65536 bf16", "read 65,536 tokens, 130M"},
	{"cuda", "decode", "130m B1 bf16", "generate, 130M"},
	{"cpu", "train", "byte d128 L2 B8 T512 f32", "train a byte model"},
	{"cpu", "prefill", "130m B1 T512 f32", "read 512 tokens, 130M"},
	{"cpu", "decode", "130m B1 bf16", "generate, 130M, bfloat16"},
}

// Front is the short table of the first page; a row that the reports lack is an error.
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

// amount has three digits and K or M.
func amount(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gK", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}
