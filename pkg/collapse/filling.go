package collapse

import "math"

// Filling is the factor by which the norm of a head's state must grow between the training length T and times · T if nothing about the head
// changes: writes continue as within the window, and the head keeps the share retained of what it held T tokens ago. The state is the sum
// h = Σ αᵗ⁻ⁱ wᵢ. Parallel writes add up to (1 − r^times) / (1 − r); writes without a common direction add in squares. Growth beyond the
// coherent bound is not explained by filling up.
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

// Stationary is the factor by which the root mean square norm of a head's state over the second half of a sequence exceeds that over ½T … T
// if nothing about the head changes: writes of equal norm with mean pairwise cosine coherence, and a decay that leaves the share retained
// of what was held T tokens ago, starting from a zero state. Coherence 0 and 1 give the bounds for writes without a common direction and
// for parallel writes.
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
