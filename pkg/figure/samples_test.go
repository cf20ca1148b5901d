package figure

import (
	"math"
	"math/rand/v2"

	"stuffed/pkg/table"
)

// samples has one figure of every kind and every awkward shape, drawn from fixed numbers.
func samples() map[string]func() (*Figure, error) {
	return map[string]func() (*Figure, error){
		"loss":   func() (*Figure, error) { return New(lossSpec(), lossTable()) },
		"panels": func() (*Figure, error) { return New(panelSpec(), lossTable()) },
		"heads":  func() (*Figure, error) { return New(headSpec(), headTable(4, 8)) },
		"many":   func() (*Figure, error) { return New(manySpec(), headTable(24, 32)) },
		"heat":   func() (*Figure, error) { return New(heatSpec(), heatTable()) },
		"flat": func() (*Figure, error) { // titles longer than the frame is high
			s := heatSpec()
			s.Value.Label = "Share of the first token that is left at the end of the training length"
			return New(s, heatTable().Filter(func(row int) bool { return row < 10 }))
		},
		"counts": countsFigure,
		"noted": func() (*Figure, error) {
			s := heatSpec()
			s.Note = "Paper variant, 10 depths × 20 trials, seed 0, model mamba2 d463905d51c2 trained on 1,024 tokens, exact match; no mitigation"
			return New(s, heatTable())
		},
		"law":     lawFigure,
		"compare": compareFigure,
	}
}

func lossTable() *table.Table {
	var n, pos []int64
	var loss, lo, hi []float64
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int64{8, 32, 128, 256} {
		for e := 0; e <= 28; e++ {
			p := math.Round(16 * math.Exp2(float64(e)/2))
			l := 2.2 + 3/math.Sqrt(p) + 0.02*r.NormFloat64()
			if p > 512*float64(size)/32 {
				l += 0.9 * math.Log2(p/512*32/float64(size)) / 4
			}
			n, pos = append(n, size), append(pos, int64(p))
			loss, lo, hi = append(loss, l), append(lo, l-0.08), append(hi, l+0.08)
		}
	}
	loss[20] = math.NaN()
	return table.New().AddInt("n", n).AddInt("position", pos).AddFloat("loss", loss).AddFloat("lo", lo).AddFloat("hi", hi)
}

func lossSpec() Curves {
	return Curves{
		X:      Axis{Column: "position", Label: "Position", Unit: "tokens", Scale: Log2},
		Y:      Axis{Column: "loss", Label: "Loss", Unit: "nat/token"},
		Series: []string{"n"}, Name: "N = %s", Lo: "lo", Hi: "hi",
		Marks: []Mark{TrainLength(512), {At: 2.2, Label: "floor", Horizontal: true}},
	}
}

func panelSpec() Curves {
	s := lossSpec()
	s.Series, s.Name = nil, ""
	s.Width, s.Panel, s.PanelName = "double", "n", "N = %s"
	s.X.Scale = Tokens
	s.Marks = append(s.Marks, Mark{At: 100000, Label: "collapse"})
	return s
}

func headTable(layers, heads int) *table.Table {
	var layer, head, pos []int64
	var norm []float64
	for l := range layers {
		for h := range heads {
			for e := 0; e <= 20; e++ {
				p := int64(64 << (e / 2))
				layer, head, pos = append(layer, int64(l)), append(head, int64(h)), append(pos, p+p*int64(e%2)/2)
				norm = append(norm, math.Pow(float64(p), 0.1*float64((l*7+h*3)%9))*0.1*float64(1+l))
			}
		}
	}
	return table.New().AddInt("layer", layer).AddInt("head", head).AddInt("position", pos).AddFloat("norm", norm)
}

func headSpec() SmallMultiples {
	return SmallMultiples{
		X:   Axis{Column: "position", Label: "Position", Unit: "tokens", Scale: Log2},
		Y:   Axis{Column: "norm", Label: "State norm", Unit: "1", Scale: Log10},
		Row: "layer", Column: "head", RowName: "Layer", ColName: "Head", ByRow: true,
		Marks: []Mark{TrainLength(512)},
	}
}

func manySpec() SmallMultiples {
	s := headSpec()
	s.Width, s.ByRow = "double", false
	return s
}

func heatTable() *table.Table {
	var n, length []int64
	var acc []float64
	for _, size := range []int64{8, 16, 32, 64, 128, 256} {
		for e := 8; e <= 16; e++ {
			n, length = append(n, size), append(length, int64(1)<<e)
			acc = append(acc, 1/(1+math.Exp(float64(e)-6-math.Log2(float64(size)))))
		}
	}
	acc[7] = math.NaN()
	return table.New().AddInt("n", n).AddInt("length", length).AddFloat("accuracy", acc)
}

func heatSpec() HeatMap {
	return HeatMap{
		X:     Axis{Column: "length", Label: "Training length", Unit: "tokens", Scale: Log2},
		Y:     Axis{Column: "n", Label: "State size N", Unit: "1"},
		Value: Axis{Column: "accuracy", Label: "Recall", Unit: "share"},
	}
}

func countsFigure() (*Figure, error) {
	r := rand.New(rand.NewPCG(3, 4))
	early, late := make([]float64, 5000), make([]float64, 5000)
	for i := range early {
		early[i], late[i] = r.NormFloat64(), 1.5+3*r.NormFloat64()
	}
	t, err := Bin([]string{"256 tokens", "16K tokens"}, [][]float64{early, late}, 40, Linear)
	if err != nil {
		return nil, err
	}
	return New(Histograms{
		Left: "left", Right: "right", Series: []string{"series"},
		X:     Axis{Label: "State entry", Unit: "1"},
		Count: Axis{Column: "count", Label: "Entries", Unit: "count", Scale: Log10},
	}, t)
}

func lawFigure() (*Figure, error) {
	r := rand.New(rand.NewPCG(5, 6))
	var points []Point
	for i, x := range []float64{0.8, 1.6, 3.1, 6.3, 12.6, 25} {
		y := 5.2*x - 4 + 3*r.NormFloat64()
		p := Point{X: x, Y: y, Lo: y - 4, Hi: y + 4}
		if i == 5 {
			p.Hi = math.NaN()
		}
		points = append(points, p)
	}
	t, err := FitData(points, []Curve{
		{"linear", func(x float64) (float64, float64, float64) { y := 5.2*x - 4; return y, y - 2 - x/5, y + 2 + x/5 }},
		{"quadratic", func(x float64) (float64, float64, float64) { return 0.2 * x * x, math.NaN(), math.NaN() }},
	}, 0.5, 26, Linear)
	if err != nil {
		return nil, err
	}
	return New(Fit{
		X: Axis{Label: "State size", Unit: "M scalars"},
		Y: Axis{Label: "Forgets from α·N_S = 10⁻³ on", Unit: "K tokens"},
	}, t)
}

func compareFigure() (*Figure, error) {
	t := table.New().
		AddText("method", []string{"none", "none", "decay × 0.9", "decay × 0.9", "norm clamp", "norm clamp", "sliding window", "sliding window"}).
		AddText("length", []string{"8K", "64K", "8K", "64K", "8K", "64K", "8K", "64K"}).
		AddFloat("acc", []float64{0.9, 0.1, 0.85, 0.4, 0.8, 0.5, 0.88, 0.7}).
		AddFloat("lo", []float64{0.85, 0.05, 0.8, 0.33, 0.74, 0.41, 0.8, 0.62}).
		AddFloat("hi", []float64{0.94, 0.17, 0.89, 0.48, 0.86, 0.6, 0.93, 0.78})
	return New(Dots{
		Category: "method", X: Axis{Column: "acc", Label: "Passkey accuracy", Unit: "share"}, Lo: "lo", Hi: "hi",
		Series: []string{"length"}, Name: "%s tokens", Marks: []Mark{{At: 0.1, Label: "chance"}},
	}, t)
}
