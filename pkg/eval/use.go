package eval

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Use measures how much of its state a model uses, head by head, after each of the given positions:
//
//	state_rank      effective rank of the state itself, a matrix of values × keys
//	memory_rank     effective rank of the map from everything written before the position to everything read after it
//	                (effective state size, arXiv 2504.19561): what the past can still affect
//
// The effective rank of singular values σ_i is exp(−Σ p_i ln p_i) with p_i = σ_i/Σσ (Roy and Vetterli 2007): 1 for a rank-one matrix, the
// full size if all are equal. If the model has probes for keys B, queries C and decays α, and one decay per head, the map is
// (C_i Π_{t<k≤i} α_k)ᵀ (Δ_j B_j Π_{j<k≤t} α_k); otherwise memory_rank is NaN.
type Use struct {
	Positions []int // numbers of tokens read, ascending
}

// Rank is one head's use of its state after one position.
type Rank struct {
	Member   int     `parquet:"member" doc:"number of the member, from 0"`
	Position int     `parquet:"position" doc:"tokens read"`
	Layer    int     `parquet:"layer" doc:"layer, from 0"`
	Head     int     `parquet:"head" doc:"head, from 0"`
	Size     int     `parquet:"size" doc:"key channels of a head: the largest possible rank"`
	State    float64 `parquet:"state_rank" doc:"effective rank of the state, a matrix of values × keys"`
	Memory   float64 `parquet:"memory_rank" doc:"effective rank of the map from all that was written before to all that is read after (arXiv 2504.19561); needs keys, queries and one decay per head"`
}

// Run reads one sequence with each member and returns a table of Rank.
func (u Use) Run(ctx context.Context, r *lm.Runner, tokens []int32) (*table.Table, error) {
	m := r.Weights.Model
	spec, err := lm.StateOf(m, "")
	if err != nil {
		return nil, err
	}
	for i, p := range u.Positions {
		if p < 1 || p >= len(tokens) || i > 0 && p <= u.Positions[i-1] {
			return nil, fmt.Errorf("use: positions are %v, want ascending ones from 1 to %d", u.Positions, len(tokens)-1)
		}
	}
	members := max(r.Weights.Members, 1)
	rows := make([][]int32, members)
	for k := range rows {
		rows[k] = tokens
	}
	gates := newGates(m, members)
	req := lm.Request{Cuts: u.Positions, Probes: gates.names}
	var out []Rank
	seen := 0 // number of positions reached
	_, err = r.Run(ctx, rows, nil, req, func(p lm.Piece) error {
		if err := gates.add(p); err != nil {
			return err
		}
		end := p.Start + p.Tokens
		if len(u.Positions) <= seen || u.Positions[seen] != end {
			return nil
		}
		seen++
		ranks, err := stateRanks(spec, p.State, members, end)
		out = append(out, ranks...)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range out {
		one := &out[i]
		one.Memory = math.NaN()
		if gates.known() {
			one.Memory = gates.rank(one.Member, one.Layer, one.Head, one.Position)
		}
	}
	return table.Of(out), nil
}

// stateRanks computes the effective ranks of all heads' states.
func stateRanks(spec lm.Spec, state lm.State, members, position int) (out []Rank, err error) {
	v, err := spec.OnHost(state[spec.Name]) // [layers, members, heads, values, keys]
	if err != nil {
		return nil, err
	}
	heads, values, keys := spec.Matrices()
	size := values * keys
	for i := range len(v) / size {
		var svd mat.SVD
		if !svd.Factorize(mat.NewDense(values, keys, v[i*size:][:size]), mat.SVDNone) {
			return nil, fmt.Errorf("use: the state after %d tokens has no singular values; it is not finite", position)
		}
		out = append(out, Rank{Member: i / heads % members, Position: position, Layer: i / heads / members, Head: i % heads, Size: keys, State: effective(svd.Values(nil))})
	}
	return out, nil
}

// effective is the effective rank for the given singular values, 0 if all are 0.
func effective(singular []float64) float64 {
	sum, entropy := 0.0, 0.0
	for _, s := range singular {
		sum += s
	}
	if sum == 0 {
		return 0
	}
	for _, s := range singular {
		if p := s / sum; p > 0 {
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy)
}

// gates collects keys, queries, decays and write strengths along a sequence.
type gates struct {
	names                          []string
	of                             map[string]lm.Probe
	layers, members                int
	heads, groups, size            int
	keys, queries, logAlpha, delta [][]float64 // [layers × members], flattened over tokens
}

func newGates(m lm.Model, members int) *gates {
	g := &gates{members: members, layers: m.Layers(), of: map[string]lm.Probe{}}
	for _, name := range []string{lm.Keys, lm.Queries, lm.LogAlpha, lm.Delta} {
		probe, err := lm.ProbeOf(m, name)
		if err != nil || name == lm.LogAlpha && len(probe.Finer()) > 0 { // one decay per head is needed
			g.names = nil
			break
		}
		g.names, g.of[name] = append(g.names, name), probe
	}
	n := g.layers * members
	g.keys, g.queries, g.logAlpha, g.delta = make([][]float64, n), make([][]float64, n), make([][]float64, n), make([][]float64, n)
	return g
}

func (g *gates) add(p lm.Piece) error {
	for _, name := range g.names {
		t := p.Probes[name]
		v, err := lm.Float64s(t)
		if err != nil {
			return err
		}
		dims := t.Shape().Dimensions // [layers, batch, padded, …]
		units, entries := g.of[name].Units(dims)
		width, to := units*entries, g.logAlpha
		switch name {
		case lm.LogAlpha:
			g.heads = units
		case lm.Keys:
			to, g.groups, g.size = g.keys, units, entries
		case lm.Queries:
			to = g.queries
		case lm.Delta:
			to = g.delta
		}
		for i := range to {
			to[i] = append(to[i], v[i*dims[2]*width:][:p.Tokens*width]...)
		}
	}
	return nil
}

func (g *gates) known() bool { return len(g.names) > 0 }

// rank is the effective rank of one head's map across a position. Let Q hold the queries after it and K the keys before it, each multiplied
// by its decay to the position, with QR decompositions Q = · R_Q and K = · R_K. The singular values of Q Kᵀ are the square roots of the
// eigenvalues of R_Q R_Kᵀ R_K R_Qᵀ.
func (g *gates) rank(member, layer, head, position int) float64 {
	at := layer*g.members + member
	alpha, tokens := g.logAlpha[at], len(g.logAlpha[at])/g.heads
	group := head * g.groups / g.heads
	side := func(from, strength []float64, first, last, step int) *mat.Dense { // rows first, first + step, … before last
		m := mat.NewDense(max((last-first)*step, g.size), g.size, nil) // zero rows have no effect
		decay := 0.0
		for i, row := first, 0; i != last; i, row = i+step, row+1 {
			if step > 0 {
				decay += alpha[i*g.heads+head]
			}
			scale := math.Exp(decay)
			if strength != nil {
				scale *= strength[i*g.heads+head]
			}
			for k := range g.size {
				m.Set(row, k, from[(i*g.groups+group)*g.size+k]*scale)
			}
			if step < 0 {
				decay += alpha[i*g.heads+head]
			}
		}
		var qr mat.QR
		qr.Factorize(m)
		var upper mat.Dense
		qr.RTo(&upper)
		return mat.DenseCopyOf(upper.Slice(0, g.size, 0, g.size))
	}
	after, before := side(g.queries[at], nil, position, tokens, 1), side(g.keys[at], g.delta[at], position-1, -1, -1)
	var product mat.Dense
	product.Mul(after, before.T())
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return math.NaN()
	}
	return effective(svd.Values(nil))
}
