package train

import "math"

// Rate is the factor on the peak learning rate at a step counted from 0 of a run of total steps: a linear warm-up, then
// constant and a linear decay over the last share (wsd), half a cosine, or constant.
func (c Config) Rate(step, total int64) float64 {
	k := float64(step)
	if k < float64(c.Warmup) {
		return (k + 1) / float64(c.Warmup)
	}
	rest := 1.0 // share of the way from the peak to the floor that is left
	switch c.Schedule {
	case "wsd":
		if n := c.Decay * float64(total); n > 0 {
			rest = min(1, (float64(total)-k)/n)
		}
	case "cosine":
		rest = (1 + math.Cos(math.Pi*(k-float64(c.Warmup))/math.Max(1, float64(total-c.Warmup)))) / 2
	}
	return c.Floor + (1-c.Floor)*max(rest, 0)
}
