package fit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func sim(law func(float64) float64, n int, noise string, base float64, r *rand.Rand) []Point {
	var out []Point
	for i := range n {
		N := 1.0 * math.Pow(14, float64(i)/float64(n-1))
		T := law(N)
		switch noise {
		case "log":
			T *= math.Exp(.1 * r.NormFloat64())
		case "log.25":
			T *= math.Exp(.25 * r.NormFloat64())
		case "abs":
			T += 1.5 * r.NormFloat64()
		case "jit":
			N *= 1 + .1*(r.Float64()-.5)
			T = law(N)
		}
		k := 0.0
		if T > 0 {
			k = math.Floor(math.Log(T/0.25) / math.Log(base))
		}
		p := Point{N, .25 * math.Pow(base, k), .25 * math.Pow(base, k+1)}
		if T <= .25 {
			p.Low = math.Inf(-1)
			p.High = .25
		}
		if T > 128 {
			p.Low = 128
			p.High = math.Inf(1)
		}
		out = append(out, p)
	}
	return out
}
func TestX(t *testing.T) {
	laws := map[string]func(float64) float64{"linear": func(n float64) float64 { return 5.172*n - 4.469 }, "exponential": func(n float64) float64 { return 4.756*(math.Pow(1.365, n)-1) - .742 }}
	truth := map[string][]float64{"linear": {5.172, -4.469}, "exponential": {4.756, 1.365, -.742}}
	for _, ln := range []string{"linear", "exponential"} {
		for _, noise := range []string{"none", "log", "jit"} {
			for _, base := range []float64{math.Sqrt2, 2} {
				for _, n := range []int{8, 12} {
					st := time.Now()
					seeds := 30
					win := map[string]int{}
					var aic, aicc [2]int
					var auto, autoc int
					var cov, covb [2][3]int
					for seed := range seeds {
						pts := sim(laws[ln], n, noise, base, rand.New(rand.NewPCG(uint64(seed), 5)))
						var bestA, bestC [2]float64
						var nA, nC [2]string
						for m := range 2 {
							f := newFitter(pts, errorModel(m))
							bestA[m], bestC[m] = 1e300, 1e300
							for _, form := range Forms() {
								e := f.fit(form, nil)
								k := float64(form.Params + 1)
								a := 2*k - 2*e.logL
								c := a + 2*k*(k+1)/(float64(n)-k-1)
								if a < bestA[m]-1e-9 {
									bestA[m] = a
									nA[m] = form.Name
								}
								if c < bestC[m]-1e-9 {
									bestC[m] = c
									nC[m] = form.Name
								}
								if false {
									b := f.caseBootstrap(e, 60, 1)
									for k := range form.Params {
										lo, hi, _ := f.profile(e, k)
										if lo <= truth[ln][k] && truth[ln][k] <= hi {
											cov[m][k]++
										}
										if b[k][0] <= truth[ln][k] && truth[ln][k] <= b[k][1] {
											covb[m][k]++
										}
									}
								}
							}
							if nA[m] == ln {
								aic[m]++
							}
							if nC[m] == ln {
								aicc[m]++
							}
						}
						w := 0
						if bestA[1] < bestA[0]-2 {
							w = 1
						}
						if nA[w] == ln {
							auto++
						}
						win[nA[0]]++
						w = 0
						if bestC[1] < bestC[0]-2 {
							w = 1
						}
						if nC[w] == ln {
							autoc++
						}
					}
					fmt.Printf("%-12s %-7s base %.2f n %2d | of %d: AIC log %d abs %d auto %d | AICc log %d abs %d auto %d | %v %v\n", ln, noise, base, n, seeds, aic[0], aic[1], auto, aicc[0], aicc[1], autoc, win, time.Since(st).Round(time.Millisecond))
				}
			}
		}
	}
}
