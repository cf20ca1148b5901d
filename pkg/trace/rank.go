package trace

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// smallest is the threshold of numerical_rank, relative to the largest singular value.
const smallest = 0.01

// ranks returns the rankColumns of every layer and head for the states of prompt b at the end of the open bucket, or nil if none was
// requested.
func (r *reader) ranks(b int) (all [][3]float64) {
	d, k := r.plan, r.plan.gram
	if k == 0 {
		return nil
	}
	for l := range d.layers {
		for h := range d.heads {
			at := ((l*len(r.probes)+b)*d.heads + h) * k * k
			all = append(all, ranks(r.open.values[perGram][at:][:k*k], k))
		}
	}
	return all
}

// ranks computes effective, stable and numerical rank of a matrix from its k×k Gram matrix.
func ranks(gram []float64, k int) (out [3]float64) {
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(k, gram), false) {
		return [3]float64{math.NaN(), math.NaN(), math.NaN()}
	}
	sum, squares, largest, values := 0.0, 0.0, 0.0, e.Values(nil)
	for i, v := range values {
		values[i] = math.Sqrt(max(v, 0))
		sum, squares, largest = sum+values[i], squares+max(v, 0), max(largest, values[i])
	}
	if largest == 0 {
		return out
	}
	entropy := 0.0
	for _, v := range values {
		if p := v / sum; p > 0 {
			entropy -= p * math.Log(p)
		}
		if v > smallest*largest {
			out[2]++
		}
	}
	out[0], out[1] = math.Exp(entropy), squares/(largest*largest)
	return out
}
