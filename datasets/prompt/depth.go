package prompt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Depths are n depths, (i + ½)/n.
func Depths(n int) []float64 {
	depths := make([]float64, n)
	for i := range depths {
		depths[i] = (float64(i) + 0.5) / float64(n)
	}
	return depths
}

// ParseDepths reads a number of depths, spread evenly, or a list of depths between 0 and 1 separated by commas.
func ParseDepths(text string) ([]float64, error) {
	bad := fmt.Errorf("depths is %q, want a number of depths from 1 to 10000, or a list such as 0,0.25,1 of depths from 0 to 1", text)
	if n, err := strconv.Atoi(text); err == nil && n != 0 {
		if n < 1 || n > 10000 {
			return nil, bad
		}
		return Depths(n), nil
	}
	var depths []float64
	for _, field := range strings.Split(text, ",") {
		d, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || math.IsNaN(d) || d < 0 || d > 1 {
			return nil, bad
		}
		depths = append(depths, d)
	}
	return depths, nil
}
