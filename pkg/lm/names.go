package lm

import (
	"fmt"
	"slices"
	"strings"
)

// Control is a named change of what the layers compute, given to a call as a node [layers, (batch,) Dims…]. At its neutral
// value it changes no bit. A second node, Name + From, makes it act from a position on, a third, Name + Until, only before
// one: int32 [layers, (batch,) Dims[0]]. Positions are counted from Call.Offset.
type Control struct {
	Name    string
	Dims    []int  // without layers
	Axes    []Axis // of Dims
	Integer bool   // int32 instead of the dtype of the parameters
	Neutral float64
	Does    string
}

// Suffixes of the positions between which a control acts.
const (
	From  = "/from"
	Until = "/until"
)

// Itself marks, as Control.Neutral, an index control whose entry i is i.
const Itself = -1

// Probe is a quantity that a model shows on request, stacked over the layers.
type Probe struct {
	Name string
	Axes []Axis // after the layers
	Does string
}

// Names of probes that several architectures have. Sum, Squares and States are of the first recurrent state, see Of.
const (
	Sum      = "sum"       // of the entries of the recurrent state after every token, float64 [layers, batch, tokens, heads]
	Squares  = "squares"   // of the same: the sum of their squares
	States   = "states"    // the recurrent state after the tokens of Call.Ends, [layers, n, batch, …] in the axes of its spec
	LogAlpha = "log_alpha" // log of the decay, at most 0, [layers, batch, tokens, heads] and, where it is finer, the axes key or value and key
	Delta    = "delta"     // strength of the write, [layers, batch, tokens, heads]
	Values   = "x"         // what is written, [layers, batch, tokens, heads, values]
	Keys     = "B"         // where it is written, [layers, batch, tokens, groups, keys]
	Queries  = "C"         // what is read with, [layers, batch, tokens, groups, keys]
	Summary  = "summary"   // of a Summarised model: what its recurrent state means after every token, [layers, batch, tokens, channels]
	Residual = "hidden"    // residual stream after the layer, [layers, batch, tokens, width]
)

// Inputs, "/" and the name of a state that is a window of inputs is the probe of these, those that were carried in first:
// [layers, batch, carried + tokens, channels].
const Inputs = "inputs"

// Of is the probe Sum, Squares or States of a state of the model: the first recurrent one has the plain name.
func Of(probe string, m Model, state string) string {
	if first, err := StateOf(m, ""); state == "" || err == nil && first.Name == state && probe != Inputs {
		return probe
	}
	return probe + "/" + state
}

// AtEnds tells whether a probe is read after the tokens of Call.Ends instead of after every one.
func AtEnds(probe string) bool { return probe == States || strings.HasPrefix(probe, States+"/") }

// ControlOf returns the control of a name; the error lists those that the model has.
func ControlOf(m Model, name string) (Control, error) {
	all := m.Controls()
	if i := slices.IndexFunc(all, func(c Control) bool { return c.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return Control{}, fmt.Errorf("%s has no control %q; %s", m.Name(), name, those(names))
}

// ProbeOf returns the probe of a name; the error lists those that the model has.
func ProbeOf(m Model, name string) (Probe, error) {
	all := m.Probes()
	if i := slices.IndexFunc(all, func(p Probe) bool { return p.Name == name }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return Probe{}, fmt.Errorf("%s has no probe %q; %s", m.Name(), name, those(names))
}

// HasProbe tells whether the model shows a quantity.
func HasProbe(m Model, name string) bool {
	_, err := ProbeOf(m, name)
	return err == nil
}

// CheckNames refuses probes and controls that the model lacks.
func CheckNames(m Model, probes []string, controls []string) error {
	for _, name := range probes {
		if _, err := ProbeOf(m, name); err != nil {
			return err
		}
	}
	for _, name := range controls {
		if _, err := ControlOf(m, strings.TrimSuffix(strings.TrimSuffix(name, From), Until)); err != nil {
			return err
		}
	}
	return nil
}

func those(names []string) string {
	if len(names) == 0 {
		return "it has none"
	}
	return "it has " + strings.Join(names, ", ")
}

func list(specs []Spec) string {
	var names []string
	for _, s := range specs {
		names = append(names, fmt.Sprintf("%s (%s %v)", s.Name, s.Role, s.Dims))
	}
	return strings.Join(names, ", ")
}

// Units is the number of heads or groups of a tensor of the probe, [layers, Axes…], and how many entries each has; a probe
// without these axes is one unit.
func (p Probe) Units(dims []int) (units, entries int) {
	units, entries = 1, 1
	for i, a := range p.Axes {
		if a == HeadAxis || a == Group {
			units = dims[i+1]
		}
	}
	for _, i := range p.Finer() {
		entries *= dims[i+1]
	}
	return units, entries
}

// HasHeads tells whether the probe has an axis of heads or groups.
func (p Probe) HasHeads() bool {
	return slices.Contains(p.Axes, HeadAxis) || slices.Contains(p.Axes, Group)
}

// Finer lists the positions in Axes of those that divide a head or group: all but those of rows, tokens, heads and groups.
func (p Probe) Finer() (axes []int) {
	for i, a := range p.Axes {
		if !slices.Contains([]Axis{Batch, Token, Position, HeadAxis, Group}, a) {
			axes = append(axes, i)
		}
	}
	return axes
}
