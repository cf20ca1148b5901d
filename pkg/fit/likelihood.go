package fit

import "math"

// errorModel says on which scale the error is normal.
type errorModel int

const (
	onLog   errorModel = iota // ln T: relative errors, fit for grids that double
	onValue                   // T: absolute errors; exact points give least squares
)

func (m errorModel) String() string {
	if m == onLog {
		return "normal on ln T"
	}
	return "normal on T"
}

func (m errorModel) scale(x float64) float64 {
	if m == onValue {
		return x
	}
	return math.Log(max(x, 1e-12))
}

// centring picks the middle among fits that no bracket tells apart. It weighs a
// hundredth of a datum and does not enter the reported likelihood.
const centring = 0.01

// logLikelihood of predictions f with error deviation sigma; penalty is the
// centring term to be subtracted.
func (m errorModel) logLikelihood(points []Point, f []float64, sigma float64) (logL, penalty float64) {
	for i, p := range points {
		x := m.scale(f[i])
		if p.Exact() {
			z := (m.scale(p.Low) - x) / sigma
			logL -= z*z/2 + math.Log(sigma) + 0.5*math.Log(2*math.Pi)
			if m == onLog {
				logL -= math.Log(p.Low)
			}
			continue
		}
		low, high := math.Inf(-1), math.Inf(1)
		if !math.IsInf(p.Low, -1) && !(m == onLog && p.Low <= 0) {
			low = m.scale(p.Low)
		}
		if !math.IsInf(p.High, 1) {
			high = m.scale(p.High)
		}
		logL += logInterval((low-x)/sigma, (high-x)/sigma)
		if !math.IsInf(low, 0) && !math.IsInf(high, 0) {
			penalty += centring * square((x-(low+high)/2)/((high-low)/2))
		}
	}
	return logL, penalty
}

// logInterval is ln(Φ(b) − Φ(a)), kept finite and sloping far out in the tails.
func logInterval(a, b float64) float64 {
	if a > 0 {
		a, b = -b, -a
	}
	// Now a ≤ 0; for b < 0 both lie in the lower tail.
	if b >= 0 {
		return math.Log(max(1-(math.Erfc(-a/math.Sqrt2)+math.Erfc(b/math.Sqrt2))/2, 1e-300))
	}
	if b < -35 {
		return -b*b/2 - math.Log(-b*math.Sqrt(2*math.Pi))
	}
	p := (math.Erfc(-b/math.Sqrt2) - math.Erfc(-a/math.Sqrt2)) / 2
	if p <= 0 {
		return -b*b/2 - 40
	}
	return math.Log(p)
}
