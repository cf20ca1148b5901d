package paper

import (
	"fmt"
	"slices"

	"stuffed/pkg/study"
)

// Flatness of a training loss, by RULES.md of text-law. Moments are shares of the steps; the learning rate decays over the last
// fifth.
const (
	flatLimit  = 0.02 // of the mean loss
	thirdFrom  = 0.55 // last third of the constant-rate part, after a warm-up of one twentieth
	decayFrom  = 0.8
	tenthOfAll = 0.1
)

// Flatness is by how much a model's training loss was still falling.
type Flatness struct {
	Row                 string
	Policy, Group       string
	Member              int
	Seed, State, T      int
	Tokens              float64
	Fitted              float64 // change of the fitted line over the last third at constant rate, relative to the mean there
	Halves              float64 // second half of that third against its first
	Decay               float64 // last tenth of the steps against the tenth before the decay
	Third, Before, Last float64 // means over these parts, nats
}

// Flat applies the rule: the loss fell by at most 2 %, either over the decay or before it.
func (f Flatness) Flat() bool { return -f.Decay <= flatLimit || -f.Fitted <= flatLimit }

// TextFlatness judges the training losses of all models of text-law.
func TextFlatness(root string) ([]Flatness, error) {
	t, err := study.Read(root, TextLawPlan, "training")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row", "policy", "group"}, []string{"replica", "seed", "state", "train_length", "tokens", "loss"})
	if err != nil {
		return nil, err
	}
	type name struct {
		row    string
		member int
	}
	curves, order, first := map[name][][2]float64{}, []name(nil), map[name]int{}
	for i, row := range c.text["row"] {
		k := name{row, int(c.float["replica"][i])}
		if curves[k] == nil {
			order, first[k] = append(order, k), i
		}
		curves[k] = append(curves[k], [2]float64{c.float["tokens"][i], c.float["loss"][i]})
	}
	var out []Flatness
	for _, k := range order {
		i := first[k]
		f := flatness(curves[k])
		f.Row, f.Policy, f.Group, f.Member = k.row, c.text["policy"][i], c.text["group"][i], k.member
		f.Seed, f.State, f.T = int(c.float["seed"][i]), int(c.float["state"][i]), int(c.float["train_length"][i])
		out = append(out, f)
	}
	return out, nil
}

// flatness judges a curve of tokens (at the end of each stretch) and loss.
func flatness(curve [][2]float64) Flatness {
	f := Flatness{Tokens: curve[len(curve)-1][0]}
	part := func(from, until float64) [][2]float64 {
		return slices.DeleteFunc(slices.Clone(curve), func(p [2]float64) bool {
			share := p[0] / f.Tokens
			return share <= from+1e-9 || share > until+1e-9
		})
	}
	mean := func(v [][2]float64) (sum float64) {
		for _, p := range v {
			sum += p[1] / float64(len(v))
		}
		return sum
	}
	third := part(thirdFrom, decayFrom)
	f.Third, f.Before, f.Last = mean(third), mean(part(decayFrom-tenthOfAll, decayFrom)), mean(part(1-tenthOfAll, 1))
	f.Fitted = slope(scaled(third, f.Tokens)) * (decayFrom - thirdFrom) / f.Third
	middle := (thirdFrom + decayFrom) / 2
	f.Halves = mean(part(middle, decayFrom))/mean(part(thirdFrom, middle)) - 1
	f.Decay = f.Last/f.Before - 1
	return f
}

func scaled(curve [][2]float64, by float64) [][2]float64 {
	out := slices.Clone(curve)
	for i := range out {
		out[i][0] /= by
	}
	return out
}

// textFlat says in one sentence how many losses were flat.
func textFlat(all []Flatness) string {
	n := 0
	var fitted, halves, decay []float64
	for _, f := range all {
		if f.Flat() {
			n++
		}
		fitted, halves, decay = append(fitted, 100*f.Fitted), append(halves, 100*f.Halves), append(decay, 100*f.Decay)
	}
	return fmt.Sprintf("the training loss of %d of %d models is flat by the rule; over the last third at constant rate it still changes by %s %% (second half against first %s %%), over the decay by %s %%",
		n, len(all), ranged(fitted), ranged(halves), ranged(decay))
}

// textUnshown says which rows of the study are missing and whether the training losses were flat.
func textUnshown(root string) (string, error) {
	models, err := textModels(root)
	if err != nil {
		return "", err
	}
	missing, err := textMissing(models)
	if err != nil {
		return "", err
	}
	flat, err := TextFlatness(root)
	if err != nil {
		return "", err
	}
	rows := map[string]bool{}
	for _, m := range models {
		rows[m.Row] = true
	}
	return fmt.Sprintf("%d rows of the study have run%s. By their training they could still improve: %s.", len(rows), missing, textFlat(flat)), nil
}
