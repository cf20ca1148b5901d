package trace

import (
	"fmt"
	"math"
	"slices"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
)

// Names of the tables of a trace.
const (
	States   = "states"
	Losses   = "losses"
	Window   = "window"
	Channels = "channels"
	Entries  = "entries"
	Counts   = "histograms"
)

// buffers returns the empty buffers of the tables that a config requests.
func buffers(c Config) (names []string, all map[string]*buffer) {
	all = map[string]*buffer{}
	put := func(name string, b *buffer) { names, all[name] = append(names, name), b }
	put(States, newBuffer([]string{"position", "tokens", "layer", "head"}, false, c.Columns))
	put(Losses, newBuffer([]string{"position", "tokens"}, false, []string{"loss"}))
	if c.Window {
		put(Window, newBuffer([]string{"position", "tokens", "layer"}, true, windowColumns))
	}
	if len(c.Channels) > 0 {
		put(Channels, newBuffer([]string{"position", "tokens", "layer", "channel"}, true, []string{"value"}))
	}
	if len(c.Entries) > 0 {
		put(Entries, newBuffer([]string{"position", "tokens", "layer", "head", "channel", "state"}, false, []string{"value"}))
	}
	return names, all
}

// bucket accumulates the means of one row.
type bucket struct {
	start, tokens int
	values        map[string][]float64 // by output, without axis n: for means, sums over tokens; for ends, the latest value
	loss          []float64            // [batch] sums
	losses        int
}

// reader converts the pieces of a batch of prompts into rows.
type reader struct {
	config  Config
	plan    *plan
	probes  []prompt.Probe
	buffers map[string]*buffer
	sums    []float64 // [layers, batch, heads]: log_retention
	open    bucket

	layer, head []int64 // index columns of a prompt's rows
}

// take processes one piece and closes the buckets that end in it.
func (r *reader) take(piece lm.Piece) error {
	batch, every, width := len(r.probes), r.plan.every, r.config.Bucket
	n := (piece.Padded + every - 1) / every
	values := map[string][]float64{}
	for name, t := range piece.Probes {
		v, err := lm.Float64s(t)
		if err != nil {
			return fmt.Errorf("trace: %s: %w", name, err)
		}
		values[name] = v
		t.MustFinalizeAll()
	}
	total := len(r.probes[0].IDs)
	for i := range (piece.Tokens + every - 1) / every {
		start := piece.Start + i*every
		tokens := min(every, piece.Tokens-i*every)
		if r.open.tokens == 0 {
			r.open = bucket{start: start, values: map[string][]float64{}, loss: make([]float64, batch)}
		}
		r.open.tokens += tokens
		for name, v := range values {
			r.open.merge(name, v, r.plan.layers, batch, n, i, float64(tokens))
		}
		r.retain(values[perHead], n, i, float64(tokens))
		for b := range batch {
			for t := i * every; t < i*every+tokens; t++ {
				if piece.Start+t < total-1 {
					r.open.loss[b] += float64(piece.Loss[b*piece.Tokens+t])
					if b == 0 {
						r.open.losses++
					}
				}
			}
		}
		if (start+tokens)%width == 0 || start+tokens == total {
			r.close()
		}
	}
	return nil
}

// merge adds the device's results for some tokens of the bucket.
func (k *bucket) merge(name string, v []float64, layers, batch, n, i int, tokens float64) {
	rest := len(v) / (layers * batch * n)
	sum := k.values[name]
	if sum == nil {
		sum = make([]float64, layers*batch*rest)
		k.values[name] = sum
	}
	atEnd := name == perEnd || name == perGram || name == perEntry // [layers, n, batch, …]; the others are [layers, batch, n, …]
	for l := range layers {
		for b := range batch {
			from := ((l*batch+b)*n + i) * rest
			if atEnd {
				from = ((l*n+i)*batch + b) * rest
			}
			to, v := sum[(l*batch+b)*rest:][:rest], v[from:][:rest]
			switch {
			case atEnd:
				copy(to, v)
			case name == perPart:
				for q, x := range v {
					if q%len(windowColumns) == len(windowColumns)-1 {
						to[q] = x
					} else {
						to[q] += x * tokens
					}
				}
			default:
				for q, x := range v {
					to[q] += x * tokens
				}
			}
		}
	}
}

// retain adds the log α of the given tokens to log_retention.
func (r *reader) retain(v []float64, n, i int, tokens float64) {
	batch, k := len(r.probes), len(r.plan.means)
	for q, name := range r.plan.means {
		if name != lm.LogAlpha {
			continue
		}
		for l := range r.plan.layers {
			for b := range batch {
				for h := range r.plan.heads {
					r.sums[(l*batch+b)*r.plan.heads+h] += v[(((l*batch+b)*n+i)*r.plan.heads+h)*k+q] * tokens
				}
			}
		}
	}
}

// close writes the rows of the open bucket.
func (r *reader) close() {
	k, batch := r.open, len(r.probes)
	for b, p := range r.probes {
		if k.losses > 0 {
			r.buffers[Losses].add(p.Name, "", k.start, k.losses)
			r.buffers[Losses].number(0, k.loss[b]/float64(k.losses))
		}
		r.states(p.Name, b)
		for l := range r.plan.layers {
			row := l*batch + b
			if out := r.buffers[Window]; out != nil {
				parts := partsOf(r.plan.model)
				for q, part := range parts {
					out.add(p.Name, part, k.start, k.tokens, l)
					for i, v := range k.values[perPart][(row*len(parts)+q)*len(windowColumns):][:len(windowColumns)] {
						if i < len(windowColumns)-1 {
							v /= float64(k.tokens)
						}
						out.number(i, v)
					}
				}
			}
			if out := r.buffers[Channels]; out != nil {
				r.channels(out, p.Name, l, row)
			}
			if out := r.buffers[Entries]; out != nil {
				for q, e := range r.plan.entries {
					out.add(p.Name, "", k.start, k.tokens, l, e.Head, e.Channel, e.State)
					out.number(0, k.values[perEntry][row*len(r.plan.entries)+q])
				}
			}
		}
	}
	r.open = bucket{}
}

// states writes the rows of all heads for prompt b, column by column.
func (r *reader) states(name string, b int) {
	k, d, out := r.open, r.plan, r.buffers[States]
	if r.layer == nil {
		for l := range d.layers {
			for h := range d.heads {
				r.layer, r.head = append(r.layer, int64(l)), append(r.head, int64(h))
			}
		}
	}
	out.block(name, []int{k.start, k.tokens}, r.layer, r.head)
	batch := len(r.probes)
	ranks := r.ranks(b)
	for i, column := range r.config.Columns {
		values, width, at, scale := k.values[perHead], len(d.means), slices.Index(d.means, column), 1/float64(k.tokens)
		if end := slices.Index(endColumns, column); end >= 0 {
			values, width, at, scale = k.values[perEnd], len(endColumns), end, 1
		}
		if rank := slices.Index(rankColumns, column); rank >= 0 {
			for _, v := range ranks {
				out.floats[i] = append(out.floats[i], v[rank])
			}
			continue
		}
		all := slices.Grow(out.floats[i], d.layers*d.heads)
		for l := range d.layers {
			first := (l*batch + b) * d.heads
			switch column {
			case "log_retention":
				all = append(all, r.sums[first:][:d.heads]...)
			case "retention":
				for _, v := range r.sums[first:][:d.heads] {
					all = append(all, math.Exp(v))
				}
			default:
				from := len(all)
				all = all[:from+d.heads]
				for h := range d.heads {
					all[from+h] = values[(first+h)*width+at] * scale
				}
			}
		}
		out.floats[i] = all
	}
}

// channels writes x, B and C of one layer, one row per channel.
func (r *reader) channels(out *buffer, name string, layer, row int) {
	wanted := false
	for _, l := range r.config.Channels {
		wanted = wanted || l == layer
	}
	if !wanted {
		return
	}
	v := r.open.values[perChan]
	width := len(v) / (r.plan.layers * len(r.probes))
	v = v[row*width:][:width]
	values := r.plan.heads * r.plan.values
	for q, part := range written {
		for i := range []int{values, (width - values) / 2, (width - values) / 2}[q] {
			out.add(name, part, r.open.start, r.open.tokens, layer, i)
			out.number(0, v[0]/float64(r.open.tokens))
			v = v[1:]
		}
	}
}
