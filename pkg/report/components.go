package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// Retention is what is left of the first token, for the heads of a layer that keep most of it at the training length.
func Retention(states *table.Table, layer, trainLength int) (Figure, error) {
	heads, err := keepers(states, layer, trainLength)
	if err != nil {
		return Figure{}, err
	}
	return CloseUp(states, layer, heads[:min(most, len(heads))], trainLength, "retention")
}

// keepers are the heads of a layer by retention at the training length, most first.
func keepers(states *table.Table, layer, trainLength int) ([]int, error) {
	if err := states.Require("position", "layer", "head", "retention"); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	layers, err := states.Int("layer")
	if err != nil {
		return nil, err
	}
	of, err := states.Int("head")
	if err != nil {
		return nil, err
	}
	position, err := states.Int("position")
	if err != nil {
		return nil, err
	}
	retention, err := states.Float("retention")
	if err != nil {
		return nil, err
	}
	kept := map[int]float64{}
	for row, v := range retention {
		if layers[row] == int64(layer) && position[row] < int64(trainLength) {
			kept[int(of[row])] = v // of the last row in the window
		}
	}
	var heads []int
	for h := range kept {
		heads = append(heads, h)
	}
	if len(heads) == 0 {
		return nil, fmt.Errorf("report: layer %d has no row within the training length %d", layer, trainLength)
	}
	slices.SortFunc(heads, func(a, b int) int {
		return cmp.Or(cmp.Compare(kept[b], kept[a]), cmp.Compare(a, b))
	})
	return heads, nil
}

// Channels is x, B or C of one layer over the tokens read: the channels whose magnitude is largest anywhere.
func Channels(channels *table.Table, layer int, part string, trainLength int) (Figure, error) {
	layers, err := channels.Int("layer")
	if err != nil {
		return Figure{}, err
	}
	parts, err := channels.Text("part")
	if err != nil {
		return Figure{}, err
	}
	of, err := channels.Int("channel")
	if err != nil {
		return Figure{}, err
	}
	value, err := channels.Float("value")
	if err != nil {
		return Figure{}, err
	}
	largest := map[int64]float64{}
	for row, v := range value {
		if layers[row] == int64(layer) && parts[row] == part {
			largest[of[row]] = max(largest[of[row]], math.Abs(v))
		}
	}
	var order []int64
	for c := range largest {
		order = append(order, c)
	}
	if len(order) == 0 {
		return Figure{}, fmt.Errorf("report: the table has no channel of %s in layer %d", part, layer)
	}
	slices.SortFunc(order, func(a, b int64) int {
		return cmp.Or(cmp.Compare(largest[b], largest[a]), cmp.Compare(a, b))
	})
	order = order[:min(most, len(order))]
	some := channels.Filter(func(row int) bool {
		return layers[row] == int64(layer) && parts[row] == part && slices.Contains(order, of[row])
	})
	t, err := trace.Curves(some, perOctave, "value")
	if err != nil {
		return Figure{}, err
	}
	y := axisOf(part)
	y.Label = fmt.Sprintf("%s, layer %d", part, layer)
	return Figure{figure.Curves{X: read, Y: y, Series: []string{"channel"}, Name: "channel %s", Marks: []figure.Mark{figure.TrainLength(trainLength)}}, t}, nil
}
