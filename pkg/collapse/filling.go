package collapse

import "math"

// Filling is by how much the norm of a head's state must grow after the training length T, up to times · T, when nothing
// about the head changes: writes go on as within the window and the head keeps the share retained of what it held T
// tokens ago. The state is a sum h = Σ αᵗ⁻ⁱ wᵢ. Writes that all point the same way add up to (1 − r^times) / (1 − r);
// writes without a common direction add in squares. What lies above the first is no filling.
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
