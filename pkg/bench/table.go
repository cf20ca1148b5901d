package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ours is the name of rows whose file does not name a program.
const ours = "stuffed"

// measured is a row of a report, with the program and the device.
type measured struct {
	Row
	name, device string
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
			if match == nil || match.MatchString(row.Work+" "+row.Shape) {
				rows = append(rows, measured{row, r.Name, r.Device})
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
	return b.String(), nil
}

// variant is what a shape says of how, not of what: "(kernels) ", " × 6 models".
var variant = regexp.MustCompile(` \([^)]*\)| × \d+ models`)

// Beside is a table of our rows with the fastest of other programs for the same work, shape and device, and how many times as fast ours are.
func Beside(match *regexp.Regexp, paths ...string) (string, error) {
	rows, err := read(match, paths)
	if err != nil {
		return "", err
	}
	speed := func(m measured) float64 { // more is better
		if m.Unit == "ms" || m.Unit == "s" {
			return 1 / m.Median
		}
		return m.Median
	}
	key := func(m measured) string {
		return strings.Join([]string{m.Work, variant.ReplaceAllString(m.Shape, ""), m.Unit, m.device}, "|")
	}
	best := map[string]measured{}
	for _, row := range rows {
		if old, seen := best[key(row)]; row.name != ours && row.Error == "" && (!seen || speed(row) > speed(old)) {
			best[key(row)] = row
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| work | shape | stuffed | the fastest other | times as fast | device |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, row := range rows {
		if row.name != ours {
			continue
		}
		shape, value := row.value()
		other, times := "", ""
		if m, found := best[key(row)]; found && row.Error == "" {
			_, other = m.value()
			other += ", " + m.name
			if m.Note != "" {
				other += ", " + m.Note
			}
			times = fmt.Sprintf("%.3g", speed(row)/speed(m))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Work, shape, value, other, times, row.device)
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
