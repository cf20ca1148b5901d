package collapse

import "math"

// Filling is by how much the norm of a head's state must grow after the training length T, up to times · T, when nothing
// about the head changes: writes go on as within the window and the head keeps the share retained of what it held T
// tokens ago. The state is a sum h = Σ αᵗ⁻ⁱ wᵢ. Writes that all point the same way add up to (1 − r^times) / (1 − r);
// writes without a common direction add in squares. Growth above the first is not explained by filling up.
func Filling(retained, times float64) (incoherent, coherent float64) {
	r := min(max(retained, 0), 1)
	if times <= 1 {
		return 1, 1
	}
	geometric := func(r float64) float64 {
		if 1-r < 1e-12 {
			return times
		}
		return -math.Expm1(times*math.Log(r)) / (1 - r)
	}
	if r == 0 {
		return 1, 1
	}
	return math.Sqrt(geometric(r * r)), geometric(r)
}

// Stationary is by how much the root mean square norm of a head's state over the second half of a sequence exceeds that over
// ½T … T when nothing about the head changes: writes of one size whose mean cosine to one another is coherence, a decay
// that leaves the share retained of what was held T tokens ago. It starts from zeros. Coherence 0 and 1 are the bounds of
// writes without a common direction and of writes that all point the same way.
func Stationary(retained, coherence float64, T, length int) float64 {
	alpha := math.Pow(min(max(retained, 0), 1), 1/float64(T))
	var incoherent, line, within, far float64 // Σ s², Σ s, sums of ‖h‖²
	for t := range length {
		incoherent, line = alpha*alpha*incoherent+1, alpha*line+1
		square := incoherent + coherence*(line*line-incoherent)
		switch {
		case t >= T/2 && t < T:
			within += square
		case t >= length/2:
			far += square
		}
	}
	return math.Sqrt(far / float64(length-length/2) / (within / float64(T-T/2)))
}
