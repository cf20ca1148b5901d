package paper

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/interval"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

func init() { Figures["21_saturation"] = saturationFigure }

// Recalling is what models recall at one training length, model by model.
type Recalling struct {
	T       int
	Items   float64   // keys that occur in the last window, on average
	Scalars []float64 // size of each model's state
	Keys    []float64 // keys recalled
	Rank    map[float64]float64
}

// Recallings groups the models of a study of the recall stream by training length; see [Held].
func Recallings(root, plan string) ([]Recalling, error) {
	held, err := Held(root, plan, "zero")
	if err != nil {
		return nil, err
	}
	columns := map[string][]float64{}
	for _, name := range []string{"train_length", "scalars", "items", "recalled", "rank_keys"} {
		if columns[name], err = held.Float(name); err != nil {
			return nil, err
		}
	}
	var out []Recalling
	for i, T := range columns["train_length"] {
		k := slices.IndexFunc(out, func(r Recalling) bool { return r.T == int(T) })
		if k < 0 {
			k, out = len(out), append(out, Recalling{T: int(T), Rank: map[float64]float64{}})
		}
		r := &out[k]
		n := columns["scalars"][i]
		r.Items, r.Scalars, r.Keys, r.Rank[n] = columns["items"][i], append(r.Scalars, n), append(r.Keys, columns["recalled"][i]), columns["rank_keys"][i]
	}
	slices.SortFunc(out, func(a, b Recalling) int { return cmp.Compare(a.T, b.T) })
	return out, nil
}

// sizes returns the state sizes in ascending order.
func (r Recalling) sizes() []float64 { return slices.Compact(slices.Sorted(slices.Values(r.Scalars))) }

// Bend compares two laws for the number K of keys recalled by a state of size N: K = a·N^p, which grows without bound, and K =
// c·N/(N + h), which saturates at c. Errors are normal in ln K.
type Bend struct {
	Power     float64 // p
	Scale     float64 // ln a
	Half      float64 // h
	Ceiling   float64 // c
	Preferred float64 // AIC of the power law less that of the saturating one: positive where growth bends
}

// bend fits both laws by least squares, with h on a grid of 64 steps per decade around the measured sizes.
func bend(n, k []float64) Bend {
	var b Bend
	x, y := make([]float64, len(n)), make([]float64, len(n))
	least, most := math.Inf(1), 0.0
	for i := range n {
		x[i], y[i] = math.Log(n[i]), math.Log(k[i])
		least, most = min(least, n[i]), max(most, n[i])
	}
	var rss float64
	b.Power, b.Scale, rss = line(x, y)
	stopping := math.Inf(1)
	for h := least / 1000; h < 1000*most; h *= math.Pow(10, 1.0/64) {
		sum, squares := 0.0, 0.0
		for i := range n {
			d := y[i] - math.Log(n[i]/(n[i]+h))
			sum, squares = sum+d, squares+d*d
		}
		if s := squares - sum*sum/float64(len(n)); s < stopping {
			stopping, b.Half, b.Ceiling = s, h, math.Exp(sum/float64(len(n)))
		}
	}
	b.Preferred = float64(len(n)) * math.Log(rss/stopping)
	return b
}

// line fits a least-squares line; rss is the residual sum of squares.
func line(x, y []float64) (slope, intercept, rss float64) {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	slope = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	intercept = (sy - slope*sx) / n
	for i := range x {
		d := y[i] - intercept - slope*x[i]
		rss += d * d
	}
	return slope, intercept, rss
}

// bootstrapSizes resamples models within each size, so that no size is lost.
func (r Recalling) bootstrapSizes(n int, each func(n, k []float64)) {
	random := rand.New(rand.NewPCG(uint64(r.T), 21))
	by := map[float64][]float64{}
	for i, s := range r.Scalars {
		by[s] = append(by[s], r.Keys[i])
	}
	for range n {
		var x, y []float64
		for _, s := range r.sizes() {
			for range by[s] {
				x, y = append(x, s), append(y, by[s][random.IntN(len(by[s]))])
			}
		}
		each(x, y)
	}
}

// Growth tests whether growth has stopped: the slope of log2 K against log2 N over the three largest sizes, with a 95 % bootstrap
// interval over models. It has stopped when the interval lies below 0.1 and goes on when it lies above 0.1; otherwise the test is
// undecided. Where more than nine tenths of the items are recalled at the largest size, the stream, not the state, sets the
// limit.
type Growth struct {
	Slope, Low, High float64
	Full             float64 // share of the items recalled at the largest size
	Verdict          string
}

const stopped = 0.1

// Growth tests one training length; fewer than three sizes are an error.
func (r Recalling) Growth() (g Growth, err error) {
	sizes := r.sizes()
	if len(sizes) < 3 {
		return g, fmt.Errorf("%d sizes at T %d, want 3 or more: %w", len(sizes), r.T, errNothing)
	}
	from := sizes[len(sizes)-3]
	slope := func(n, k []float64) float64 {
		var x, y []float64
		for i := range n {
			if n[i] >= from {
				x, y = append(x, math.Log2(n[i])), append(y, math.Log2(k[i]))
			}
		}
		s, _, _ := line(x, y)
		return s
	}
	g.Slope = slope(r.Scalars, r.Keys)
	var all []float64
	r.bootstrapSizes(1000, func(n, k []float64) { all = append(all, slope(n, k)) })
	g.Low, g.High = interval.Percentiles(all)
	count := 0.0
	for i, n := range r.Scalars {
		if n == sizes[len(sizes)-1] {
			g.Full, count = g.Full+r.Keys[i]/r.Items, count+1
		}
	}
	g.Full /= count
	switch {
	case g.Full > 0.9:
		g.Verdict = "the stream is used up"
	case g.Low > stopped:
		g.Verdict = "goes on"
	case g.High < stopped:
		g.Verdict = "has stopped"
	default:
		g.Verdict = "undecided"
	}
	return g, nil
}

// SaturationReport says for each training length whether growth has stopped and which law fits better.
func SaturationReport(root, plan string) (string, error) {
	all, err := Recallings(root, plan)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("| T | keys of the window | come back at the largest size | slope of log₂ K in log₂ N, three largest sizes | growth | ΔAIC for a law that stops | its end |\n|---|---|---|---|---|---|---|\n")
	for _, r := range all {
		g, err := r.Growth()
		if err != nil {
			continue
		}
		f := bend(r.Scalars, r.Keys)
		end := fmt.Sprintf("%.0f keys, half of them at %.2gM scalars", f.Ceiling, f.Half/1e6)
		if f.Preferred < 0 {
			end = "–"
		}
		fmt.Fprintf(&b, "| %d | %.0f | %.0f %% | %.2f [%.2f, %.2f] | %s | %.1f | %s |\n", r.T, r.Items, 100*g.Full, g.Slope, g.Low, g.High, g.Verdict, f.Preferred, end)
	}
	return b.String(), nil
}

// saturationPoint is a mean over models, or a point of a law or bound.
type saturationPoint struct {
	Panel   string  `parquet:"panel" doc:"training length"`
	Series  string  `parquet:"series" doc:"models, power law, keys of the window, or rank of one layer"`
	Scalars float64 `parquet:"scalars" doc:"size of the state"`
	Keys    float64 `parquet:"keys" doc:"keys that come back"`
	band
}

// saturationFigure draws keys recalled against state size, by training length, with the bounds, and extrapolates the power law to
// eight times the largest state.
func saturationFigure(root string) (report.Figure, error) {
	all, err := Recallings(root, "capacity")
	if err != nil {
		return report.Figure{}, err
	}
	var points []saturationPoint
	for _, r := range all {
		sizes := r.sizes()
		if len(sizes) < 3 {
			continue
		}
		put := func(name string, n, v, low, high float64) {
			points = append(points, saturationPoint{fmt.Sprint("T = ", r.T), name, n, v, band{low, high}})
		}
		for _, n := range sizes {
			var v []float64
			for i, s := range r.Scalars {
				if s == n {
					v = append(v, r.Keys[i])
				}
			}
			mean, l, h := spread(v)
			put("models", n, mean, l, h)
		}
		f := bend(r.Scalars, r.Keys)
		last := sizes[len(sizes)-1]
		for n := last; n <= 8.01*last; n *= 2 {
			var at []float64
			r.bootstrapSizes(400, func(x, y []float64) {
				b := powerLaw(x, y)
				at = append(at, math.Exp(b[1])*math.Pow(n, b[0]))
			})
			slices.Sort(at)
			put("power law, extrapolated", n, math.Exp(f.Scale)*math.Pow(n, f.Power), at[9], at[389])
		}
		for _, n := range []float64{sizes[0], 8 * last} {
			put("keys of the window", n, r.Items, math.NaN(), math.NaN())
			put("rank, one layer", n, r.Rank[sizes[0]]*n/sizes[0], math.NaN(), math.NaN())
		}
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Width: "double", Note: "Keys that come back in the window, mean and range over seeds. Extrapolation with 95 % bands (bootstrap over models). Fano's bound lies a thousand times higher."},
		X:    figure.Axis{Column: "scalars", Label: "State", Unit: "scalars", Scale: figure.Log2}, Y: figure.Axis{Column: "keys", Label: "Keys", Unit: "1", Scale: figure.Log2},
		Lo: "low", Hi: "high", Series: []string{"series"}, Panel: "panel", PanelName: "%s", Across: 3,
	}, Table: table.Of(points)}, nil
}

// powerLaw fits the power law alone and returns p and ln a.
func powerLaw(n, k []float64) [2]float64 {
	x, y := make([]float64, len(n)), make([]float64, len(n))
	for i := range n {
		x[i], y[i] = math.Log(n[i]), math.Log(k[i])
	}
	p, a, _ := line(x, y)
	return [2]float64{p, a}
}
