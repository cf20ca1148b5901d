package trace_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// seen returns the raw probes of one prompt, [layers, tokens, …], from a run in a single piece.
func seen(t *testing.T, r *lm.Runner, ids []int32, names ...string) (map[string][]float64, map[string][]int, []float32) {
	t.Helper()
	values, dims, loss := map[string][]float64{}, map[string][]int{}, []float32(nil)
	_, err := r.Run(context.Background(), [][]int32{ids}, nil, lm.Request{Loss: true, Probes: names}, func(p lm.Piece) error {
		loss = append(loss, p.Loss...)
		for _, name := range names {
			values[name], dims[name] = tensors.MustCopyFlatData[float64](p.Probes[name]), p.Probes[name].Shape().Dimensions
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, dims, loss
}

// naive computes every table of a trace from its definition, running the recurrence token by token with explicit states.
func naive(t *testing.T, r *lm.Runner, p prompt.Probe, c trace.Config) map[string]map[string]float64 {
	t.Helper()
	v, dims, loss := seen(t, r, p.IDs, "x", "B", "C", "delta", "log_alpha", "inputs/conv_state")
	x, b := dims["x"], dims["B"]
	d := recurrence.Dims{Batch: 1, Tokens: len(p.IDs), Heads: x[3], HeadDim: x[4], Groups: b[3], State: b[4]}
	layers, padded, size := x[0], x[2], d.HeadDim*d.State
	out := map[string]map[string]float64{trace.States: {}, trace.Losses: {}, trace.Window: {}, trace.Channels: {}, trace.Entries: {}}
	first := func(tok int) int { return tok / c.Bucket * c.Bucket }
	width := func(tok int) float64 { return float64(min(c.Bucket, d.Tokens-first(tok))) }
	add := func(name, key string, v float64) { out[name][key] += v }
	norm := func(v []float64) (s float64) {
		for _, x := range v {
			s += x * x
		}
		return math.Sqrt(s)
	}
	for l := range layers {
		at := func(name string, rest int) []float64 { return v[name][l*padded*rest:][:d.Tokens*rest] }
		s := recurrence.Sequence{Dims: d, X: at("x", d.Heads*d.HeadDim), Delta: at("delta", d.Heads), A: make([]float64, d.Heads),
			B: at("B", d.Groups*d.State), C: at("C", d.Groups*d.State)}
		la := at("log_alpha", d.Heads)
		for h := range s.A {
			s.A[h] = la[h] / s.Delta[h]
		}
		kept := make([]float64, d.Heads)
		recurrence.Naive(s, func(_, tok, h int, state []float64) {
			key := func(column string) string { return fmt.Sprintf("%d/%d/%d %s", first(tok), l, h, column) }
			mean := func(column string, v float64) { add(trace.States, key(column), v/width(tok)) }
			sum, largest, channels := 0.0, 0.0, make([]float64, d.State)
			for i, v := range state {
				sum += v
				largest = max(largest, math.Abs(v))
				channels[i%d.State] += v * v
			}
			m, square := sum/float64(size), norm(state)
			deviation := 0.0
			for _, v := range state {
				deviation += (v - m) * (v - m)
			}
			mean("mean", m)
			mean("variance", deviation/float64(size))
			mean("rms", square/math.Sqrt(float64(size)))
			mean("norm", square)
			delta := s.Delta[tok*d.Heads+h]
			mean("delta", delta)
			mean("log_alpha", la[tok*d.Heads+h])
			group := (tok*d.Groups + h/(d.Heads/d.Groups)) * d.State
			xn, bn := norm(s.X[(tok*d.Heads+h)*d.HeadDim:][:d.HeadDim]), norm(s.B[group:][:d.State])
			mean("x_norm", xn)
			mean("b_norm", bn)
			mean("c_norm", norm(s.C[group:][:d.State]))
			mean("write_norm", delta*xn*bn)
			kept[h] += la[tok*d.Heads+h]
			slices.Sort(channels)
			out[trace.States][key("absmax")] = largest
			out[trace.States][key("top_share")] = (channels[d.State-1] + channels[d.State-2]) / (square * square)
			out[trace.States][key("log_retention")], out[trace.States][key("retention")] = kept[h], math.Exp(kept[h])
			for _, e := range c.Entries {
				if e.Head == h {
					out[trace.Entries][fmt.Sprintf("%d/%d/%d/%d/%d value", first(tok), l, h, e.Channel, e.State)] = state[e.Channel*d.State+e.State]
				}
			}
		})
		parts := []int{d.Heads * d.HeadDim, d.Groups * d.State, d.Groups * d.State}
		all := parts[0] + 2*parts[1]
		kernel := dims["inputs/conv_state"][2] - padded
		inputs := v["inputs/conv_state"][l*(padded+kernel)*all:]
		for tok := range d.Tokens {
			from := 0
			for q, part := range []string{"x", "B", "C"} {
				sum, square, largest := 0.0, 0.0, 0.0
				for k := 1; k <= kernel; k++ {
					for _, v := range inputs[(tok+k)*all+from:][:parts[q]] {
						sum, square, largest = sum+v, square+v*v, max(largest, math.Abs(v))
					}
				}
				n := float64(kernel * parts[q])
				key := func(column string) string { return fmt.Sprintf("%d/%d/%s %s", first(tok), l, part, column) }
				add(trace.Window, key("mean"), sum/n/width(tok))
				add(trace.Window, key("variance"), (square/n-sum/n*sum/n)/width(tok))
				add(trace.Window, key("rms"), math.Sqrt(square/n)/width(tok))
				add(trace.Window, key("norm"), math.Sqrt(square)/width(tok))
				out[trace.Window][key("absmax")] = largest
				from += parts[q]
				if slices.Contains(c.Channels, l) {
					for i, v := range at(part, parts[q])[tok*parts[q]:][:parts[q]] {
						add(trace.Channels, fmt.Sprintf("%d/%d/%d/%s value", first(tok), l, i, part), v/width(tok))
					}
				}
			}
		}
	}
	for tok := range d.Tokens - 1 {
		add(trace.Losses, fmt.Sprintf("%d loss", first(tok)), float64(loss[tok])/float64(min(c.Bucket, d.Tokens-1-first(tok))))
	}
	return out
}

// cells returns the numbers in a prompt's rows, indexed by the rows' keys.
func cells(t *testing.T, tab *table.Table, name string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	prompts, err := tab.Text("prompt")
	if err != nil {
		t.Fatal(err)
	}
	for row := range prompts {
		if prompts[row] != name {
			continue
		}
		key := ""
		for _, c := range tab.Columns {
			switch {
			case c.Ints != nil && c.Name != "tokens":
				key += fmt.Sprint("/", c.Ints[row])
			case c.Texts != nil && c.Name == "part":
				key += "/" + c.Texts[row]
			}
		}
		for _, c := range tab.Columns {
			if c.Floats != nil {
				out[key[1:]+" "+c.Name] = c.Floats[row]
			}
		}
	}
	return out
}

// Every table agrees with the float64 definition to 1e-9, with one token, several tokens, or more than a piece per row.
func TestTablesEqualTheDefinition(t *testing.T) {
	for i, dev := range devices(t) {
		w := small(t)
		r := lm.NewRunner(dev, w)
		probes := []prompt.Probe{sentence("one", 45), sentence("three", 45), sentence("short", 17)}[:3-i] // XLA compiles slowly
		for _, bucket := range [][]int{{1, 5, 8, 45}, {8}}[i] {
			c := trace.Config{Bucket: bucket, Window: true, Channels: []int{1}, Batch: 2,
				Entries: []trace.Entry{{Head: 2, Channel: 3, State: 7}, {Head: 0, Channel: 15, State: 19}}}
			pieces := lm.NewRunner(dev, w)
			pieces.Piece = 16
			got, err := trace.Collect(context.Background(), pieces, probes, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range probes {
				for name, want := range naive(t, r, p, c) {
					have := cells(t, got[name], p.Name)
					if len(have) != len(want) {
						t.Fatalf("%s bucket %d prompt %s: %s has %d numbers, want %d", dev.Kind, bucket, p.Name, name, len(have), len(want))
					}
					tolerance := 1e-9
					if name == trace.Losses {
						tolerance = 1e-6 // losses are float32
					}
					for key, v := range want {
						if g, ok := have[key]; !ok || !(math.Abs(g-v) <= tolerance*math.Abs(v)+1e-17) {
							t.Errorf("%s bucket %d prompt %s: %s %s is %g (%v), want %g", dev.Kind, bucket, p.Name, name, key, g, ok, v)
						}
					}
				}
			}
		}
	}
}
