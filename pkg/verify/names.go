package verify

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// References are called differently for every architecture. Here they get the names of the model's own states and probes:
// window.final.q becomes window.q.final, layer0.wkv becomes layer0.y. Reports keep the file's.

// aliases are probes by what references call them where the model has no probe of that name.
var aliases = map[string]string{"q": lm.Queries, "r": lm.Queries, "k": lm.Keys, "v": lm.Values, "attn": "y", "wkv": "y", "ssm": "y", "att_out": "mixer_out"}

// rename gives references the model's names.
func (m *model) rename() {
	m.called = map[string]string{}
	for _, all := range []map[string]*checkpoint.Tensor{m.truth, m.golden} {
		for _, name := range sorted(all) {
			if own := m.ownName(name); own != name && all[own] == nil {
				all[own], m.called[own] = all[name], name
				delete(all, name)
			}
		}
	}
}

// label is what the file calls a reference.
func (m *model) label(name string) string {
	if called := m.called[name]; called != "" {
		return called
	}
	return name
}

func (m *model) ownName(name string) string {
	prefix, base := "", name
	if first, rest, cut := strings.Cut(name, "."); cut && (special[first+"."] || m.truth[first+".input_ids"] != nil) {
		prefix, base = first+".", rest
	}
	if base == "stats.beta" {
		return prefix + "stats.delta"
	}
	if base == "grad_out_"+lm.MainState(m.model32()).Name {
		return prefix + cotangent
	}
	for _, s := range m.model32().State(1) {
		name, part, cut := strings.Cut(s.Name, ".")
		if !cut {
			continue
		}
		switch base { // the part of a state comes last
		case name + "0." + part:
			return prefix + s.Name + "0"
		case "grad_" + name + "0." + part:
			return prefix + "grad_" + s.Name + "0"
		case name + ".final." + part:
			return prefix + s.Name + ".final"
		}
	}
	var layer int
	if first, probe, cut := strings.Cut(base, "."); cut && aliases[probe] != "" && !lm.HasProbe(m.model32(), probe) {
		if n, err := fmt.Sscanf(first, "layer%d", &layer); n == 1 && err == nil {
			return prefix + first + "." + aliases[probe]
		}
	}
	return name
}

// cotangent is the reference that the objective multiplies the last state with.
const cotangent = "grad_out_state"

// fit brings a result to the shape of its reference where that says the same: a cache without unused room, the heads of a
// probe side by side.
func (m *model) fit(name string, v value, shape []int) value {
	for _, s := range m.model32().State(1) {
		if at := s.Along(lm.Position); s.Grows && len(v.shape) == len(shape) && at >= 0 && strings.HasSuffix(strings.TrimSuffix(strings.TrimSuffix(name, ".final"), "0"), s.Name) && shape[at] < v.shape[at] {
			return shorter(v, at, shape[at])
		}
	}
	if n := len(shape); len(v.shape) == n+1 && n > 2 && slices.Equal(v.shape[:n-1], shape[:n-1]) && v.shape[n-1]*v.shape[n] == shape[n-1] {
		v.shape = shape
	}
	return v
}

// shorter keeps the first entries of an axis.
func shorter(v value, axis, size int) value {
	row := 1
	for _, d := range v.shape[axis+1:] {
		row *= d
	}
	out := value{shape: slices.Clone(v.shape)}
	out.shape[axis] = size
	for i := 0; i < len(v.flat); i += v.shape[axis] * row {
		out.flat = append(out.flat, v.flat[i:i+size*row]...)
	}
	return out
}

// embedded are the embeddings of the tokens, [batch, tokens, width].
func (m *model) embedded(r run, w *lm.Weights) (value, error) {
	for i, s := range w.Specs {
		if s.Role != lm.Embedding {
			continue
		}
		table, err := lm.Float64s(w.Values[i])
		if err != nil {
			return value{}, err
		}
		width := s.Dims[len(s.Dims)-1]
		out := value{shape: []int{len(r.rows), len(r.rows[0]), width}}
		for _, row := range r.rows {
			for _, token := range row {
				out.flat = append(out.flat, table[int(token)*width:][:width]...)
			}
		}
		return out, nil
	}
	return value{}, fmt.Errorf("the model has no embedding")
}
