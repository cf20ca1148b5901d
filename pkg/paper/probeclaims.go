package paper

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/collapse"
	"stuffed/pkg/table"
)

// seenPrompt is one model on one prompt.
type seenPrompt struct {
	model, prompt, first string
	collapse.Failure
	strict        bool
	growth, onset float64
}

func promptsOf(root string) ([]seenPrompt, error) {
	t, err := table.Read(filepath.Join(root, "probes", "prompts.csv"))
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"model", "prompt", "first"}, []string{"sequences", "inside", "inside_low", "inside_high", "far", "far_low", "far_high", "strict", "growth", "degradation_onset"})
	if err != nil {
		return nil, err
	}
	var out []seenPrompt
	for i := range t.Rows() {
		of := func(name string) collapse.Estimate {
			return collapse.Estimate{Mean: c.float[name][i], Low: c.float[name+"_low"][i], High: c.float[name+"_high"][i], Values: max(int64(c.float["sequences"][i]), 1)}
		}
		s := seenPrompt{model: c.text["model"][i], prompt: c.text["prompt"][i], first: c.text["first"][i], strict: c.float["strict"][i] == 1,
			growth: c.float["growth"][i], onset: c.float["degradation_onset"][i]}
		s.Inside, s.Far = of("inside"), of("far")
		s.Excess = s.Far.Minus(s.Inside)
		out = append(out, s)
	}
	return out, nil
}

func (e evidence) newlines() (Claim, error) {
	c := Claim{ID: "newlines", Where: "v1 Fig. 1a, F.2", Claim: "a text model fails on newlines beyond T, and other texts behave alike", Paper: "“newlines” prompt of v1; same behaviour claimed for text", Figure: "15_prompts",
		Rule: fmt.Sprintf("excess loss of each text model on each prompt against %g nat; newlines and real documents are one side each: for the claim when all models fail there, against it when none does", limits.Excess)}
	seen, err := promptsOf(e.root)
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	var order []string
	by := map[string][]seenPrompt{}
	for _, s := range seen {
		if strings.HasPrefix(s.model, "text") {
			if by[s.prompt] == nil {
				order = append(order, s.prompt)
			}
			by[s.prompt] = append(by[s.prompt], s)
		}
	}
	if len(order) == 0 {
		return c, orMissing(nil, "a text model among the probes")
	}
	for _, p := range order {
		failing := 0
		var parts []string
		for _, s := range by[p] {
			if limits.ByExcess(s.Failure) == collapse.Yes {
				failing++
			}
			text := fmt.Sprintf("%s %.3g → %.3g nat", s.model, s.Inside.Mean, s.Far.Mean)
			if s.strict && !math.IsNaN(s.onset) {
				text += fmt.Sprintf(", strict at token %.0f, %s first", s.onset, s.first)
			}
			parts = append(parts, text)
		}
		if p == "newlines" || p == "documents" {
			sides = append(sides, decided(failing == len(by[p]), failing == 0))
		}
		said = append(said, fmt.Sprintf("%s: %d of %d fail (%s)", p, failing, len(by[p]), strings.Join(parts, "; ")))
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	return c, nil
}

// component is the drift of one quantity in one head of a model.
type component struct {
	model, quantity   string
	head              int64
	change, low, high float64
	onset             float64
}

func componentsOf(root string) ([]component, error) {
	t, err := table.Read(filepath.Join(root, "probes", "components.csv"))
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"model", "quantity"}, []string{"head", "change", "change_low", "change_high", "onset"})
	if err != nil {
		return nil, err
	}
	var out []component
	for i := range t.Rows() {
		out = append(out, component{c.text["model"][i], c.text["quantity"][i], int64(c.float["head"][i]), c.float["change"][i], c.float["change_low"][i], c.float["change_high"][i], c.float["onset"][i]})
	}
	return out, nil
}

func (e evidence) components() (Claim, error) {
	c := Claim{ID: "components", Where: "v1 Fig. 6, v2 Fig. 7", Claim: "Δ, B and x drift after the training length", Paper: "curves only", Figure: "05_drift",
		Rule: fmt.Sprintf("mean of a quantity over the last half of the sequence over that in ½T … T, each head of each model; Δ, B and x are one side each: for the claim when the median head changes by more than a tenth and its models agree, against it when at most a tenth of the heads pass a factor of %g either way", drift)}
	all, err := componentsOf(e.root)
	if err != nil {
		return c, err
	}
	var sides []Side
	var said []string
	for _, q := range []struct{ column, name string }{{"delta", "Δ"}, {"b_norm", "|B|"}, {"x_norm", "|x|"}, {"write_norm", "|Δ x Bᵀ|"}} {
		var changes []float64
		passed, onsets := 0, 0
		for _, d := range all {
			if d.quantity != q.column || math.IsNaN(d.change) {
				continue
			}
			changes = append(changes, d.change)
			if d.change > drift || d.change < 1/drift {
				passed++
			}
			if !math.IsNaN(d.onset) {
				onsets++
			}
		}
		if len(changes) == 0 {
			return c, orMissing(nil, q.name+" among the components")
		}
		slices.Sort(changes)
		median := changes[len(changes)/2]
		if q.column != "write_norm" {
			sides = append(sides, decided(math.Abs(median-1) > 0.1 && 2*passed > len(changes), 10*passed <= len(changes)))
		}
		said = append(said, fmt.Sprintf("%s: median × %.3g, %d of %d heads beyond a factor of %g, range %.2g … %.2g, lasting rise in %d", q.name, median, passed, len(changes), drift, changes[0], changes[len(changes)-1], onsets))
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	return c, nil
}

func (e evidence) convolution() (Claim, error) {
	c := Claim{ID: "convolution state", Where: "v2 Fig. 17", Claim: "the convolution state stays stable", Paper: "curves only", Figure: "05_drift",
		Rule: fmt.Sprintf("mean norm of the convolution state over the last half of the sequence over that in ½T … T, each part of each layer; for the claim when none passes a factor of %g either way", drift)}
	all, err := componentsOf(e.root)
	if err != nil {
		return c, err
	}
	passed, n := 0, 0
	low, high := math.Inf(1), math.Inf(-1)
	for _, d := range all {
		if !strings.HasPrefix(d.quantity, "convolution") {
			continue
		}
		n++
		low, high = min(low, d.change), max(high, d.change)
		if d.change > drift || d.change < 1/drift {
			passed++
		}
	}
	if n == 0 {
		return c, orMissing(nil, "the convolution state among the probes")
	}
	c.Ours = fmt.Sprintf("%d parts of %d change by more than a factor of %g; range %.3g … %.3g", passed, n, drift, low, high)
	c.Verdict = Verdict(decided(passed == 0, 2*passed > n))
	return c, nil
}
