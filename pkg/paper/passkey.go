package paper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/numeral"
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
	if t, err = Sorted(t, "state", "length"); err != nil {
		return report.Figure{}, err
	}
	return report.Figure{Spec: figure.Curves{
		Size: figure.Size{Note: "Means over ten depths and ranges over seeds; trained on 256 and 512 tokens. Chance 1 in 100,000"},
		X:    figure.Axis{Column: "length", Label: "Length", Unit: "tokens", Scale: figure.Log2},
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
	if t, err = Sorted(t, "state", "length"); err != nil {
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

// passkeySize sums up the models of one state size.
type passkeySize struct {
	state    int
	recalled []string    // T_recall of each seed, tokens
	exact    [][]float64 // by length: exact passkeys of each seed, %
	lists    []float64   // values of the longest list, %, of each seed
}

// said puts it into words, beside lists of so many pairs.
func (s passkeySize) said(pairs int) string {
	each := func(v []float64) string {
		mean, low, high := spread(v)
		return fmt.Sprintf("%.0f %% [%.0f, %.0f]", mean, low, high)
	}
	var shares []string
	for _, v := range s.exact {
		shares = append(shares, each(v))
	}
	return fmt.Sprintf("N %d: passkeys %s, T_recall %s tokens, %d pairs %s", s.state, strings.Join(shares, ", "), strings.Join(s.recalled, ", "), pairs, each(s.lists))
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
	bySize := map[int]*passkeySize{}
	var sizes []*passkeySize
	for _, m := range keys {
		recalled, failed, shares := 0, 0, []string{}
		size := bySize[m[0].State]
		if size == nil {
			size = &passkeySize{state: m[0].State, exact: make([][]float64, len(m))}
			bySize[m[0].State], sizes = size, append(sizes, size)
		}
		for i, c := range m {
			shares = append(shares, fmt.Sprintf("%.0f %%", 100*c.Exact))
			size.exact[i] = append(size.exact[i], 100*c.Exact)
			switch {
			case c.Exact >= 0.95-1e-9 && failed == 0: // a mean over depths: 95 of 100 may come out a hair below
				recalled = c.Length
			case failed == 0:
				failed = c.Length
			}
		}
		size.recalled = append(size.recalled, numeral.Grouped(recalled))
		said = append(said, fmt.Sprintf("N %d, seed %d: %s, T_recall %s tokens, not %s", m[0].State, m[0].Seed, strings.Join(shares, ", "), numeral.Grouped(recalled), numeral.Grouped(failed)))
	}
	most := 0
	for _, m := range lists {
		var shares []string
		for _, c := range m {
			shares = append(shares, fmt.Sprintf("%d pairs %.3f", c.Length/4, c.Accuracy))
		}
		last := m[len(m)-1]
		if size := bySize[last.State]; size != nil {
			size.lists, most = append(size.lists, 100*last.Accuracy), last.Length/4
		}
		held = append(held, fmt.Sprintf("N %d, seed %d: %s", m[0].State, m[0].Seed, strings.Join(shares, ", ")))
	}
	var sized []string
	for _, s := range sizes {
		sized = append(sized, s.said(most))
	}
	var lengths []string
	for _, c := range keys[0] {
		lengths = append(lengths, numeral.Grouped(c.Length))
	}
	missing, err := missingRows(root, PasskeyPlan)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("**Exact passkeys** at %s tokens: %s.\n\n**Values of lists**: %s.\n\n**By state size**, means and ranges over seeds: %s.\n\n%s", strings.Join(lengths, ", "),
		strings.Join(said, "; "), strings.Join(held, "; "), strings.Join(sized, "; "), missing), nil
}
