package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"stuffed/pkg/interval"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Memory measures what a model gains or loses from tokens older than its training length T: whether it predicts better than the same model
// reading only the last T tokens, and how much the earliest tokens still affect its predictions.
type Memory struct {
	T      int
	Starts []int                  // for EffRem: numbers of leading tokens to leave out, ascending from 1, below the length of the rows
	Counts func(row, at int) bool // for Gaps: whether the prediction at a token counts; nil counts all
}

// Gap is the effect of tokens older than the window on the loss, in one octave of positions.
type Gap struct {
	Position int     `parquet:"position" doc:"first position of the octave, in tokens; 0: all positions ½T … T"`
	End      int     `parquet:"end" doc:"position after the octave"`
	Loss     float64 `parquet:"loss" doc:"nats, with the state carried from the start"`
	Oracle   float64 `parquet:"oracle" doc:"nats, of the same model that has read the last ½T … T tokens alone"`
	Gap      float64 `parquet:"gap" doc:"loss minus oracle; above 0: what is older than the window does harm"`
	Low      float64 `parquet:"gap_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	High     float64 `parquet:"gap_high" doc:"upper end"`
}

// Gaps compares the loss of every token, with the state carried from the start, to that of a short-memory oracle: the same model restarted
// from zeros so that it has read only the last ½T … T tokens. It returns a table of Gap, and the slope of the loss beyond T.
func (m Memory) Gaps(ctx context.Context, r *lm.Runner, rows [][]int32) (*table.Table, Slope, error) {
	if m.T < 4 || m.T%2 != 0 || len(rows) == 0 || len(rows[0]) < 2*m.T {
		return nil, Slope{}, fmt.Errorf("memory: T is %d and there are %d rows; want an even T of 4 or more and rows of at least 2 T tokens", m.T, len(rows))
	}
	half, length := m.T/2, len(rows[0])/(m.T/2)*(m.T/2)
	full, err := losses(ctx, r, cut(rows, 0, length))
	if err != nil {
		return nil, Slope{}, err
	}
	var windows [][]int32
	for _, row := range rows {
		for from := 0; from+m.T <= length; from += half {
			windows = append(windows, row[from:from+m.T])
		}
	}
	short, err := losses(ctx, r, windows)
	if err != nil {
		return nil, Slope{}, err
	}
	edges := []int{0}
	for at := m.T; at < length; at *= 2 {
		edges = append(edges, at)
	}
	loss, oracle, gap := newCells(len(rows), len(edges)), newCells(len(rows), len(edges)), newCells(len(rows), len(edges))
	perRow := length/half - 1
	for i := range rows {
		for at := half; at < length-1; at++ {
			w := at/half - 1 // index of the window whose second half contains the token
			if at%half == half-1 {
				continue // its target lies outside the window
			}
			if m.Counts != nil && !m.Counts(i, at+1) {
				continue
			}
			b := bucketOf(edges, at)
			x, y := full[i][at], short[i*perRow+w][at-w*half]
			loss.add(i, b, x)
			oracle.add(i, b, y)
			gap.add(i, b, x-y)
		}
	}
	var out []Gap
	low, high := gap.intervals()
	for b, edge := range edges {
		x, _ := loss.of(b)
		y, _ := oracle.of(b)
		z, _ := gap.of(b)
		out = append(out, Gap{edge, until(edges, b, length), x, y, z, low[b], high[b]})
	}
	return table.Of(out), slope(loss, edges), nil
}

// Slope is the change of the loss per doubling of the position beyond T, in nats, from a least-squares fit over octaves, with a 95 %
// bootstrap interval over rows. NaN for fewer than two octaves.
type Slope struct{ Value, Low, High float64 }

func slope(c *cells, edges []int) Slope {
	over := func(units []int) float64 {
		var n, sx, sy, sxx, sxy float64
		for b, edge := range edges {
			sum, count := 0.0, 0.0
			for _, u := range units {
				k := u*c.buckets + b
				sum, count = sum+c.sums[k], count+c.counts[k]
			}
			if edge == 0 || count == 0 {
				continue
			}
			x, y := math.Log2(float64(edge)), sum/count
			n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
		}
		return (n*sxy - sx*sy) / (n*sxx - sx*sx)
	}
	units, draws := make([]int, c.units), make([]float64, resamples)
	random := rand.New(rand.NewPCG(resampling, uint64(c.units)))
	for k := range draws {
		for i := range units {
			units[i] = random.IntN(c.units)
		}
		draws[k] = over(units)
	}
	low, high := interval.Percentiles(draws)
	for i := range units {
		units[i] = i
	}
	return Slope{over(units), low, high}
}

// Remembrance is the effect on the predictions of the tokens before a start.
type Remembrance struct {
	Start    int     `parquet:"start" doc:"first token that is read again from zeros"`
	Distance float64 `parquet:"distance" doc:"total variation distance between the predictions after all tokens and after those from start on"`
	Low      float64 `parquet:"low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	High     float64 `parquet:"high" doc:"upper end"`
}

// EffRem computes the effective remembrance of arXiv 2507.02782: a table of Remembrance. For a model that forgets in time the distance is
// near 0 for early starts; for one still dominated by its earliest tokens it is not.
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
	var out []Remembrance
	low, high := c.intervals()
	for k, start := range m.Starts {
		distance, _ := c.of(k)
		out = append(out, Remembrance{start, distance, low[k], high[k]})
	}
	return table.Of(out), nil
}

func cut(rows [][]int32, from, to int) [][]int32 {
	out := make([][]int32, len(rows))
	for i := range rows {
		out[i] = rows[i][from:to]
	}
	return out
}

// losses returns the loss of every token; the last one of each row has no target and is NaN.
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

// predictions returns the next-token probabilities after each row.
func predictions(ctx context.Context, r *lm.Runner, rows [][]int32) ([][]float64, error) {
	out := make([][]float64, len(rows))
	_, err := r.Run(ctx, rows, nil, lm.Request{Last: true}, func(p lm.Piece) error {
		vocab := len(p.Last) / len(rows)
		for i := range rows {
			out[i] = softmax(p.Last[i*vocab:][:vocab])
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
