package paper

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// measured holds two columns of one model's rows, in order.
type measured struct {
	model string
	x, y  []float64
}

// byModel splits the columns x and y of a table by its column model.
func byModel(t *table.Table, x, y string) (out []*measured, err error) {
	model, err := t.Text("model")
	if err != nil {
		return nil, err
	}
	at, err := t.Float(x)
	if err != nil {
		return nil, err
	}
	value, err := t.Float(y)
	if err != nil {
		return nil, err
	}
	for i, name := range model {
		k := slices.IndexFunc(out, func(m *measured) bool { return m.model == name })
		if k < 0 {
			k, out = len(out), append(out, &measured{model: name})
		}
		out[k].x, out[k].y = append(out[k].x, at[i]), append(out[k].y, value[i])
	}
	return out, nil
}

// sentences joins what is said about each model.
func sentences(all []*measured, say func(m *measured) string) string {
	var said []string
	for _, m := range all {
		said = append(said, m.model+": "+say(m))
	}
	return strings.Join(said, "; ") + "."
}

// NoiseReport says, from a table of eval.Noise (model, bits, accuracy), at how many bits per number half of the recall is left.
func NoiseReport(t *table.Table) (string, error) {
	all, err := byModel(t, "bits", "accuracy")
	if err != nil {
		return "", err
	}
	return "**Bits of a number where half of the recall is left** (between the levels of noise on both sides) — " + sentences(all, func(m *measured) string {
		most := slices.Max(m.y)
		low, high := math.Inf(-1), math.Inf(1) // bits with less than half, and with half or more
		for i, bits := range m.x {
			if m.y[i] < most/2 {
				low = max(low, bits)
			}
		}
		for i, bits := range m.x {
			if m.y[i] >= most/2 && bits > low {
				high = min(high, bits)
			}
		}
		if math.IsInf(low, -1) {
			return fmt.Sprintf("below %.2g, of %.2f recalled", high, most)
		}
		return fmt.Sprintf("%.2g to %.2g, of %.2f recalled", low, high, most)
	}), nil
}

// channelRise is the rise of the loss, in nats, below which removing channels costs hardly anything.
const channelRise = 0.05

// ChannelsReport says, from a table of eval.Channels (model, share, rise, rise_high), how many key channels can be removed.
func ChannelsReport(t *table.Table) (string, error) {
	rises, err := byModel(t, "share", "rise_high")
	if err != nil {
		return "", err
	}
	means, err := byModel(t, "share", "rise")
	if err != nil {
		return "", err
	}
	k := -1
	return fmt.Sprintf("**Key channels that can go** at a rise of the loss whose interval stays below %g nat — ", channelRise) + sentences(rises, func(m *measured) string {
		k++
		order := slices.Clone(m.x)
		slices.Sort(order)
		share := 0.0
		for _, s := range order {
			if m.y[slices.Index(m.x, s)] >= channelRise {
				break
			}
			share = s
		}
		text := fmt.Sprintf("%.3g %%", 100*share)
		if half := slices.Index(means[k].x, 0.5); half >= 0 {
			text += fmt.Sprintf(" (half of them: %+.2f nat)", means[k].y[half])
		}
		worst, all := slices.Max(means[k].y), slices.Index(means[k].x, 1)
		if all >= 0 && worst > means[k].y[all] {
			text += fmt.Sprintf(", with some left worse (%+.2f) than with none (%+.2f)", worst, means[k].y[all])
		}
		return text
	}), nil
}

// RanksReport says, from a table of [OverHeads] (model, of, position, rank), how far effective ranks keep growing.
func RanksReport(t *table.Table) (string, error) {
	of, err := t.Text("of")
	if err != nil {
		return "", err
	}
	var kinds []string
	for _, kind := range of {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	var b strings.Builder
	for _, kind := range kinds {
		var rows []int
		for i, name := range of {
			if name == kind {
				rows = append(rows, i)
			}
		}
		all, err := byModel(t.Take(rows), "position", "rank")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "**Effective rank %s** — %s\n\n", kind, sentences(all, func(m *measured) string {
			n := len(m.x) - 1
			return fmt.Sprintf("%.1f after %.0f tokens, %.1f after %.0f, %.1f after %.0f", m.y[0], m.x[0], m.y[n/2], m.x[n/2], m.y[n], m.x[n])
		}))
	}
	return b.String(), nil
}

// HeldReport says by what factor the models of the recall stream stay below what their states could hold, at each training
// length.
func HeldReport(root, plan string) (string, error) {
	all, err := Held(root, plan, "zero")
	if err != nil {
		return "", err
	}
	length, err := all.Float("train_length")
	if err != nil {
		return "", err
	}
	factor, err := all.Float("factor")
	if err != nil {
		return "", err
	}
	var said []string
	for _, T := range slices.Compact(slices.Clone(length)) {
		least, most, n := math.Inf(1), 0.0, 0
		for i, f := range factor {
			if length[i] == T {
				least, most, n = min(least, f), max(most, f), n+1
			}
		}
		said = append(said, fmt.Sprintf("T %.0f: %.0f to %.0f times (%d models)", T, least, most, n))
	}
	return "**What is recalled would go into the state**, at 32 bits a number and by Fano's inequality — " + strings.Join(said, "; ") + ".\n", nil
}
