package paper

import (
	"fmt"
	"slices"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// chosen reads a table of a collected study at the end of training and returns the rows in which columns have the given values,
// passed as pairs of name and value, or of name and list of values ([]any).
func chosen(root, plan, name string, where ...any) (*table.Table, error) {
	t, err := study.Read(root, plan, name)
	if err != nil {
		return nil, err
	}
	if t.Has("tokens") && name != "training" {
		if t, err = Last(t); err != nil {
			return nil, err
		}
	}
	return narrowed(t, where)
}

func narrowed(t *table.Table, where []any) (*table.Table, error) {
	var err error
	for k := 0; k+1 < len(where); k += 2 {
		values, many := where[k+1].([]any)
		if !many {
			values = []any{where[k+1]}
		}
		if t, err = Where(t, fmt.Sprint(where[k]), values...); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// ByPosition returns the loss at repeated values by position at the end of training, mean and range over seeds: the keys,
// position, end, times (position in training lengths), at (tokens), loss, loss_low, loss_high, n.
func ByPosition(root, plan string, keys []string, where ...any) (*table.Table, error) {
	t, err := chosen(root, plan, "loss", where...)
	if err != nil {
		return nil, err
	}
	by := slices.Compact(slices.Sorted(slices.Values(append([]string{"position", "end", "train_length"}, keys...))))
	if t, err = OverSeeds(t, by, "loss"); err != nil {
		return nil, err
	}
	if t, err = Times(t); err != nil {
		return nil, err
	}
	return Sorted(t, append(slices.Clone(keys), "position")...)
}

// AlongTraining returns the loss within the window and far beyond it against the tokens trained on, mean and range over seeds:
// the keys, millions (of tokens), place (inside or far), loss, loss_low, loss_high. Zero states come first, so that every figure
// gives them the same colours.
func AlongTraining(root, plan string, keys []string, where ...any) (*table.Table, error) {
	t, err := study.Read(root, plan, "outcome")
	if err != nil {
		return nil, err
	}
	if t, err = narrowed(t, where); err != nil {
		return nil, err
	}
	out := table.New()
	for _, place := range []string{"inside", "far"} {
		mean, err := OverSeeds(t, append(slices.Clone(keys), "tokens"), place)
		if err != nil {
			return nil, err
		}
		if mean, err = Sorted(mean, append(slices.Clone(keys), "tokens")...); err != nil {
			return nil, err
		}
		tokens, err := mean.Float("tokens")
		if err != nil {
			return nil, err
		}
		millions := make([]float64, len(tokens))
		for i, v := range tokens {
			millions[i] = v / 1e6
		}
		for _, end := range []string{"", "_low", "_high"} {
			mean.Rename(place+end, "loss"+end)
		}
		if err := out.Append(mean.AddFloat("millions", millions).AddText("place", slices.Repeat([]string{place}, mean.Rows()))); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(keys, "policy") {
		return out, nil
	}
	policy, err := out.Text("policy")
	if err != nil {
		return nil, err
	}
	first := out.Filter(func(i int) bool { return policy[i] == "zero" })
	return first, first.Append(out.Filter(func(i int) bool { return policy[i] != "zero" }))
}

// Matrix returns a column of a table (outcome or heads) at the end of training, averaged over seeds, by N and training length:
// state, train_length, value. From the table heads it takes the maximum over the heads of each model.
func Matrix(root, plan, name, column string, where ...any) (*table.Table, error) {
	t, err := chosen(root, plan, name, where...)
	if err != nil {
		return nil, err
	}
	if name == "heads" {
		if t, err = OverSeeds(t, []string{"row", "replica", "state", "train_length"}, column); err != nil {
			return nil, err
		}
		column += "_high"
	}
	if t, err = OverSeeds(t, []string{"state", "train_length"}, column); err != nil {
		return nil, err
	}
	if t, err = Sorted(t, "state", "train_length"); err != nil {
		return nil, err
	}
	if t, err = Only(t, "state", "train_length", column); err != nil {
		return nil, err
	}
	return t.Rename(column, "value"), nil
}

// Crossed counts models at the end of training by the detectors' answers: policy, explosion, strict, models.
func Crossed(root, plan string) (*table.Table, error) {
	t, err := chosen(root, plan, "outcome")
	if err != nil {
		return nil, err
	}
	if t, err = OverSeeds(t, []string{"policy", "explosion", "strict"}, "ratio"); err != nil {
		return nil, err
	}
	return Sorted(t, "policy", "explosion", "strict")
}

// Ratios returns far / inside at the end of training, mean and range over seeds: the keys, ratio, ratio_low, ratio_high, far,
// far_low, far_high, n.
func Ratios(root, plan string, keys []string, where ...any) (*table.Table, error) {
	t, err := chosen(root, plan, "outcome", where...)
	if err != nil {
		return nil, err
	}
	if t, err = OverSeeds(t, keys, "ratio", "far"); err != nil {
		return nil, err
	}
	return Sorted(t, keys...)
}

// Recalled returns the accuracy by age within the window, positions ½T … T, by N and training length, mean and range over seeds:
// state, train_length, age (pairs), accuracy, accuracy_low, accuracy_high.
func Recalled(root, plan, policy string) (*table.Table, error) {
	t, err := chosen(root, plan, "age", "policy", policy)
	if err != nil {
		return nil, err
	}
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	length, err := t.Int("train_length")
	if err != nil {
		return nil, err
	}
	t = t.Filter(func(i int) bool { return position[i] >= length[i]/2 && position[i] < length[i] })
	if t, err = OverSeeds(t, []string{"state", "train_length", "age"}, "accuracy"); err != nil {
		return nil, err
	}
	return Sorted(t, "train_length", "state", "age")
}
