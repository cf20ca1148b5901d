package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Markdown is one table of the rows of several report files, those of other programs (bench/peers) among them. The name
// in a file, or the file's own, says whose rows they are. Only rows whose work and shape match are taken; nil takes all.
func Markdown(match *regexp.Regexp, paths ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintln(&b, "| work | shape | median | range | device | whose |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		var r struct {
			Report
			Name string `json:"name"`
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if r.Name == "" {
			r.Name = "stuffed"
		}
		for _, row := range r.Rows {
			if match != nil && !match.MatchString(row.Work+" "+row.Shape) {
				continue
			}
			shape := row.Shape
			if row.Note != "" {
				shape += ", " + row.Note
			}
			value, spread := "failed", strings.ReplaceAll(row.Error, "|", "/")
			if row.Error == "" {
				value = fmt.Sprintf("%s %s", amount(row.Median), row.Unit)
				spread = fmt.Sprintf("%s … %s of %d", amount(row.Min), amount(row.Max), row.Runs)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", row.Work, shape, value, spread, r.Device, r.Name)
		}
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
