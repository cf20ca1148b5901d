package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// memoryFound maps a notebook's number to what its tables of stuffed memory say beyond the claims.
var memoryFound = map[string]func(root string) (string, error){"03": statesFound, "06": readersFound, "11": coherenceFound}

// found says what a notebook found beyond its claims; empty where the tables are missing.
func found(root, notebook string) (string, error) {
	of := memoryFound[notebook]
	if of == nil {
		return "", nil
	}
	text, err := of(root)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return text, err
}

// statesFound counts the heads whose later states lie farther from those of the window than the window's lie from each other.
func statesFound(root string) (string, error) {
	t, err := memoryTable(root, "states")
	if err != nil {
		return "", err
	}
	c, err := readOf(t, []string{"model"}, []string{"train_length", "position", "distance", "distance_low", "direction"})
	if err != nil {
		return "", err
	}
	own, last := math.Inf(-1), slices.Max(c.float["position"])
	for i, at := range c.float["position"] {
		if at == 0 {
			own = max(own, c.float["distance"][i])
		}
	}
	var names, said []string
	heads, apart, most := map[string]int{}, map[string]int{}, map[string]float64{}
	var turned []float64
	for i, m := range c.text["model"] {
		if c.float["position"][i] != last {
			continue
		}
		if heads[m]++; heads[m] == 1 {
			names = append(names, m)
		}
		if c.float["distance_low"][i] > own {
			apart[m]++
			turned = append(turned, c.float["direction"][i]/c.float["distance"][i])
		}
		most[m] = max(most[m], c.float["distance"][i])
	}
	for _, m := range names {
		said = append(said, fmt.Sprintf("%s %d of %d (farthest %.2g)", m, apart[m], heads[m], most[m]))
	}
	slices.Sort(turned)
	return fmt.Sprintf("States from %.0f T on lie farther from those of the window, interval included, than these do from each other on other sequences (at most %.2g) in so many heads: %s. In the median one of these the distance of the directions alone is %.0f %% of it.",
		last/c.float["train_length"][0], own, strings.Join(said, "; "), 100*turned[len(turned)/2]), nil
}

// readersFound compares models with the same models reading only the last tokens.
func readersFound(root string) (string, error) {
	oracle, err := memoryTable(root, "oracle")
	if err != nil {
		return "", err
	}
	gaps, err := lastOf(oracle, "position", "gap", "gap_low", "gap_high")
	if err != nil {
		return "", err
	}
	table, err := memoryTable(root, "slopes")
	if err != nil {
		return "", err
	}
	slopes, err := lastOf(table, "", "slope", "slope_low", "slope_high")
	if err != nil {
		return "", err
	}
	t, err := memoryTable(root, "remembrance")
	if err != nil {
		return "", err
	}
	c, err := readOf(t, []string{"model"}, []string{"read", "distance"})
	if err != nil {
		return "", err
	}
	var atT, at16 []float64
	for i, read := range c.float["read"] {
		switch read {
		case 1:
			atT = append(atT, c.float["distance"][i])
		case 16:
			at16 = append(at16, c.float["distance"][i])
		}
	}
	return fmt.Sprintf("Loss in 16 T … 32 T less that of the same model that has read the last ½T … T tokens alone, nat: %s. Above 0 with its interval, so that what is older does harm, in %d of %d. "+
		"Slope of the loss with each doubling of the position beyond T, nat: %s. A reader of the last T tokens gives the next token probabilities that differ from the model's by %.2g … %.2g (half the sum of differences), one of the last 16 T by %.1g … %.1g (0: all that is older is forgotten).",
		joinMeans(gaps), above(gaps), len(gaps), joinMeans(slopes), slices.Min(atT), slices.Max(atT), slices.Min(at16), slices.Max(at16)), nil
}

// named is one model's number with its interval.
type named struct {
	name string
	Mean
}

// lastOf reads a number with its interval at the last position of each model, or from every row where position is empty.
func lastOf(t *table.Table, position, value, low, high string) (out []named, err error) {
	columns := []string{value, low, high}
	if position != "" {
		columns = append(columns, position)
	}
	c, err := readOf(t, []string{"model"}, columns)
	if err != nil {
		return nil, err
	}
	for i, m := range c.text["model"] {
		if position != "" && c.float[position][i] != slices.Max(c.float[position]) {
			continue
		}
		out = append(out, named{m, Mean{c.float[value][i], c.float[low][i], c.float[high][i], 2}})
	}
	return out, nil
}

func joinMeans(all []named) string {
	var parts []string
	for _, n := range all {
		parts = append(parts, fmt.Sprintf("%s %v", n.name, n.Mean))
	}
	return strings.Join(parts, "; ")
}

// above counts the intervals that lie above 0.
func above(all []named) (n int) {
	for _, one := range all {
		if one.Low > 0 {
			n++
		}
	}
	return n
}

// coherenceFound is the part of the claim on explosion that concerns coherence.
func coherenceFound(root string) (string, error) {
	text, err := evidence{root: root}.coherent()
	if err != nil || text == "" {
		return "", err
	}
	return strings.ToUpper(text[:1]) + text[1:] + ".", nil
}
