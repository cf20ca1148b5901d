package models

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// watched collects probes over the pieces of a run.
type watched struct {
	names         []string // of the graphs' probes
	batch, tokens int
	state         string // whose value after cuts is kept; empty for none
	cuts          []int
	shapes        map[string][]int
	values        map[string][]float32
	states        [][]float32 // after each cut, [layers, batch, …]
	stateDims     []int
}

func newWatched(m lm.Model, batch, tokens int, o ForwardOptions) (*watched, error) {
	w := &watched{batch: batch, tokens: tokens, cuts: o.Cuts, shapes: map[string][]int{}, values: map[string][]float32{}}
	for _, name := range o.Probes {
		if _, err := lm.ProbeOf(m, name); err != nil {
			return nil, err
		}
		switch {
		case name == lm.States:
			first, err := lm.StateOf(m, "")
			if err != nil {
				return nil, err
			}
			w.state = first.Name
		case lm.AtEnds(name) || strings.HasPrefix(name, lm.Inputs+"/"):
			return nil, fmt.Errorf("probe %q has no value for every token; NAME.final is the state after the last one", name)
		case !slices.Contains(w.names, name):
			w.names = append(w.names, name)
		}
	}
	return w, nil
}

// take copies what a piece shows to its place among all tokens.
func (w *watched) take(p lm.Piece) error {
	for _, name := range w.names {
		t := p.Probes[name]
		dims := t.Shape().Dimensions
		if want := []int{dims[0], w.batch, p.Padded}; !slices.Equal(dims[:min(len(want), len(dims))], want) {
			return fmt.Errorf("probe %q is %v, not [layers, batch, tokens, …]", name, dims)
		}
		values, err := lm.Floats(t)
		if err != nil {
			return fmt.Errorf("probe %q: %w", name, err)
		}
		size := len(values) / (dims[0] * w.batch * p.Padded)
		if w.values[name] == nil {
			w.shapes[name] = append([]int{dims[0], w.batch, w.tokens}, dims[3:]...)
			w.values[name] = make([]float32, dims[0]*w.batch*w.tokens*size)
		}
		for row := range dims[0] * w.batch {
			copy(w.values[name][(row*w.tokens+p.Start)*size:][:p.Tokens*size], values[row*p.Padded*size:])
		}
	}
	end := p.Start + p.Tokens
	if w.state == "" || end != w.tokens && !slices.Contains(w.cuts, end) {
		return nil
	}
	values, err := lm.Floats(p.State[w.state])
	w.states, w.stateDims = append(w.states, values), p.State[w.state].Shape().Dimensions
	return err
}

func (w *watched) put(out map[string]*checkpoint.Tensor) (err error) {
	for _, name := range w.names {
		if out["probe."+name], err = checkpoint.FromFloat32(w.shapes[name], w.values[name]); err != nil {
			return err
		}
	}
	if len(w.states) == 0 {
		return nil
	}
	layers := w.stateDims[0]
	var all []float32
	for l := range layers {
		for _, s := range w.states {
			n := len(s) / layers
			all = append(all, s[l*n:][:n]...)
		}
	}
	out["probe."+lm.States], err = checkpoint.FromFloat32(append([]int{layers, len(w.states)}, w.stateDims[1:]...), all)
	return err
}
