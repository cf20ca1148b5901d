package eval

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// Channels measures how much of its state a model can do without (arXiv 2602.04852 prunes half of the key channels of linear attention):
// sequences of a task are read up to the first question, the weakest key channels of every head are set to 0, and the questions follow. A
// channel's strength is the mean square of its entries over the sequences. States without a key axis (one number per channel) lose value
// channels instead.
type Channels struct {
	Task   *task.Task
	Count  int       // number of sequences
	Shares []float64 // shares of each head's channels to remove, from 0
	Seed   int64     // of the sequences
}

// ChannelRow summarises the answers of one member without a share of its channels.
type ChannelRow struct {
	Member   int     `parquet:"member" doc:"number of the member, from 0"`
	Share    float64 `parquet:"share" doc:"share of the channels of each head that is removed"`
	Removed  int     `parquet:"removed" doc:"the same in channels"`
	Channels int     `parquet:"channels" doc:"channels of a head"`
	answered
	Rise     float64 `parquet:"rise" doc:"loss above that of the first share, paired by sequence, nats per answer"`
	RiseLow  float64 `parquet:"rise_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	RiseHigh float64 `parquet:"rise_high" doc:"upper end"`
}

// Run returns a table with one ChannelRow per share and member.
func (c Channels) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	if c.Task == nil || c.Count < 1 || len(c.Shares) == 0 {
		return nil, fmt.Errorf("channels: count is %d and there are %d shares, want a task and 1 or more of each", c.Count, len(c.Shares))
	}
	for _, s := range c.Shares {
		if !(s >= 0 && s <= 1) {
			return nil, fmt.Errorf("channels: share is %g, want 0 to 1", s)
		}
	}
	spec, err := lm.StateOf(r.Weights.Model, "")
	if err != nil {
		return nil, err
	}
	out, first, channels := []ChannelRow(nil), []*cells(nil), channelsOf(spec)
	err = altered{c.Task, c.Count, c.Seed}.ask(ctx, r, len(c.Shares), func(way, rows int, state lm.State) (lm.State, error) {
		return thinned(r.Weights.Model, state, rows, rows/c.Count, c.Shares[way])
	}, func(way int, loss, hit []*cells) error {
		if way == 0 {
			first = loss
		}
		for k := range loss {
			one := ChannelRow{Member: k, Share: c.Shares[way], Removed: int(c.Shares[way]*float64(channels) + 0.5), Channels: channels, answered: answersOf(loss[k], hit[k])}
			one.Rise, one.RiseLow, one.RiseHigh = rise(loss[k], first[k])
			out = append(out, one)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	return table.Of(out), nil
}

func channelsOf(spec lm.Spec) int {
	_, values, keys := spec.Matrices()
	if spec.Along(lm.Key) < 0 {
		return values
	}
	return keys
}

// rise is the mean increase of loss over above, paired by sequence, with its interval.
func rise(loss, above *cells) (mean, low, high float64) {
	paired := newCells(loss.units, 1)
	for u := range paired.units {
		paired.sums[u], paired.counts[u] = loss.sums[u]-above.sums[u], loss.counts[u]
	}
	mean, _ = paired.of(0)
	lows, highs := paired.intervals()
	return mean, lows[0], highs[0]
}

// thinned zeroes the weakest channels in the recurrent parts of a state of rows sequences, which are grouped by member.
func thinned(m lm.Model, state lm.State, rows, members int, share float64) (lm.State, error) {
	out := lm.State{}
	for _, spec := range m.State(rows) {
		out[spec.Name] = state[spec.Name]
		if spec.Role != lm.Recurrent || share == 0 {
			continue
		}
		values, err := lm.Float64s(state[spec.Name])
		if err != nil {
			return nil, err
		}
		axis := lm.Key
		if spec.Along(axis) < 0 {
			if axis = lm.Value; spec.Along(axis) < 0 {
				axis = lm.Channel
			}
		}
		place := func(i int, a lm.Axis) int {
			at := spec.Along(a)
			if at < 0 {
				return 0
			}
			for k := len(spec.Dims) - 1; k > at; k-- {
				i /= spec.Dims[k]
			}
			return i % spec.Dims[at]
		}
		channels, each := spec.Dim(axis), rows/members
		group := func(i int) int { // one head of one layer of one member
			return (place(i, lm.Layer)*members+place(i, lm.Batch)/each)*spec.Dim(lm.HeadAxis) + place(i, lm.HeadAxis)
		}
		energy := map[int][]float64{}
		for i, v := range values {
			g := group(i)
			if energy[g] == nil {
				energy[g] = make([]float64, channels)
			}
			energy[g][place(i, axis)] += v * v
		}
		gone := map[int][]bool{}
		for g, e := range energy {
			order := make([]int, channels)
			for k := range order {
				order[k] = k
			}
			slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(e[a], e[b]) })
			gone[g] = make([]bool, channels)
			for _, k := range order[:int(share*float64(channels)+0.5)] {
				gone[g][k] = true
			}
		}
		for i := range values {
			if gone[group(i)][place(i, axis)] {
				values[i] = 0
			}
		}
		if out[spec.Name], err = lm.FromFloat64s(values, state[spec.Name].DType(), state[spec.Name].Shape().Dimensions...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Removable is the largest share of channels, among one member's rows of Channels.Run, up to which the mean loss rises by at most tolerance
// nats per answer; NaN if there is none.
func Removable(share, rise []float64, tolerance float64) float64 {
	most := math.NaN()
	for i, s := range share {
		if rise[i] > tolerance {
			break
		}
		most = s
	}
	return most
}
