package view

import (
	"fmt"
	"html"
	"math"
	"strings"

	"stuffed/pkg/table"
)

func escape(s string) string { return html.EscapeString(s) }

// Tokens is a text whose tokens are coloured by a column, such as loss, change or retention: columns position, text and that
// one, one row a token. Pale is the
// lowest value and dark the highest, or, of values of both signs, blue is below and orange above zero; hovering shows position and value. It needs no script.
func Tokens(t *table.Table, column, label string) (View, error) {
	texts, err := t.Text("text")
	if err != nil {
		return View{}, fmt.Errorf("tokens: %w", err)
	}
	values, err := t.Float(column)
	if err != nil {
		return View{}, fmt.Errorf("tokens: %w", err)
	}
	positions, err := t.Int("position")
	if err != nil {
		return View{}, fmt.Errorf("tokens: %w", err)
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		return View{}, fmt.Errorf("tokens: column %s has no finite value", column)
	}
	of := func(v float64) float64 { return (v - lo) / max(hi-lo, 1e-300) }
	if lo < 0 { // about zero
		most := max(hi, -lo)
		of = func(v float64) float64 { return v / most }
	}
	var out strings.Builder
	fmt.Fprintf(&out, "<p>%s: <span style=\"background:%s\">&nbsp;%.3g&nbsp;</span> … <span style=\"background:%s\">&nbsp;%.3g&nbsp;</span></p>\n<p style=\"white-space: pre-wrap; line-height: 1.9; max-width: 60em\">",
		escape(label), shade(of(lo)), lo, shade(of(hi)), hi)
	for i, s := range texts {
		fmt.Fprintf(&out, "<span style=\"background:%s\" title=\"token %d: %s %.4g\">%s</span>", shade(of(values[i])), positions[i]+1, escape(label), values[i], escape(s))
	}
	out.WriteString("</p>\n")
	return View{Title: "Tokens by " + label, Body: out.String()}, nil
}

// shade goes from nothing to orange, below zero to blue; text stays readable on all of it.
func shade(share float64) string {
	switch {
	case math.IsNaN(share):
		return "#ddd"
	case share < 0:
		return fmt.Sprintf("rgba(0,114,178,%.2f)", min(-share, 1)*0.6)
	}
	return fmt.Sprintf("rgba(255,140,0,%.2f)", min(share, 1)*0.85)
}
