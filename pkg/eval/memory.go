package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Memory asks what a model makes of tokens older than its training length T: whether it predicts better or worse with them
// than a reader of the last T tokens alone, and how far the earliest ones still move its predictions.
type Memory struct {
	T      int
	Starts []int // of EffRem: first tokens that are left out, ascending from 1, below the length of the rows
}

// Gaps compares the loss of every token with the state carried from the start with that of an oracle of short memory, the
// same model started from zeros so that it has read the last ½T … T tokens. One row for each doubling of the position from
// T on, and position 0 for all positions within (½T … T): position, end, loss, oracle, gap (loss − oracle, nats), gap_low and
// gap_high (95 % bootstrap over rows). Above 0: what is older than the window does harm.
func (m Memory) Gaps(ctx context.Context, r *lm.Runner, rows [][]int32) (*table.Table, error) {
	if m.T < 4 || m.T%2 != 0 || len(rows) == 0 || len(rows[0]) < 2*m.T {
		return nil, fmt.Errorf("memory: T is %d and there are %d rows; want an even T of 4 or more and rows of at least 2 T tokens", m.T, len(rows))
	}
	half, length := m.T/2, len(rows[0])/(m.T/2)*(m.T/2)
	full, err := losses(ctx, r, cut(rows, 0, length))
	if err != nil {
		return nil, err
	}
	var windows [][]int32
	for _, row := range rows {
		for from := 0; from+m.T <= length; from += half {
			windows = append(windows, row[from:from+m.T])
		}
	}
	short, err := losses(ctx, r, windows)
	if err != nil {
		return nil, err
	}
	edges := []int{0}
	for at := m.T; at < length; at *= 2 {
		edges = append(edges, at)
	}
	loss, oracle, gap := newCells(len(rows), len(edges)), newCells(len(rows), len(edges)), newCells(len(rows), len(edges))
	perRow := length/half - 1
	for i := range rows {
		for at := half; at < length-1; at++ {
			w := at/half - 1 // the window in whose second half the token lies
			if at%half == half-1 {
				continue // its target lies beyond the window
			}
			b := bucketOf(edges, at)
			x, y := full[i][at], short[i*perRow+w][at-w*half]
			loss.add(i, b, x)
			oracle.add(i, b, y)
			gap.add(i, b, x-y)
		}
	}
	var position, end []int64
	var a, o, g []float64
	low, high := gap.intervals()
	for b, edge := range edges {
		to := length
		if b+1 < len(edges) {
			to = edges[b+1]
		}
		position, end = append(position, int64(edge)), append(end, int64(to))
		x, _ := loss.of(b)
		y, _ := oracle.of(b)
		z, _ := gap.of(b)
		a, o, g = append(a, x), append(o, y), append(g, z)
	}
	return table.New().AddInt("position", position).AddInt("end", end).AddFloat("loss", a).AddFloat("oracle", o).AddFloat("gap", g).AddFloat("gap_low", low).AddFloat("gap_high", high), nil
}

// Slope is the change of the loss with each doubling of the position beyond T, by least squares over the rows of Gaps.
func Slope(gaps *table.Table) (float64, error) {
	position, err := gaps.Float("position")
	if err != nil {
		return 0, err
	}
	loss, err := gaps.Float("loss")
	if err != nil {
		return 0, err
	}
	var n, sx, sy, sxx, sxy float64
	for i, p := range position {
		if p == 0 || math.IsNaN(loss[i]) {
			continue
		}
		x := math.Log2(p)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+loss[i], sxx+x*x, sxy+x*loss[i]
	}
	if n < 2 {
		return math.NaN(), fmt.Errorf("memory: %g positions beyond T, want at least 2", n)
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx), nil
}

// EffRem is the effective remembrance of arXiv 2507.02782: the total variation distance between the predictions after all
// tokens and after those from a start on, mean over rows: start, distance, low, high (95 % bootstrap over rows). A model
// that forgets in time has a distance near 0 for early starts; one that the earliest tokens rule does not.
func (m Memory) EffRem(ctx context.Context, r *lm.Runner, rows [][]int32) (*table.Table, error) {
	if len(rows) == 0 || len(m.Starts) == 0 || !slices.IsSorted(m.Starts) || m.Starts[0] < 1 || m.Starts[len(m.Starts)-1] >= len(rows[0]) {
		return nil, fmt.Errorf("memory: starts are %v, want ascending positions inside the rows", m.Starts)
	}
	whole, err := predictions(ctx, r, rows)
	if err != nil {
		return nil, err
	}
	c := newCells(len(rows), len(m.Starts))
	for k, start := range m.Starts {
		part, err := predictions(ctx, r, cut(rows, start, len(rows[0])))
		if err != nil {
			return nil, err
		}
		for i := range rows {
			distance := 0.0
			for v := range whole[i] {
				distance += math.Abs(whole[i][v]-part[i][v]) / 2
			}
			c.add(i, k, distance)
		}
	}
	var start []int64
	var mean []float64
	low, high := c.intervals()
	for k, s := range m.Starts {
		v, _ := c.of(k)
		start, mean = append(start, int64(s)), append(mean, v)
	}
	return table.New().AddInt("start", start).AddFloat("distance", mean).AddFloat("low", low).AddFloat("high", high), nil
}

func cut(rows [][]int32, from, to int) [][]int32 {
	out := make([][]int32, len(rows))
	for i := range rows {
		out[i] = rows[i][from:to]
	}
	return out
}

// losses of all tokens but the last of each row, which has none (NaN).
func losses(ctx context.Context, r *lm.Runner, rows [][]int32) ([][]float64, error) {
	out := make([][]float64, len(rows))
	_, err := r.Run(ctx, rows, nil, lm.Request{Loss: true}, func(p lm.Piece) error {
		for i := range rows {
			for t := range p.Tokens {
				out[i] = append(out[i], float64(p.Loss[i*p.Tokens+t]))
			}
		}
		return nil
	})
	return out, err
}

// predictions are the probabilities of the next token after each row.
func predictions(ctx context.Context, r *lm.Runner, rows [][]int32) ([][]float64, error) {
	out, length := make([][]float64, len(rows)), len(rows[0])
	_, err := r.Run(ctx, rows, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		if p.Start+p.Tokens < length {
			return nil
		}
		vocab := len(p.Logits) / len(rows) / p.Tokens
		for i := range rows {
			out[i] = softmax(p.Logits[((i+1)*p.Tokens-1)*vocab:][:vocab])
		}
		return nil
	})
	return out, err
}

func softmax(logits []float32) []float64 {
	top, sum := float64(slices.Max(logits)), 0.0
	out := make([]float64, len(logits))
	for i, x := range logits {
		out[i] = math.Exp(float64(x) - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}
