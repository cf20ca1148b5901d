package intervene

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/lm"
)

// Family is a mitigation with parameters to choose. Make may measure on the calibration split.
type Family struct {
	Name       string
	Parameters []string
	Grid       func(trainLength int) [][]float64 // values of the parameters to try, in their order
	Make       func(ctx context.Context, b *Bench, s Suite, p []float64) (Method, error)
	Source     string
}

// product lists all combinations.
func product(axes ...[]float64) [][]float64 {
	all := [][]float64{{}}
	for _, axis := range axes {
		var next [][]float64
		for _, head := range all {
			for _, v := range axis {
				next = append(next, append(slices.Clone(head), v))
			}
		}
		all = next
	}
	return all
}

func fixed(axes ...[]float64) func(int) [][]float64 {
	return func(int) [][]float64 { return product(axes...) }
}

// families in the order of the table. Factors of α are given for one training length: m_α^T, so that the same grid serves
// every T; 0.44 at 8,192 tokens is the paper's 0.9999. The grids of factors and of thresholds hold a point that changes
// nothing (factors of 1, a retention that no head exceeds), so that choosing may choose the model as it is.
var families = []Family{
	{"none", nil, fixed(), func(context.Context, *Bench, Suite, []float64) (Method, error) { return Method{}, nil }, "the model as it is"},
	{"rri", []string{"alpha_over_t", "b"}, fixed([]float64{1, 0.9, 0.7, 0.4, 0.1}, []float64{1, 0.85, 0.7, 0.5}),
		func(_ context.Context, b *Bench, s Suite, p []float64) (Method, error) {
			return rri(b.Model, p[0], p[1], s.TrainLength, 0)
		}, "2410.07145, method 1: α·m_α and B·m_B in all heads"},
	{"rri_beyond", []string{"alpha_over_t", "b"}, fixed([]float64{0.9, 0.7, 0.4, 0.1, 0.01, 1}, []float64{1, 0.85, 0.7, 0.5}),
		func(_ context.Context, b *Bench, s Suite, p []float64) (Method, error) {
			return rri(b.Model, p[0], p[1], s.TrainLength, s.TrainLength)
		}, "method 1 from T on, free inside the training length"},
	{"state_norm", []string{"limit"}, fixed([]float64{0.25, 0.5, 0.75, 1}), stateNorm(1),
		"2410.07145 (version 1), method 2: the norm of a head at most limit × its in-window maximum, after every token"},
	{"state_norm_chunked", []string{"limit"}, fixed([]float64{0.25, 0.5, 0.75, 1}), stateNorm(16), "method 2 after every 16 tokens of a piece"},
	{"window", []string{"window_over_t"}, fixed([]float64{0.5, 1, 2}),
		func(_ context.Context, _ *Bench, s Suite, p []float64) (Method, error) {
			return Method{Window: max(1, int(p[0]*float64(s.TrainLength)))}, nil
		}, "2410.07145, method 3: what the last r tokens wrote"},
	{"delta_constant", []string{"factor"}, fixed([]float64{0.2, 0.35, 0.5, 0.7, 0.85, 1}),
		func(_ context.Context, _ *Bench, _ Suite, p []float64) (Method, error) {
			return Method{Plan: Plan{{Kind: "delta_scale", Value: p[0]}}}, nil
		}, "LongMamba of 2023 (jzhang38): Δ times a constant after softplus"},
	{"filter", []string{"retention"}, fixed([]float64{1e-30, 1e-5, 0.05, 0.3, 1}), filter,
		"LongMamba, 2504.16053: heads whose retention over T is above a threshold skip tokens of small Δ"},
	{"decimation", []string{"base_over_t", "beta"}, fixed([]float64{0.5, 1, 2, 4}, []float64{0.5, 1}),
		func(_ context.Context, b *Bench, s Suite, p []float64) (Method, error) {
			return Method{Decimation: &Decimation{First: 0, Base: max(1, int(p[0]*float64(s.TrainLength))), Beta: p[1], Least: min(20, s.TrainLength), Piece: 512}}, nil
		}, "DeciMamba, 2406.14528: the tokens of largest Δ of the context go on"},
	{"layer_delta", nil, fixed(), calibrated("delta_scale", false), "MambaExtend: Δ times one factor per layer, by gradient on the calibration split"},
	{"layer_delta_zeroth", nil, fixed(), calibrated("delta_scale", true), "MambaExtend with two losses per step instead of a gradient"},
	{"layer_a", nil, fixed(), calibrated("a_scale", false), "Mamba Modulation, 2509.19633: A times one factor per layer"},
}

// Families lists the names of the mitigations with their sources.
func Families() []string {
	var lines []string
	for _, f := range families {
		lines = append(lines, fmt.Sprintf("%-19s %s", f.Name, f.Source))
	}
	return lines
}

// FamilyNames lists the names alone.
func FamilyNames() (names []string) {
	for _, f := range families {
		names = append(names, f.Name)
	}
	return names
}

// FindFamily returns a mitigation by name.
func FindFamily(name string) (Family, error) {
	i := slices.IndexFunc(families, func(f Family) bool { return f.Name == name })
	if i < 0 {
		return Family{}, fmt.Errorf("method %q: unknown; choose one of %s", name, strings.Join(FamilyNames(), ", "))
	}
	return families[i], nil
}

// Method makes the family's method with parameters.
func (f Family) Method(ctx context.Context, b *Bench, s Suite, p []float64) (Method, error) {
	if len(p) != len(f.Parameters) {
		return Method{}, fmt.Errorf("%s: %d parameters given, %d needed (%s)", f.Name, len(p), len(f.Parameters), strings.Join(f.Parameters, ", "))
	}
	m, err := f.Make(ctx, b, s, p)
	if err != nil {
		return m, fmt.Errorf("%s: %w", f.Name, err)
	}
	m.Name = f.Name
	for i, name := range f.Parameters {
		if m.Parameters == nil {
			m.Parameters = map[string]float64{}
		}
		m.Parameters[name] = p[i]
	}
	return m, nil
}

// rri scales decays and writes. The writes of a delta rule have no factor but β, which scales what they erase too.
func rri(m lm.Model, alphaOverT, b float64, trainLength, from int) (Method, error) {
	has := func(control string) bool {
		_, err := lm.ControlOf(m, control)
		return err == nil
	}
	write := "b_scale"
	if !has(write) && has("delta_scale") {
		write = "delta_scale"
	}
	switch {
	case !lm.HasProbe(m, lm.LogAlpha):
		return Method{}, fmt.Errorf("method 1 scales α and B: %s has no state that decays or is written to", m.Name())
	case !has("log_alpha_shift") && has("a_scale"):
		return Method{}, fmt.Errorf("method 1 scales α of a head: %s has decays e^(Δ A) of every channel and key, whose common factor is a_scale", m.Name())
	case !has("log_alpha_shift"):
		return Method{}, fmt.Errorf("method 1 scales α: no token of %s changes its decay, and it has no control of it", m.Name())
	}
	var p Plan
	if alphaOverT != 1 {
		p = append(p, Intervention{Kind: "alpha_scale", Value: math.Pow(alphaOverT, 1/float64(trainLength)), From: from})
	}
	if b != 1 {
		p = append(p, Intervention{Kind: write, Value: b, From: from})
	}
	return Method{Plan: p}, nil
}

func stateNorm(every int) func(context.Context, *Bench, Suite, []float64) (Method, error) {
	return func(ctx context.Context, b *Bench, s Suite, p []float64) (Method, error) {
		stats, err := b.inWindow(ctx, s)
		if err != nil {
			return Method{}, err
		}
		v := Intervention{Kind: "norm_limit"}
		for _, row := range stats.Norm {
			for _, n := range row {
				v.Values = append(v.Values, p[0]*n)
			}
		}
		return Method{NormEvery: every, Plan: Plan{v}}, nil
	}
}

// inWindow are statistics over sequences of T tokens of the calibration split.
func (b *Bench) inWindow(ctx context.Context, s Suite) (*Statistics, error) {
	s.Split = "calibration"
	s.Sequences = min(s.Sequences, 16)
	return InWindow(ctx, b.plain(), s.Rows(s.TrainLength))
}
