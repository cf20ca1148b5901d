package paper

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/report"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// NormLimitPlan trains models whose state norm is limited.
const NormLimitPlan = "norm-limit"

// arm holds the models trained under one limit on the norm of the state, by seed; a limit of 0 means none.
type arm struct {
	norm   float64
	models map[int]Model
	row    string
}

func (a arm) String() string {
	if a.norm == 0 {
		return "no limit"
	}
	return fmt.Sprintf("limit %g", a.norm)
}

// normArms returns the arms of the plan that have run: the one without a limit first, then by falling limit.
func normArms(root string) ([]arm, error) {
	models, err := modelsOf(root, NormLimitPlan)
	if err != nil {
		return nil, err
	}
	rows, err := planRows(NormLimitPlan)
	if err != nil {
		return nil, err
	}
	var arms []arm
	for _, r := range rows {
		a := arm{r.Config.Train.NormLimit.Norm, map[int]Model{}, r.Hash}
		for _, m := range models {
			if m.Row == r.Hash {
				a.models[m.Seed] = m
			}
		}
		if len(a.models) > 0 {
			arms = append(arms, a)
		}
	}
	slices.SortStableFunc(arms, func(a, b arm) int {
		switch {
		case a.norm == 0:
			return -1
		case b.norm == 0 || a.norm < b.norm:
			return 1
		}
		return -1
	})
	if len(arms) < 2 || arms[0].norm != 0 {
		return nil, fmt.Errorf("%s: no models without a limit to compare with those that have one: %w", NormLimitPlan, fs.ErrNotExist)
	}
	return arms, nil
}

// less returns a quantity of one arm less that of another, paired by seed.
func (a arm) less(b arm, of func(Model) float64) (out []float64) {
	for _, seed := range slices.Sorted(maps.Keys(a.models)) {
		if y, both := b.models[seed]; both {
			out = append(out, of(a.models[seed])-of(y))
		}
	}
	return out
}

// normLimited judges the claim of datasets/study/norm-limit/RULES.md.
func (e evidence) normLimited() (Claim, error) {
	c := Claim{ID: "trained limit", Where: "v1 method 2 (asked by reviewers)", Claim: "a model trained with a limited state norm holds better beyond T and costs nothing within it", Paper: "not tested", Figure: "08_norm_limit",
		Rule: "fixed before the study ran (datasets/study/norm-limit/RULES.md): models trained and read with a limit beside those of the same seed without, mean difference with a 95 % interval over seeds; two sides for each limit: the excess is for the claim below 0, against it above; the loss within the window is for the claim when the interval lies below 0.05 nat, against it when above"}
	arms, err := normArms(e.root)
	if err != nil {
		return c, err
	}
	reached, err := limitsReached(e.root, arms)
	if err != nil {
		return c, err
	}
	return limitsJudged(c, arms, reached), nil
}

// limitsJudged gives the claim its verdict, with two sides per limit.
func limitsJudged(c Claim, arms []arm, reached map[string]string) Claim {
	free := arms[0]
	var sides []Side
	var chances []float64
	said := []string{fmt.Sprintf("without a limit %.2g nat within, excess %.2g (%d models)", meanOf(free.values(inside)).Value, meanOf(free.values(excess)).Value, len(free.models))}
	for _, a := range arms[1:] {
		beyond, price := meanOf(a.less(free, excess)), meanOf(a.less(free, inside))
		chances = append(chances, beyond.p())
		sides = append(sides, decided(beyond.High < 0, beyond.Low > 0), decided(price.High < cheap, price.Low > cheap))
		said = append(said, fmt.Sprintf("%v: excess changes by %v nat, loss within by %v nat (%d models); %s", a, beyond, price, beyond.N, reached[a.row]))
	}
	c.Ours = strings.Join(said, "; ")
	c.Verdict = Verdict(sides...)
	if least := min(1, float64(len(chances))*slices.Min(chances)); c.Verdict != Undecided && least >= 0.05 {
		c.Ours += fmt.Sprintf("; on the edge: the excess under either limit differs at p %s, beside the same models without, and over the limits Holm's first step, which decides nothing here, gives p %.2g", listed(chances), least)
	}
	return c
}

// values returns a quantity of the arm's models, sorted.
func (a arm) values(of func(Model) float64) []float64 {
	out := values(slices.Collect(maps.Values(a.models)), of)
	slices.Sort(out)
	return out
}

// limitsReached says for each row how many heads come within 1 % of their limit, within the window and beyond it.
func limitsReached(root string, arms []arm) (map[string]string, error) {
	t, err := study.Read(root, NormLimitPlan, "state")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row"}, []string{"replica", "train_length", "position", "layer", "head", "norm"})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, a := range arms[1:] {
		all, at := map[string]bool{}, [2]map[string]bool{{}, {}}
		for i, row := range c.text["row"] {
			if row != a.row {
				continue
			}
			k := fmt.Sprint(c.float["replica"][i], c.float["layer"][i], c.float["head"][i])
			all[k] = true
			beyond := map[bool]int{true: 1}[c.float["position"][i] >= c.float["train_length"][i]]
			at[beyond][k] = at[beyond][k] || c.float["norm"][i] >= 0.99*a.norm
		}
		said := [2]int{}
		for place := range at {
			for _, yes := range at[place] {
				if yes {
					said[place]++
				}
			}
		}
		out[a.row] = fmt.Sprintf("of %d heads %d reach it within, %d beyond", len(all), said[0], said[1])
	}
	return out, nil
}

// normLimitPoint is one model.
type normLimitPoint struct {
	Trained string  `parquet:"trained" doc:"limit of the state's norm in training"`
	Place   string  `parquet:"place" doc:"within the window or far beyond it"`
	Loss    float64 `parquet:"loss" doc:"loss at repeats, nats"`
}

// normLimitFigure draws the loss within the window and far beyond it, one point per model.
func normLimitFigure(root string) (report.Figure, error) {
	arms, err := normArms(root)
	if err != nil {
		return report.Figure{}, err
	}
	var points []normLimitPoint
	for _, a := range arms {
		for _, v := range a.values(inside) {
			points = append(points, normLimitPoint{a.String(), "within the window", v})
		}
		for _, v := range a.values(far) {
			points = append(points, normLimitPoint{a.String(), "far beyond it", v})
		}
	}
	return report.Figure{Spec: figure.Dots{
		Size:     figure.Size{Width: "double", Note: "Every model a point, six seeds for each limit of the Frobenius norm of a head's state. Models are read as they were trained: with their limit, after every token."},
		Category: "trained", Series: []string{"place"}, X: figure.Axis{Column: "loss", Label: "Loss at repeats", Unit: "nat"},
	}, Table: table.Of(points)}, nil
}
