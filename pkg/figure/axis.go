package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"stuffed/pkg/numeral"
)

// Scales of an axis.
const (
	Linear = ""       // decimal ticks
	Tokens = "tokens" // linear with ticks at multiples of a power of two: 4K, 8K
	Log2   = "log2"   // powers of two: 64, 128 … 1K, 16K
	Log10  = "log10"  // powers of ten: 10⁻³, 10⁻²
)

// Axis names a column and how to display it.
type Axis struct {
	Column string   `json:"column"`
	Label  string   `json:"label"`
	Unit   string   `json:"unit"` // "1" for a dimensionless number
	Scale  string   `json:"scale,omitempty"`
	Min    *float64 `json:"min,omitempty"` // limits; nil uses the range of the data
	Max    *float64 `json:"max,omitempty"`
}

func (a Axis) check(name string) error {
	switch {
	case a.Column == "":
		return fmt.Errorf("%s axis: no column", name)
	case a.Label == "" || a.Unit == "":
		return fmt.Errorf("%s axis (%s): label and unit are needed; the unit of a plain number is \"1\"", name, a.Column)
	case !slices.Contains([]string{Linear, Tokens, Log2, Log10}, a.Scale):
		return fmt.Errorf("%s axis (%s): scale %q is not one of \"\" (linear), tokens, log2, log10", name, a.Column, a.Scale)
	}
	for _, v := range []*float64{a.Min, a.Max} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0) || a.log() && *v <= 0) {
			return fmt.Errorf("%s axis (%s): limit %v does not suit scale %q", name, a.Column, *v, a.Scale)
		}
	}
	if a.Min != nil && a.Max != nil && *a.Min >= *a.Max {
		return fmt.Errorf("%s axis (%s): min %v is not below max %v", name, a.Column, *a.Min, *a.Max)
	}
	if a.Min != nil && a.Max != nil && !a.log() && narrow(*a.Min, *a.Max) {
		return fmt.Errorf("%s axis (%s): min %v and max %v are too close for labels of nine digits; subtract what they share", name, a.Column, *a.Min, *a.Max)
	}
	return nil
}

func (a Axis) log() bool { return a.Scale == Log2 || a.Scale == Log10 }

// shows reports whether the axis can display v; other values leave a gap.
func (a Axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.log() || v > 0)
}

type tick struct {
	at    float64
	label string // empty for a minor tick
}

// ruler is an axis with a range and ticks.
type ruler struct {
	Axis
	min, max float64
	ticks    []tick
	power    int // decimal exponent factored out of the labels
}

// narrow reports whether the ends of a range cannot be distinguished by labels of nine digits.
func narrow(lo, hi float64) bool {
	return hi-lo < 1e-9*max(math.Abs(lo), math.Abs(hi)) || hi-lo < 1e-290
}

// finite clamps a limit to the numbers that axes compute with.
func (a Axis) finite(v float64) float64 {
	lowest := -math.MaxFloat64
	if a.log() {
		lowest = math.SmallestNonzeroFloat64
	}
	return min(max(v, lowest), math.MaxFloat64)
}

// rule fits an axis to values, with at most n labelled ticks. margin is the fraction of the range left free at either end unless a limit is
// set.
func (a Axis) rule(values []float64, n int, margin float64) ruler {
	r := ruler{Axis: a, min: math.Inf(1), max: math.Inf(-1)}
	for _, v := range values {
		if a.shows(v) {
			r.min, r.max = min(r.min, v), max(r.max, v)
		}
	}
	if r.min > r.max {
		r.min, r.max = 1, 2
	}
	to, from := func(v float64) float64 { return v }, func(v float64) float64 { return v }
	if a.log() {
		to, from = math.Log2, math.Exp2
	}
	lo, hi := to(r.min), to(r.max)
	if narrow(lo, hi) {
		pad := 0.5
		if !a.log() && math.Abs(lo) > 1e-290 {
			pad = math.Abs(lo) / 10
		}
		lo, hi = lo-pad, hi+pad
	}
	pad := margin*hi - margin*lo
	if a.Min == nil && (a.Scale != Tokens || r.min < 0) {
		r.min = a.finite(from(lo - pad))
	}
	if a.Max == nil {
		r.max = a.finite(from(hi + pad))
	}
	if a.Min == nil && a.Scale == Tokens && r.min >= 0 {
		r.min = 0
	}
	if a.Min != nil {
		r.min = *a.Min
	}
	if a.Max != nil {
		r.max = *a.Max
	}
	if r.min >= r.max { // a limit outside the data
		r.min, r.max = min(r.min, r.max), max(r.min, r.max)+1
	}
	if !a.log() && narrow(r.min, r.max) { // a limit close to all data
		r.max = r.min + max(math.Abs(r.min)/10, 1)
	}
	r.mark(n)
	return r
}

// at maps v to its position along the axis: 0 at the start, 1 at the end.
func (r *ruler) at(v float64) float64 {
	if r.log() {
		return (math.Log(v) - math.Log(r.min)) / (math.Log(r.max) - math.Log(r.min))
	}
	return (v/4 - r.min/4) / (r.max/4 - r.min/4) // a quarter of the range does not overflow
}

// title is the label with its unit.
func (r *ruler) title() string {
	unit := r.Unit
	if unit == "1" {
		unit = ""
	}
	if r.power != 0 {
		unit = strings.TrimSpace("×10" + numeral.Superscript(r.power) + " " + unit)
	}
	if unit == "" {
		return r.Label
	}
	return r.Label + " (" + unit + ")"
}

func (r *ruler) mark(n int) {
	n = max(n, 2)
	r.ticks, r.power = nil, 0
	switch r.Scale {
	case Log10:
		r.decades(n)
		r.atLeastTwo(n)
	case Log2:
		r.octaves(n)
		r.atLeastTwo(n)
	case Tokens:
		r.binary(n)
	default:
		r.decimal(n)
	}
}

func (r *ruler) add(v float64, label string) {
	const slack = 1e-9
	if p := r.at(v); p >= -slack && p <= 1+slack {
		r.ticks = append(r.ticks, tick{v, label})
	}
}

// atLeastTwo falls back to decimal labels if at most one power lies within the range: a single label defines no scale.
func (r *ruler) atLeastTwo(n int) {
	labelled := 0
	for _, t := range r.ticks {
		if t.label != "" {
			labelled++
		}
	}
	if labelled < 2 {
		r.ticks, r.power = nil, 0
		r.decimal(n)
	}
}

// mostUnlabelled is the maximum number of powers per label; ticks at more of them would merge into a bar.
const mostUnlabelled = 10

func (r *ruler) decades(n int) {
	first, last := int(math.Floor(math.Log10(r.min))), int(math.Ceil(math.Log10(r.max)))
	width := math.Log10(r.max) - math.Log10(r.min)
	if width < 0.4 {
		r.decimal(n)
		return
	}
	step := max(1, int(math.Ceil(width/float64(n))))
	for e := first; e <= last; e++ {
		for m := 1; m <= 9; m++ {
			v := float64(m) * math.Pow10(e)
			label := ""
			switch {
			case width >= 1.7 && m == 1 && floorMod(e, step) == 0:
				label = "10" + numeral.Superscript(e)
			case width < 1.7 && (m == 1 || m == 2 || m == 5):
				label = number(v, max(0, -e))
			case m > 1 && step > 1, step > mostUnlabelled:
				continue
			}
			r.add(v, label)
		}
	}
}

func (r *ruler) octaves(n int) {
	first, last := int(math.Floor(math.Log2(r.min))), int(math.Ceil(math.Log2(r.max)))
	width := math.Log2(r.max) - math.Log2(r.min)
	if width < 1.2 {
		r.binary(n)
		return
	}
	step := max(1, int(math.Ceil(width/float64(n))))
	for e := first; e <= last; e++ {
		label := ""
		if floorMod(e, step) == 0 {
			label = Length(math.Exp2(float64(e)))
		} else if step > mostUnlabelled {
			continue
		}
		r.add(math.Exp2(float64(e)), label)
	}
}

func (r *ruler) binary(n int) {
	step := math.Exp2(math.Ceil(math.Log2(r.max/float64(n) - r.min/float64(n))))
	r.every(step/4, 0, 4, func(v float64) string { return Length(v) })
}

func (r *ruler) decimal(n int) {
	raw := r.max/float64(n) - r.min/float64(n)
	base := math.Pow10(int(math.Floor(math.Log10(raw))))
	step, parts := 10*base, 5
	for _, s := range []struct {
		m     float64
		parts int
	}{{1, 5}, {2, 4}, {2.5, 5}, {5, 5}} {
		if s.m*base >= raw*(1-1e-9) {
			step, parts = s.m*base, s.parts
			break
		}
	}
	if biggest := max(math.Abs(r.min), math.Abs(r.max)); biggest >= 1e5 || biggest < 1e-2 {
		r.power = int(math.Floor(math.Log10(biggest)))
	}
	scale := math.Pow10(-r.power)
	digits := 0
	for s := step * scale; digits < 9 && math.Abs(s-math.Round(s)) > 1e-6*s; s *= 10 {
		digits++
	}
	r.every(step/float64(parts), 1e-9, parts, func(v float64) string { return number(v*scale, digits) })
}

// every adds ticks at the multiples of minor within the range, widened by slack steps, and labels every parts-th multiple.
func (r *ruler) every(minor, slack float64, parts int, label func(float64) string) {
	first, last := math.Ceil(r.min/minor-slack), math.Floor(r.max/minor+slack)
	const most = 1000
	for i := range int(min(last-first+1, most)) {
		k, text := first+float64(i), ""
		if math.Mod(k, float64(parts)) == 0 {
			text = label(k * minor)
		}
		r.add(k*minor, text)
	}
}

// Length formats a number of tokens with binary suffixes where that is shorter: 64, 512, 1K, 1.5K, 16K, 1M; values below one keep three
// significant digits.
func Length(v float64) string {
	if math.Abs(v) < 1 {
		return numeral.Text(v)
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 20, "M"}, {1 << 10, "K"}} {
		if q := v / u.size; math.Abs(q) >= 1 && q*8 == math.Trunc(q*8) {
			return numeral.Minus(strconv.FormatFloat(q, 'f', -1, 64)) + u.name
		}
	}
	return numeral.Minus(strconv.FormatFloat(v, 'g', 6, 64))
}

func number(v float64, digits int) string {
	if math.Abs(v) < 0.5*math.Pow10(-digits) {
		v = 0
	}
	return numeral.Minus(strconv.FormatFloat(v, 'f', digits, 64))
}

func floorMod(a, b int) int { return (a%b + b) % b }
