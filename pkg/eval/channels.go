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

// Channels asks how much of its state a model could do without (arXiv 2602.04852 removes half of the key channels of linear
// attention): sequences of a task are read up to the first question, the key channels of every head that hold least are set
// to 0, and the questions follow. What a channel holds is the mean square of its entries over the sequences. States without a
// key of their own (one number per channel) lose value channels instead.
type Channels struct {
	Task   *task.Task
	Count  int       // sequences
	Shares []float64 // of the channels of each head, from 0
	Seed   int64     // of the sequences
}

// Run returns for each member and share: member, share, removed (channels of a head, of how many: channels), answers, accuracy,
// accuracy_low, accuracy_high, loss (nats per answer), and rise, rise_low, rise_high: the loss above that of the first share,
// paired by sequence, with 95 % bootstrap intervals.
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
	out, first, channels := table.New(), []*cells(nil), channelsOf(spec)
	err = altered{c.Task, c.Count, c.Seed}.ask(ctx, r, len(c.Shares), func(way, rows int, state lm.State) (lm.State, error) {
		return thinned(r.Weights.Model, state, rows, rows/c.Count, c.Shares[way])
	}, func(way int, loss, hit []*cells) error {
		if way == 0 {
			first = loss
		}
		removed := int(c.Shares[way]*float64(channels) + 0.5)
		return out.Append(channelRows(c.Shares[way], removed, channels, first, loss, hit))
	})
	if err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	return out, nil
}

func channelsOf(spec lm.Spec) int {
	_, values, keys := spec.Matrices()
	if spec.Along(lm.Key) < 0 {
		return values
	}
	return keys
}

func channelRows(share float64, removed, channels int, first, loss, hit []*cells) *table.Table {
	var member, answers, gone, all []int64
	var shares, accuracy, low, high, losses, rise, riseLow, riseHigh []float64
	for k := range loss {
		mean, count := loss[k].of(0)
		right, _ := hit[k].of(0)
		l, h := hit[k].intervals()
		paired := newCells(loss[k].units, 1)
		for u := range paired.units {
			paired.sums[u], paired.counts[u] = loss[k].sums[u]-first[k].sums[u], loss[k].counts[u]
		}
		more, _ := paired.of(0)
		ml, mh := paired.intervals()
		member, answers, gone, all = append(member, int64(k)), append(answers, count), append(gone, int64(removed)), append(all, int64(channels))
		shares, accuracy, low, high, losses = append(shares, share), append(accuracy, right), append(low, l[0]), append(high, h[0]), append(losses, mean)
		rise, riseLow, riseHigh = append(rise, more), append(riseLow, ml[0]), append(riseHigh, mh[0])
	}
	return table.New().AddInt("member", member).AddFloat("share", shares).AddInt("removed", gone).AddInt("channels", all).AddInt("answers", answers).
		AddFloat("accuracy", accuracy).AddFloat("accuracy_low", low).AddFloat("accuracy_high", high).AddFloat("loss", losses).
		AddFloat("rise", rise).AddFloat("rise_low", riseLow).AddFloat("rise_high", riseHigh)
}

// thinned is a state of rows sequences, those of each member together, without the weakest channels of its recurrent parts.
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

// Removable is the largest share of channels, of one member's rows of Channels.Run, up to which the loss rises by at most tolerance
// nats an answer in the mean; NaN where there is none.
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
