// Package numeral writes numbers as people read them: three significant digits, a real minus sign, powers of ten as such.
package numeral

import (
	"math"
	"strconv"
	"strings"
)

// Text writes v with three significant digits: 0.0123, 45.6, 1.2×10⁻⁵.
func Text(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.IsInf(v, 0):
		return Minus(strconv.FormatFloat(v, 'f', 0, 64))
	case v == 0:
		return "0"
	}
	if a := math.Abs(v); a >= 1e5 || a < 1e-3 {
		e := int(math.Floor(math.Log10(a)))
		m := strconv.FormatFloat(v/math.Pow10(e), 'g', 3, 64)
		if m == "10" || m == "-10" {
			m, e = m[:len(m)-1], e+1
		}
		return Minus(m) + "×10" + Superscript(e)
	}
	if v == math.Trunc(v) || math.Abs(v) >= 1000 {
		return Minus(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return Minus(strconv.FormatFloat(v, 'g', 3, 64))
}

// Grouped writes a whole number with commas between thousands: 65,281.
func Grouped(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return Minus(text)
}

// Minus puts a minus sign in the place of the hyphen of a number.
func Minus(s string) string { return strings.Replace(s, "-", "−", 1) }

var superscripts = strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷",
	"8", "⁸", "9", "⁹")

// Superscript is an exponent.
func Superscript(e int) string { return superscripts.Replace(strconv.Itoa(e)) }
