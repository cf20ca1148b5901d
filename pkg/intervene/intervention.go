// Package intervene changes what a trained Mamba-2 computes, head by head and from any position on, as inputs of the
// graph: causal interventions with random-head controls and dose–response runs, and the mitigations of state collapse
// (arXiv 2410.07145 methods 1 to 3, 2406.14528, 2504.16053, MambaExtend, 2509.19633), compared in one harness.
package intervene

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/mamba2"
	"stuffed/pkg/plaintext"
)

// Head names a head of a layer, both from 0.
type Head struct {
	Layer int `json:"layer"`
	Head  int `json:"head"`
}

func (h Head) String() string { return fmt.Sprintf("%d.%d", h.Layer, h.Head) }

// Intervention is one change. Heads are those named, else all heads of the layers named, else all.
type Intervention struct {
	Kind   string    `json:"kind"` // see Kinds
	Heads  []Head    `json:"heads,omitempty"`
	Layers []int     `json:"layers,omitempty"`
	Value  float64   `json:"value,omitempty"`  // of every head
	Values []float64 `json:"values,omitempty"` // of each head in order, instead of Value; width entries each where the kind has more
	Low    *float64  `json:"low,omitempty"`    // bounds of the clamps, absent for none
	High   *float64  `json:"high,omitempty"`
	With   []Head    `json:"with,omitempty"`  // swaps: the head of the same layer that each of Heads exchanges with
	From   int       `json:"from,omitempty"`  // first token, a position in the sequence
	Until  int       `json:"until,omitempty"` // first token no longer changed, 0 for none
}

// Plan is a list of interventions that act together.
type Plan []Intervention

// kind says how an intervention becomes controls of mamba2.Model.
type kind struct {
	control  string
	low      float64 // least value
	high     float64
	compose  bool   // several on one head multiply or add up
	quantity string // what it holds or changes: "Δ", "α", "A", "dt_bias", "B", "x", "y", "norm"
	holds    bool   // makes other changes of the same quantity void
	unit     string // "head" or "group"
	does     string
}

var kinds = map[string]kind{
	"alpha_scale":  {"log_alpha_shift", 1e-300, 1, true, "α", false, "head", "multiply α by value, above 0 and at most 1"},
	"alpha_clamp":  {"", 0, 1, false, "α", false, "head", "keep α between low and high, both from 0 to 1"},
	"dt_scale":     {"dt_scale", -1e6, 1e6, true, "Δ", false, "head", "multiply dt + dt_bias before softplus by value"},
	"dt_shift":     {"dt_shift", -1e6, 1e6, true, "Δ", false, "head", "add value to dt + dt_bias before softplus"},
	"dt_bias_swap": {"dt_bias_of", 0, 0, false, "dt_bias", false, "head", "exchange dt_bias with the heads in with"},
	"delta_freeze": {"delta_value", 0, 1e6, false, "Δ", true, "head", "hold Δ at value"},
	"delta_filter": {"delta_filter", 0, 1e6, false, "Δ", false, "head", "skip tokens whose Δ is below value"},
	"delta_scale":  {"delta_scale", 0, 1e6, true, "Δ", false, "head", "multiply Δ after softplus by value"},
	"delta_clamp":  {"", 0, math.Inf(1), false, "Δ", false, "head", "keep Δ between low and high"},
	"a_scale":      {"a_scale", 0, 1e6, true, "A", false, "head", "multiply A by value"},
	"a_swap":       {"a_of", 0, 0, false, "A", false, "head", "exchange A with the heads in with"},
	"b_scale":      {"b_scale", -1e6, 1e6, true, "B", false, "head", "multiply B by value"},
	"b_freeze":     {"b_value", -1e30, 1e30, false, "B", true, "group", "hold B of whole layers at values"},
	"b_norm":       {"b_norm", 0, 1e30, false, "B", false, "group", "scale B of whole layers to the norm value"},
	"x_freeze":     {"x_value", -1e30, 1e30, false, "x", true, "head", "hold x at values"},
	"x_norm":       {"x_norm", 0, 1e30, false, "x", false, "head", "scale x to the norm value"},
	"ablate":       {"y_scale", 0, 0, false, "y", true, "head", "set the head's output to 0"},
	"norm_limit":   {"norm_limit", 0, 1e300, false, "norm", false, "head", "scale the state down to at most the Frobenius norm value"},
}

// Kinds lists the kinds of interventions with what they do.
func Kinds() []string {
	var lines []string
	for name, k := range kinds {
		lines = append(lines, fmt.Sprintf("%-13s %s", name, k.does))
	}
	slices.Sort(lines)
	return lines
}

// ReadPlan reads a JSON file with a list of interventions.
func ReadPlan(path string) (Plan, error) {
	raw, err := plaintext.Read(path)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields()
	var p Plan
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("plan %s: %w", path, err)
	}
	return p, nil
}

// heads are the heads that it changes; for kinds of whole layers the first of each group stands for it.
func (v Intervention) heads(m mamba2.Model) []Head {
	if len(v.Heads) > 0 {
		return v.Heads
	}
	layers := v.Layers
	if len(layers) == 0 {
		for l := range m.Layers() {
			layers = append(layers, l)
		}
	}
	per := m.Heads()
	if kinds[v.Kind].unit == "group" {
		per = m.Groups
	}
	var all []Head
	for _, l := range layers {
		for h := range per {
			all = append(all, Head{l, h})
		}
	}
	return all
}

// width is the number of values of a head.
func (v Intervention) width(m mamba2.Model) int {
	switch v.Kind {
	case "x_freeze":
		return m.HeadDim
	case "b_freeze":
		return m.Config.State
	}
	return 1
}

// Validate names the first field that is out of range, and what contradicts what.
func (p Plan) Validate(m mamba2.Model) error {
	for i, v := range p {
		if err := v.validate(m); err != nil {
			return fmt.Errorf("intervention %d (%s): %w", i+1, v.Kind, err)
		}
	}
	for i, a := range p {
		for j := range i {
			if at, why := contradiction(m, p[j], a); why != "" {
				return fmt.Errorf("interventions %d (%s) and %d (%s) contradict each other at head %s: %s", j+1, p[j].Kind, i+1, a.Kind, at, why)
			}
		}
	}
	return nil
}

func (v Intervention) validate(m mamba2.Model) error {
	k, known := kinds[v.Kind]
	if !known {
		return fmt.Errorf("unknown kind; choose one of:\n%s", strings.Join(Kinds(), "\n"))
	}
	if k.unit == "group" && len(v.Heads) > 0 {
		return fmt.Errorf("heads: B is shared by the heads of a layer; name layers")
	}
	for _, l := range v.Layers {
		if l < 0 || l >= m.Layers() {
			return fmt.Errorf("layer %d does not exist; layers are 0 … %d", l, m.Layers()-1)
		}
	}
	heads := v.heads(m)
	for i, h := range heads {
		if h.Layer < 0 || h.Layer >= m.Layers() || h.Head < 0 || h.Head >= m.Heads() {
			return fmt.Errorf("head %s does not exist; layers are 0 … %d, heads 0 … %d", h, m.Layers()-1, m.Heads()-1)
		}
		if slices.Contains(heads[:i], h) {
			return fmt.Errorf("head %s is named twice", h)
		}
	}
	if v.From < 0 || v.Until != 0 && v.Until <= v.From {
		return fmt.Errorf("from %d, until %d: want 0 ≤ from < until, or until 0 for no end", v.From, v.Until)
	}
	if k.control == "norm_limit" && m.NormEvery == 0 {
		return fmt.Errorf("the model keeps no limited norm; use mamba2.Model.WithNormLimit")
	}
	return v.validateValues(m, k, heads)
}

func (v Intervention) validateValues(m mamba2.Model, k kind, heads []Head) error {
	swap := k.control == "a_of" || k.control == "dt_bias_of"
	switch {
	case k.control == "": // a clamp
		if v.Low == nil && v.High == nil {
			return fmt.Errorf("neither low nor high given")
		}
		for name, bound := range map[string]*float64{"low": v.Low, "high": v.High} {
			if bound != nil && !(*bound >= k.low && *bound <= k.high) {
				return fmt.Errorf("%s = %g is outside %g … %g", name, *bound, k.low, k.high)
			}
		}
		if v.Low != nil && v.High != nil && *v.Low > *v.High {
			return fmt.Errorf("low = %g is above high = %g", *v.Low, *v.High)
		}
	case swap:
		if len(v.With) != len(v.Heads) || len(v.Heads) == 0 {
			return fmt.Errorf("with: %d heads for %d in heads; name one partner for each", len(v.With), len(v.Heads))
		}
		seen := slices.Clone(v.Heads)
		for i, w := range v.With {
			if w.Layer != v.Heads[i].Layer || w.Head < 0 || w.Head >= m.Heads() {
				return fmt.Errorf("with: head %s is no head of layer %d", w, v.Heads[i].Layer)
			}
			if slices.Contains(seen, w) {
				return fmt.Errorf("head %s takes part in two exchanges", w)
			}
			seen = append(seen, w)
		}
	case v.Kind == "ablate":
	default:
		if want := len(heads) * v.width(m); len(v.Values) != want && (len(v.Values) > 0 || v.width(m) > 1) {
			return fmt.Errorf("values: %d given, %d needed (%d × %d)", len(v.Values), want, len(heads), v.width(m))
		}
		given := v.Values
		if len(given) == 0 {
			given = []float64{v.Value}
		}
		for _, x := range given {
			if !(x >= k.low && x <= k.high) {
				return fmt.Errorf("value %g is outside %g … %g", x, k.low, k.high)
			}
		}
	}
	return nil
}

// contradiction is the first head that both change in a way that cannot be meant, at a position that both reach.
func contradiction(m mamba2.Model, a, b Intervention) (Head, string) {
	end := func(v Intervention) int {
		if v.Until == 0 {
			return math.MaxInt
		}
		return v.Until
	}
	ka, kb := kinds[a.Kind], kinds[b.Kind]
	same := a.From == b.From && a.Until == b.Until
	overlap := a.From < end(b) && b.From < end(a)
	touched := func(v Intervention) []Head { return append(slices.Clone(v.heads(m)), v.With...) }
	for _, h := range touched(a) {
		if ka.unit != kb.unit || !slices.Contains(touched(b), h) {
			continue
		}
		switch {
		case a.Kind == b.Kind && ka.compose && same:
		case a.Kind == b.Kind && ka.compose:
			return h, "they act at different positions; give both the same from and until"
		case a.Kind == b.Kind:
			return h, "only one of a kind can act on a head"
		case overlap && (a.Kind == "ablate" || b.Kind == "ablate"):
			return h, "an ablated head has no output to change"
		case overlap && ka.quantity == kb.quantity && (ka.holds || kb.holds):
			return h, fmt.Sprintf("%s is held by one and changed by the other", ka.quantity)
		case overlap && (a.Kind == "delta_freeze" && kb.quantity == "dt_bias" || b.Kind == "delta_freeze" && ka.quantity == "dt_bias"):
			return h, "Δ is held, so dt_bias has no effect"
		}
	}
	return Head{}, ""
}
