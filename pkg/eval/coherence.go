package eval

import (
	"context"
	"fmt"
	"math"

	"stuffed/pkg/collapse"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Coherence measures how much of a state's growth is mere accumulation of writes, and how much is alignment between them. The state of a
// head is the sum of its writes, h_t = Σ s(i,t) w_i with s(i,t) = α_{i+1} ⋯ α_t and w_i = Δ_i x_i B_iᵀ, so that
//
//	Σ s² ‖w‖²  =  incoherent norm², were all writes orthogonal
//	(Σ s ‖w‖)²  =  coherent norm², did they all point the same way
//	‖h‖² = incoherent² + c · (coherent² − incoherent²)
//
// where the coherence c is the mean cosine between two writes, weighted by what remains of them.
type Coherence struct {
	T int // training length
}

// HeadCoherence decomposes the growth of one head. Far means the second half of the sequences, within the tokens ½T … T.
type HeadCoherence struct {
	Layer      int     `parquet:"layer" doc:"layer, from 0"`
	Head       int     `parquet:"head" doc:"head, from 0"`
	Retained   float64 `parquet:"retained" doc:"share of a token left after T tokens, within the window"`
	Growth     float64 `parquet:"growth" doc:"root mean square norm far over that within"`
	Coherence  float64 `parquet:"coherence" doc:"mean cosine of the writes within, weighted by what is left of them"`
	Far        float64 `parquet:"coherence_far" doc:"the same far"`
	Write      float64 `parquet:"write" doc:"mean norm of the writes, far over within"`
	Incoherent float64 `parquet:"incoherent" doc:"growth of a head that goes on as within, were its writes orthogonal"`
	Coherent   float64 `parquet:"coherent" doc:"the same, did they all point the same way"`
	Expected   float64 `parquet:"expected" doc:"the same at the coherence measured within"`
}

// Run reads rows from zero states and returns a table of HeadCoherence; collapse.Stationary gives the growth expected of a head that
// continues as within.
func (c Coherence) Run(ctx context.Context, r *lm.Runner, rows [][]int32) (*table.Table, error) {
	if c.T < 4 || len(rows) == 0 || len(rows[0]) < 2*c.T {
		return nil, fmt.Errorf("coherence: T is %d and there are %d rows; want a T of 4 or more and rows of at least 2 T tokens", c.T, len(rows))
	}
	m, names := r.Weights.Model, []string{lm.Squares, lm.LogAlpha, lm.Delta, lm.Values, lm.Keys}
	if err := lm.CheckNames(m, names, nil); err != nil {
		return nil, fmt.Errorf("coherence: %w", err)
	}
	length := len(rows[0])
	var heads []written
	_, err := r.Run(ctx, rows, nil, lm.Request{Probes: names}, func(p lm.Piece) error {
		all := map[string]perToken{}
		for _, name := range names {
			var err error
			if all[name], err = tokensOf(m, name, p); err != nil {
				return err
			}
		}
		n := all[lm.LogAlpha].units
		if all[lm.LogAlpha].entries != 1 {
			return fmt.Errorf("coherence: %s decays by %d gates a head; one is needed", m.Name(), all[lm.LogAlpha].entries)
		}
		if heads == nil {
			heads = make([]written, m.Layers()*len(rows)*n)
		}
		for l := range m.Layers() {
			for i := range rows {
				for t := range p.Tokens {
					for h := range n {
						at := func(name string) []float64 { return all[name].of(l, i, t, h*all[name].units/n) }
						write := at(lm.Delta)[0] * euclid(at(lm.Values)) * euclid(at(lm.Keys))
						heads[(l*len(rows)+i)*n+h].add(p.Start+t, c.T, length, at(lm.LogAlpha)[0], write, at(lm.Squares)[0])
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.table(heads, m.Layers(), len(rows), length), nil
}

func (c Coherence) table(heads []written, layers, rows, length int) *table.Table {
	n := len(heads) / layers / rows
	var out []HeadCoherence
	for l := range layers {
		for h := range n {
			var sum written
			for i := range rows {
				sum.join(heads[(l*rows+i)*n+h])
			}
			within, far := sum.place[0], sum.place[1]
			one := HeadCoherence{Layer: l, Head: h, Retained: math.Exp(sum.logAlpha / float64(rows)),
				Growth:    math.Sqrt(far.square / far.tokens / (within.square / within.tokens)),
				Coherence: within.coherence(), Far: far.coherence(),
				Write: far.write / far.tokens / (within.write / within.tokens)}
			one.Incoherent, one.Coherent = collapse.Stationary(one.Retained, 0, c.T, length), collapse.Stationary(one.Retained, 1, c.T, length)
			one.Expected = collapse.Stationary(one.Retained, min(max(one.Coherence, 0), 1), c.T, length)
			out = append(out, one)
		}
	}
	return table.Of(out)
}

// written follows the writes of one head along one row.
type written struct {
	incoherent, line float64 // Σ s² ‖w‖² and Σ s ‖w‖ at the current token
	logAlpha         float64 // Σ log α over T tokens
	place            [2]place
}

// place holds sums over the tokens within the training length or far beyond it.
type place struct{ square, incoherent, coherent, write, tokens float64 }

func (p place) coherence() float64 { return (p.square - p.incoherent) / (p.coherent - p.incoherent) }

func (w *written) add(at, T, length int, logAlpha, write, square float64) {
	alpha := math.Exp(logAlpha)
	w.incoherent, w.line = alpha*alpha*w.incoherent+write*write, alpha*w.line+write
	if at < T {
		w.logAlpha += logAlpha
	}
	if where := placeOf(at, T, length); where >= 0 {
		p := &w.place[where]
		p.square, p.incoherent, p.coherent, p.write, p.tokens = p.square+square, p.incoherent+w.incoherent, p.coherent+w.line*w.line, p.write+write, p.tokens+1
	}
}

func (w *written) join(o written) {
	w.logAlpha += o.logAlpha
	for i := range w.place {
		p, q := &w.place[i], o.place[i]
		p.square, p.incoherent, p.coherent, p.write, p.tokens = p.square+q.square, p.incoherent+q.incoherent, p.coherent+q.coherent, p.write+q.write, p.tokens+q.tokens
	}
}

// placeOf is 0 in the second half of the training length, 1 in the second half of the sequence, else −1.
func placeOf(at, T, length int) int {
	switch {
	case at >= T/2 && at < T:
		return 0
	case at >= T && at >= length/2:
		return 1
	}
	return -1
}

// perToken is a probe on the host, [layers, batch, padded, units, entries].
type perToken struct {
	values         []float64
	batch, padded  int
	units, entries int
}

func tokensOf(m lm.Model, name string, p lm.Piece) (out perToken, err error) {
	probe, err := lm.ProbeOf(m, name)
	if err != nil {
		return out, err
	}
	t := p.Probes[name]
	out.padded = p.Padded
	out.units, out.entries = probe.Units(t.Shape().Dimensions)
	out.values, err = lm.Float64s(t)
	out.batch = len(out.values) / (m.Layers() * p.Padded * out.units * out.entries)
	return out, err
}

func (p perToken) of(layer, row, token, unit int) []float64 {
	return p.values[(((layer*p.batch+row)*p.padded+token)*p.units+unit)*p.entries:][:p.entries]
}

func euclid(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}
