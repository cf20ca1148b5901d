package paper

import "fmt"

// of returns the models that meet every condition.
func of(models []Model, conditions ...func(Model) bool) (out []Model) {
next:
	for _, m := range models {
		for _, holds := range conditions {
			if !holds(m) {
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

func with(policy string) func(Model) bool { return func(m Model) bool { return m.Policy == policy } }
func in(plan string) func(Model) bool     { return func(m Model) bool { return m.Plan == plan } }
func at(T int) func(Model) bool           { return func(m Model) bool { return m.T == T } }
func sized(N int) func(Model) bool        { return func(m Model) bool { return m.State == N } }

// values evaluates a quantity on every model.
func values(models []Model, of func(Model) float64) []float64 {
	out := make([]float64, len(models))
	for i, m := range models {
		out[i] = of(m)
	}
	return out
}

func count(models []Model, is func(Model) bool) int { return len(of(models, is)) }

func excess(m Model) float64 { return m.Excess.Mean }
func far(m Model) float64    { return m.Far.Mean }
func inside(m Model) float64 { return m.Inside.Mean }

// groups splits models by a name, in order of first appearance.
func groups(models []Model, name func(Model) string) (names []string, by map[string][]Model) {
	by = map[string][]Model{}
	for _, m := range models {
		k := name(m)
		if _, known := by[k]; !known {
			names = append(names, k)
		}
		by[k] = append(by[k], m)
	}
	return names, by
}

// stream names the data that the model was trained on.
func (m Model) stream() string {
	switch {
	case m.Plan == TextPlan:
		return "text"
	case 2*m.Gap == m.T && m.Plan == CapacityPlan:
		return "recall, gap = T"
	}
	return fmt.Sprintf("recall, gap %d", 2*m.Gap)
}

// condition is the stratum within which models are compared: training data and training length.
func (m Model) condition() string { return fmt.Sprintf("%s, T %d", m.stream(), m.T) }
