package fit

import "math"

// Form is one family of laws T(N; a, b, c), N in millions, T in K tokens.
type Form struct {
	Name    string
	Formula string
	Params  int
	Eval    func(p []float64, n float64) float64

	// The search runs over coordinates near 1 that are tied to the values at
	// the ends of the data; natural turns them into a, b, c.
	start   func(g *geometry) [][]float64
	natural func(g *geometry, x []float64) []float64
	bounded func(g *geometry, x []float64) string // names a parameter at its bound, "" if none

	// pinned turns one coordinate fewer into a, b, c with parameter k held at v;
	// loose gives these coordinates for known parameters.
	pinned func(g *geometry, k int, v float64, x []float64) []float64
	loose  func(g *geometry, k int, p []float64) []float64
}

// geometry holds the scales of the data.
type geometry struct {
	n1, nm, n2 float64 // smallest positive, middle and largest N
	unit       float64 // smallest positive threshold
	f1, fm, f2 float64 // rough thresholds there
}

func newGeometry(points []Point) *geometry {
	g := &geometry{n1: math.Inf(1), n2: math.Inf(-1), unit: math.Inf(1)}
	for _, p := range points {
		if p.N > 0 {
			g.n1 = min(g.n1, p.N)
		}
		g.n2 = max(g.n2, p.N)
		if m := p.middle(); m > 0 {
			g.unit = min(g.unit, m)
		}
	}
	g.nm = (g.n1 + g.n2) / 2
	near := func(n float64) float64 {
		sum, weight := 0.0, 0.0
		for _, p := range points {
			w := math.Exp(-square((p.N - n) / (0.2 * (g.n2 - g.n1))))
			sum += w * p.middle()
			weight += w
		}
		return sum / weight
	}
	g.f1, g.fm, g.f2 = near(g.n1), near(g.nm), near(g.n2)
	return g
}

// squeeze is logarithmic for large values and linear through zero.
func (g *geometry) squeeze(f float64) float64   { return math.Asinh(f / g.unit) }
func (g *geometry) unsqueeze(x float64) float64 { return g.unit * math.Sinh(min(max(x, -50), 50)) }

func square(x float64) float64 { return x * x }

func logOf(x float64) float64 { return math.Log(max(x, 1e-9)) }

// steepest and flattest bend of the exponential over the range of N.
const minBend, maxBend = 0.02, 40.0

// Forms lists the competing laws, simplest first: a constant means that state size plays no role.
func Forms() []Form {
	none := func(*geometry, []float64) string { return "" }
	return []Form{{
		Name: "constant", Formula: "T = a", Params: 1, bounded: none,
		Eval:    func(p []float64, _ float64) float64 { return p[0] },
		start:   func(g *geometry) [][]float64 { return [][]float64{{g.squeeze(g.fm)}} },
		natural: func(g *geometry, x []float64) []float64 { return []float64{g.unsqueeze(x[0])} },
		pinned:  func(_ *geometry, _ int, v float64, _ []float64) []float64 { return []float64{v} },
		loose:   func(*geometry, int, []float64) []float64 { return nil },
	}, {
		Name: "linear", Formula: "T = a·N + b", Params: 2, bounded: none,
		Eval:  func(p []float64, n float64) float64 { return p[0]*n + p[1] },
		start: func(g *geometry) [][]float64 { return [][]float64{{g.squeeze(g.f1), g.squeeze(g.f2)}} },
		natural: func(g *geometry, x []float64) []float64 {
			f1, f2 := g.unsqueeze(x[0]), g.unsqueeze(x[1])
			a := (f2 - f1) / (g.n2 - g.n1)
			return []float64{a, f1 - a*g.n1}
		},
		pinned: func(g *geometry, k int, v float64, x []float64) []float64 {
			f := g.unsqueeze(x[0])
			if k == 0 {
				return []float64{v, f - v*g.nm}
			}
			return []float64{(f - v) / g.nm, v}
		},
		loose: func(g *geometry, _ int, p []float64) []float64 { return []float64{g.squeeze(p[0]*g.nm + p[1])} },
	}, {
		Name: "power", Formula: "T = a·N^b", Params: 2, bounded: none,
		Eval: func(p []float64, n float64) float64 {
			if n == 0 {
				return 0
			}
			return p[0] * math.Pow(n, p[1])
		},
		start: func(g *geometry) [][]float64 { return [][]float64{{logOf(g.f1 / g.unit), logOf(g.f2 / g.unit)}} },
		natural: func(g *geometry, x []float64) []float64 {
			b := (x[1] - x[0]) / math.Log(g.n2/g.n1)
			return []float64{g.unit * math.Exp(x[0]-b*math.Log(g.n1)), b}
		},
		pinned: func(g *geometry, k int, v float64, x []float64) []float64 {
			if k == 0 {
				return []float64{v, x[0]}
			}
			return []float64{g.unit * math.Exp(x[0]-v*math.Log(g.nm)), v}
		},
		loose: func(g *geometry, k int, p []float64) []float64 {
			if k == 0 {
				return []float64{p[1]}
			}
			return []float64{logOf(p[0] * math.Pow(g.nm, p[1]) / g.unit)}
		},
	}, {
		Name: "saturating", Formula: "T = a·N / (N + b)", Params: 2,
		Eval: func(p []float64, n float64) float64 { return p[0] * n / (n + p[1]) },
		start: func(g *geometry) [][]float64 {
			return [][]float64{{logOf(g.f2 / g.unit), -1}, {logOf(g.f2 / g.unit), 2}}
		},
		natural: func(g *geometry, x []float64) []float64 {
			b := g.n2 * math.Exp(min(max(x[1], -7), 7))
			return []float64{g.unit * math.Exp(x[0]) * (g.n2 + b) / g.n2, b}
		},
		pinned: func(g *geometry, k int, v float64, x []float64) []float64 {
			if k == 0 {
				return []float64{v, g.n2 * math.Exp(min(max(x[0], -7), 7))}
			}
			return []float64{g.unit * math.Exp(x[0]) * (g.nm + v) / g.nm, v}
		},
		loose: func(g *geometry, k int, p []float64) []float64 {
			if k == 0 {
				return []float64{math.Log(p[1] / g.n2)}
			}
			return []float64{logOf(p[0] * g.nm / (g.nm + p[1]) / g.unit)}
		},
		bounded: func(_ *geometry, x []float64) string {
			if math.Abs(x[1]) >= 7 {
				return "b"
			}
			return ""
		},
	}, {
		Name: "quadratic", Formula: "T = a·N² + b·N + c", Params: 3, bounded: none,
		Eval: func(p []float64, n float64) float64 { return (p[0]*n+p[1])*n + p[2] },
		start: func(g *geometry) [][]float64 {
			return [][]float64{
				{g.squeeze(g.f1), g.squeeze(g.fm), g.squeeze(g.f2)},
				{g.squeeze(g.f1), g.squeeze((g.f1 + g.f2) / 2), g.squeeze(g.f2)},
			}
		},
		natural: func(g *geometry, x []float64) []float64 {
			f1, fm, f2 := g.unsqueeze(x[0]), g.unsqueeze(x[1]), g.unsqueeze(x[2])
			first, second := (fm-f1)/(g.nm-g.n1), (f2-fm)/(g.n2-g.nm)
			a := (second - first) / (g.n2 - g.n1)
			b := first - a*(g.n1+g.nm)
			if (2*a*g.n1+b)*(2*a*g.n2+b) < 0 { // turns within the data: no law
				a = math.NaN()
			}
			return []float64{a, b, f1 - a*g.n1*g.n1 - b*g.n1}
		},
		pinned: func(g *geometry, k int, v float64, x []float64) []float64 {
			f1, f2 := g.unsqueeze(x[0]), g.unsqueeze(x[1])
			slope, sum := (f2-f1)/(g.n2-g.n1), g.n1+g.n2
			var a float64
			switch k {
			case 0:
				a = v
			case 1:
				a = (slope - v) / sum
			default: // c = f1 − slope·n1 + a·n1·n2
				a = (v - f1 + slope*g.n1) / (g.n1 * g.n2)
			}
			b := slope - a*sum
			return []float64{a, b, f1 - a*g.n1*g.n1 - b*g.n1}
		},
		loose: func(g *geometry, _ int, p []float64) []float64 {
			at := func(n float64) float64 { return g.squeeze((p[0]*n+p[1])*n + p[2]) }
			return []float64{at(g.n1), at(g.n2)}
		},
	}, {
		Name: "exponential", Formula: "T = a·(b^N − 1) + c", Params: 3,
		Eval: func(p []float64, n float64) float64 { return p[0]*math.Expm1(n*math.Log(p[1])) + p[2] },
		start: func(g *geometry) [][]float64 {
			var out [][]float64
			for _, bend := range []float64{0.5, 3, 6} {
				out = append(out, []float64{g.squeeze(g.f1), g.squeeze(g.f2), math.Log(bend)})
			}
			return out
		},
		natural: func(g *geometry, x []float64) []float64 {
			f1, f2 := g.unsqueeze(x[0]), g.unsqueeze(x[1])
			rate := min(max(math.Exp(x[2]), minBend), maxBend) / (g.n2 - g.n1)
			a := (f2 - f1) / (math.Expm1(rate*g.n2) - math.Expm1(rate*g.n1))
			return []float64{a, math.Exp(rate), f1 - a*math.Expm1(rate*g.n1)}
		},
		pinned: func(g *geometry, k int, v float64, x []float64) []float64 {
			if k == 1 {
				f1, f2, rate := g.unsqueeze(x[0]), g.unsqueeze(x[1]), math.Log(v)
				a := (f2 - f1) / (math.Expm1(rate*g.n2) - math.Expm1(rate*g.n1))
				return []float64{a, v, f1 - a*math.Expm1(rate*g.n1)}
			}
			f2 := g.unsqueeze(x[0])
			rate := min(max(math.Exp(x[1]), minBend), maxBend) / (g.n2 - g.n1)
			if k == 0 {
				return []float64{v, math.Exp(rate), f2 - v*math.Expm1(rate*g.n2)}
			}
			return []float64{(f2 - v) / math.Expm1(rate*g.n2), math.Exp(rate), v}
		},
		loose: func(g *geometry, k int, p []float64) []float64 {
			at := func(n float64) float64 { return g.squeeze(p[0]*math.Expm1(n*math.Log(p[1])) + p[2]) }
			if k == 1 {
				return []float64{at(g.n1), at(g.n2)}
			}
			return []float64{at(g.n2), math.Log(math.Log(p[1]) * (g.n2 - g.n1))}
		},
		bounded: func(_ *geometry, x []float64) string {
			if x[2] <= math.Log(minBend) || x[2] >= math.Log(maxBend) {
				return "b"
			}
			return ""
		},
	}}
}

// names of the parameters in order.
var paramNames = []string{"a", "b", "c"}
