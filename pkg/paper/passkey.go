package paper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/table"
)

// PasskeyPlan is the study of models trained on a mixture of passkeys, the recall stream and lists of pairs.
const PasskeyPlan = "passkey"

func init() {
	Figures["12_passkey"], Figures["12_pairs"] = passkeyFigure, passkeyPairsFigure
}

// passkeyAsked returns the study's results on one task by state, seed and length: the means of accuracy and exact over depths.
func passkeyAsked(root, name string) (*table.Table, error) {
	t, err := chosen(root, PasskeyPlan, "task", "task", name)
	if err != nil {
		return nil, err
	}
	return OverSeeds(t, []string{"state", "seed", "length"}, "accuracy", "exact")
}

// passkeyFigure draws the share of passkeys recalled in full against the length, mean and range over seeds.
func passkeyFigure(root string) (report.Figure, error) {
	t, err := passkeyAsked(root, "passkey")
	if err != nil {
		return report.Figure{}, err
	}
	if t, err = OverSeeds(t.Without("exact_low", "exact_high", "n"), []string{"state", "length"}, "exact"); err != nil {
		return report.Figure{}, err
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: "Means over ten depths and ranges over seeds; trained on 256 and 512 tokens. Chance 1 in 100,000"},
		X:    figure.Axis{Column: "length", Label: "Length", Unit: "tokens", Scale: figure.Tokens},
		Y:    figure.Axis{Column: "exact", Label: "Exact passkeys", Unit: "share"}, Lo: "exact_low", Hi: "exact_high",
		Series: []string{"state"}, Name: "N = %s", Marks: []figure.Mark{{At: 512, Label: "T"}, {At: 0.95, Label: "level 0.95", Horizontal: true}},
	}, Table: t}, nil
}

// passkeyPairsFigure draws the accuracy on lists by their number of pairs.
func passkeyPairsFigure(root string) (report.Figure, error) {
	t, err := passkeyAsked(root, "recall-list")
	if err != nil {
		return report.Figure{}, err
	}
	if t, err = OverSeeds(t.Without("accuracy_low", "accuracy_high", "n"), []string{"state", "length"}, "accuracy"); err != nil {
		return report.Figure{}, err
	}
	length, err := t.Int("length")
	if err != nil {
		return report.Figure{}, err
	}
	pairs := make([]int64, len(length))
	for i, n := range length {
		pairs[i] = n / 4
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: "Means and ranges over seeds; trained on lists of 32 pairs in 256 tokens, asked in four tokens a pair. Chance 1/64"},
		X:    figure.Axis{Column: "pairs", Label: "Pairs", Unit: "1", Scale: figure.Log2},
		Y:    figure.Axis{Column: "accuracy", Label: "Recalled", Unit: "share"}, Lo: "accuracy_low", Hi: "accuracy_high",
		Series: []string{"state"}, Name: "N = %s", Marks: []figure.Mark{{At: 32, Label: "trained"}},
	}, Table: t.Without("length").AddInt("pairs", pairs)}, nil
}

// PasskeyReport says up to which length each model of the study recalls passkeys and lists, and which of its rows are missing.
func PasskeyReport(root string) (string, error) {
	type cell struct {
		State    int     `parquet:"state" doc:"N"`
		Seed     int     `parquet:"seed" doc:"of weights and data"`
		Length   int     `parquet:"length" doc:"tokens"`
		Accuracy float64 `parquet:"accuracy" doc:"share of answers"`
		Exact    float64 `parquet:"exact" doc:"share of sequences"`
	}
	read := func(name string) (models [][]cell, err error) {
		t, err := passkeyAsked(root, name)
		if err != nil {
			return nil, err
		}
		rows, err := table.Rows[cell](t)
		if err != nil {
			return nil, err
		}
		slices.SortFunc(rows, func(a, b cell) int {
			return cmp.Or(a.State-b.State, a.Seed-b.Seed, a.Length-b.Length)
		})
		for i, r := range rows {
			if i == 0 || r.State != rows[i-1].State || r.Seed != rows[i-1].Seed {
				models = append(models, nil)
			}
			models[len(models)-1] = append(models[len(models)-1], r)
		}
		return models, nil
	}
	keys, err := read("passkey")
	if err != nil {
		return "", err
	}
	lists, err := read("recall-list")
	if err != nil {
		return "", err
	}
	var said, held []string
	for _, m := range keys {
		recalled, failed, shares := 0, 0, []string{}
		for _, c := range m {
			shares = append(shares, fmt.Sprintf("%.0f %%", 100*c.Exact))
			switch {
			case c.Exact >= 0.95 && failed == 0:
				recalled = c.Length
			case failed == 0:
				failed = c.Length
			}
		}
		said = append(said, fmt.Sprintf("N %d, seed %d: %s, T_recall %d tokens, not %d", m[0].State, m[0].Seed, strings.Join(shares, ", "), recalled, failed))
	}
	for _, m := range lists {
		var shares []string
		for _, c := range m {
			shares = append(shares, fmt.Sprintf("%d pairs %.3f", c.Length/4, c.Accuracy))
		}
		held = append(held, fmt.Sprintf("N %d, seed %d: %s", m[0].State, m[0].Seed, strings.Join(shares, ", ")))
	}
	var lengths []string
	for _, c := range keys[0] {
		lengths = append(lengths, fmt.Sprint(c.Length))
	}
	missing, err := missingRows(root, PasskeyPlan)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("**Exact passkeys** at %s tokens: %s.\n\n**Values of lists**: %s.\n\n%s", strings.Join(lengths, ", "), strings.Join(said, "; "), strings.Join(held, "; "), missing), nil
}
