// Package intervene changes what a trained recurrent model computes, head by head and from any position on, as inputs of the
// graph: causal interventions with random-head controls and dose–response runs, and the mitigations of state collapse
// (arXiv 2410.07145 methods 1 to 3, 2406.14528, 2504.16053, MambaExtend, 2509.19633), compared in one harness.
package intervene

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/lm"
	"stuffed/pkg/plaintext"
)

// Head names a head of a layer, both from 0.
type Head struct {
	Layer int `json:"layer"`
	Head  int `json:"head"`
}

func (h Head) String() string { return fmt.Sprintf("%d.%d", h.Layer, h.Head) }

// headNames writes heads as tables do: layer.head, separated by blanks.
func headNames(heads []Head) string { return strings.Trim(fmt.Sprint(heads), "[]") }

// Intervention is one change. It acts on the named heads; without any, on all heads of the named layers; without those, on all heads.
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

// kind says how an intervention becomes controls of a model.
type kind struct {
	control  string  // empty for the clamps, which set a lower and an upper bound
	low      float64 // least value
	high     float64
	compose  bool   // several on one head multiply or add up
	quantity string // what it holds or changes: "Δ", "α", "A", "dt_bias", "B", "x", "y", "norm"
	holds    bool   // makes other changes of the same quantity void
	does     string
	lowest   string // controls of the bounds
	highest  string
}

var kinds = map[string]kind{
	"alpha_scale":  {"log_alpha_shift", 1e-300, 1, true, "α", false, "multiply α by value, above 0 and at most 1", "", ""},
	"alpha_clamp":  {"", 0, 1, false, "α", false, "keep α between low and high, both from 0 to 1", "log_alpha_min", "log_alpha_max"},
	"dt_scale":     {"dt_scale", -1e6, 1e6, true, "Δ", false, "multiply dt + dt_bias before softplus by value", "", ""},
	"dt_shift":     {"dt_shift", -1e6, 1e6, true, "Δ", false, "add value to dt + dt_bias before softplus", "", ""},
	"dt_bias_swap": {"dt_bias_of", 0, 0, false, "dt_bias", false, "exchange dt_bias with the heads in with", "", ""},
	"delta_freeze": {"delta_value", 0, 1e6, false, "Δ", true, "hold Δ at value", "", ""},
	"delta_filter": {"delta_filter", 0, 1e6, false, "Δ", false, "skip tokens whose Δ is below value", "", ""},
	"delta_scale":  {"delta_scale", 0, 1e6, true, "Δ", false, "multiply Δ after softplus by value", "", ""},
	"delta_clamp":  {"", 0, math.Inf(1), false, "Δ", false, "keep Δ between low and high", "delta_min", "delta_max"},
	"a_scale":      {"a_scale", 0, 1e6, true, "A", false, "multiply A by value", "", ""},
	"a_swap":       {"a_of", 0, 0, false, "A", false, "exchange A with the heads in with", "", ""},
	"b_scale":      {"b_scale", -1e6, 1e6, true, "B", false, "multiply B by value", "", ""},
	"b_freeze":     {"b_value", -1e30, 1e30, false, "B", true, "hold B of whole layers at values", "", ""},
	"b_norm":       {"b_norm", 0, 1e30, false, "B", false, "scale B of whole layers to the norm value", "", ""},
	"x_freeze":     {"x_value", -1e30, 1e30, false, "x", true, "hold x at values", "", ""},
	"x_norm":       {"x_norm", 0, 1e30, false, "x", false, "scale x to the norm value", "", ""},
	"ablate":       {"y_scale", 0, 0, false, "y", true, "set the head's output to 0", "", ""},
	"norm_limit":   {"norm_limit", 0, 1e300, false, "norm", false, "scale the state down to at most the Frobenius norm value", "", ""},
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
func (v Intervention) heads(m lm.Model) []Head {
	if len(v.Heads) > 0 {
		return v.Heads
	}
	layers := v.Layers
	if len(layers) == 0 {
		for l := range m.Layers() {
			layers = append(layers, l)
		}
	}
	per := heads(m)
	if c, err := lm.ControlOf(m, kinds[v.Kind].controls()[0]); err == nil {
		per = c.Dims[0]
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
func (v Intervention) width(m lm.Model) int {
	width := 1
	if c, err := lm.ControlOf(m, kinds[v.Kind].controls()[0]); err == nil {
		for _, d := range c.Dims[1:] {
			width *= d
		}
	}
	return width
}

// grouped tells whether the kind acts on what the heads of a group share.
func (v Intervention) grouped(m lm.Model) bool {
	c, err := lm.ControlOf(m, kinds[v.Kind].controls()[0])
	return err == nil && c.Axes[0] == lm.Group
}

// heads is the number of heads of a layer.
func heads(m lm.Model) int { return m.Configuration().Sizes().Heads }

// controls are the names of the controls that a kind sets.
func (k kind) controls() []string {
	if k.control == "" {
		return []string{k.lowest, k.highest}
	}
	return []string{k.control}
}

// Validate names the first field that is out of range, and what contradicts what.
func (p Plan) Validate(m lm.Model) error {
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

func (v Intervention) validate(m lm.Model) error {
	k, known := kinds[v.Kind]
	if !known {
		return fmt.Errorf("unknown kind; choose one of:\n%s", strings.Join(Kinds(), "\n"))
	}
	for _, name := range k.controls() {
		if _, err := lm.ControlOf(m, name); err != nil {
			if v.Kind == "norm_limit" {
				return fmt.Errorf("%w; a method with norm_every above 0 limits norms, for models that can", err)
			}
			return err
		}
	}
	if v.grouped(m) && len(v.Heads) > 0 {
		return fmt.Errorf("heads: B is shared by the heads of a layer; name layers")
	}
	for _, l := range v.Layers {
		if l < 0 || l >= m.Layers() {
			return fmt.Errorf("layer %d does not exist; layers are 0 … %d", l, m.Layers()-1)
		}
	}
	own := v.heads(m)
	for i, h := range own {
		if h.Layer < 0 || h.Layer >= m.Layers() || h.Head < 0 || h.Head >= heads(m) {
			return fmt.Errorf("head %s does not exist; layers are 0 … %d, heads 0 … %d", h, m.Layers()-1, heads(m)-1)
		}
		if slices.Contains(own[:i], h) {
			return fmt.Errorf("head %s is named twice", h)
		}
	}
	if v.From < 0 || v.Until != 0 && v.Until <= v.From {
		return fmt.Errorf("from %d, until %d: want 0 ≤ from < until, or until 0 for no end", v.From, v.Until)
	}
	return v.validateValues(m, k, own)
}

func (v Intervention) validateValues(m lm.Model, k kind, own []Head) error {
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
			if w.Layer != v.Heads[i].Layer || w.Head < 0 || w.Head >= heads(m) {
				return fmt.Errorf("with: head %s is not a head of layer %d", w, v.Heads[i].Layer)
			}
			if slices.Contains(seen, w) {
				return fmt.Errorf("head %s takes part in two exchanges", w)
			}
			seen = append(seen, w)
		}
	case v.Kind == "ablate":
	default:
		if want := len(own) * v.width(m); len(v.Values) != want && (len(v.Values) > 0 || v.width(m) > 1) {
			return fmt.Errorf("values: %d given, %d needed (%d × %d)", len(v.Values), want, len(own), v.width(m))
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

// contradiction is the first head that both change in contradictory ways, at a position that both reach.
func contradiction(m lm.Model, a, b Intervention) (Head, string) {
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
		if a.grouped(m) != b.grouped(m) || !slices.Contains(touched(b), h) {
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
