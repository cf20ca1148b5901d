package collapse

import (
	"stuffed/pkg/table"
)

// Grid lists the thresholds of a sweep; an empty list stands for the rule's own value.
type Grid struct {
	K, Factor, Margin []float64
	M                 []int
}

// DefaultGrid covers the values that reviewers asked for (factor 1.1 … 4).
func DefaultGrid() Grid {
	return Grid{
		K: []float64{1.25, 1.5, 2, 3, 4, 8}, M: []int{16, 64, 256, 1024},
		Factor: []float64{1.1, 1.25, 1.5, 2, 3, 4}, Margin: []float64{0.02, 0.05, 0.1, 0.2, 0.5},
	}
}

// Sweep judges the tables under every combination of thresholds and returns one row for each: the thresholds, the verdicts (0 or 1), onsets
// in tokens (NaN: not reached), the share of exploding heads, which onset comes first by the point estimates, and flips: 1 if any of the
// four verdicts differs from that under rule itself.
func Sweep(states, losses *table.Table, rule Rule, grid Grid) (*table.Table, error) {
	rule = rule.filled()
	if err := rule.Validate(); err != nil {
		return nil, err
	}
	heads, _, err := loadStates(states, rule)
	if err != nil {
		return nil, err
	}
	curve, _, err := loadLosses(losses, rule)
	if err != nil {
		return nil, err
	}
	orFloat := func(list []float64, own float64) []float64 {
		if len(list) == 0 {
			return []float64{own}
		}
		return list
	}
	ms := grid.M
	if len(ms) == 0 {
		ms = []int{rule.M}
	}
	base := newPoint(heads, curve, rule)
	var rows []SweepRow
	for _, k := range orFloat(grid.K, rule.K) {
		for _, m := range ms {
			r := rule
			r.K, r.M = k, m
			if err := r.Validate(); err != nil {
				return nil, err
			}
			state := statePoint(heads, r)
			for _, factor := range orFloat(grid.Factor, rule.Factor) {
				for _, margin := range orFloat(grid.Margin, rule.Margin) {
					r.Factor, r.Margin = factor, margin
					if err := r.Validate(); err != nil {
						return nil, err
					}
					p := state
					p.lossPoint(curve, r)
					rows = append(rows, p.row(r, base))
				}
			}
		}
	}
	return table.Of(rows), nil
}

// point is a verdict by point estimates, without intervals.
type point struct {
	explosion, paper, perplexity, strict bool
	stateOnset, lossOnset                float64
	share                                float64
}

func newPoint(heads []headSeries, curve series, rule Rule) point {
	p := statePoint(heads, rule)
	p.lossPoint(curve, rule)
	return p
}

func statePoint(heads []headSeries, rule Rule) point {
	p := point{stateOnset: nan}
	for _, h := range heads {
		found := judgeHead(h, len(heads), rule)
		if found.Onset == nil {
			continue
		}
		p.explosion = true
		p.share += 1 / float64(len(heads))
		if onset := float64(*found.Onset); !(p.stateOnset <= onset) {
			p.stateOnset = onset
		}
	}
	return p
}

func (p *point) lossPoint(curve series, rule Rule) {
	y := curve.mean(nil)
	b := chooseBuckets(&curve, y, nanMean(y[curve.settled(rule.TrainLength):curve.window]), rule)
	d := degrade(&curve, y, b, rule)
	p.paper, p.perplexity, p.strict, p.lossOnset = d.paper, d.perplexity, d.strict, nan
	if d.strict {
		p.lossOnset = float64(curve.positions[d.onset])
	}
}

func (p point) differs(q point) bool {
	return p.explosion != q.explosion || p.paper != q.paper || p.perplexity != q.perplexity || p.strict != q.strict
}

func (p point) first() string {
	switch {
	case !p.explosion && !p.strict:
		return "neither"
	case !p.strict || p.stateOnset < p.lossOnset:
		return "state"
	case !p.explosion || p.lossOnset < p.stateOnset:
		return "loss"
	}
	return "undecided"
}

// SweepRow is the verdict under one combination of thresholds.
type SweepRow struct {
	K              float64 `parquet:"k" doc:"explosion: factor over the largest in-window norm"`
	M              int     `parquet:"m" doc:"tokens that explosion and degradation must last"`
	Factor         float64 `parquet:"factor" doc:"paper and perplexity rules: factor over the in-window maximum"`
	Margin         float64 `parquet:"margin" doc:"strict rule: nats over the in-window level"`
	Explosion      int     `parquet:"explosion" doc:"1 if states explode, otherwise 0"`
	ExplosionOnset float64 `parquet:"explosion_onset" doc:"from which position on, in tokens"`
	HeadsShare     float64 `parquet:"heads_share" doc:"share of the heads that explode"`
	Paper          int     `parquet:"degradation_paper" doc:"1 if the loss degrades by the paper's rule, otherwise 0"`
	Perplexity     int     `parquet:"degradation_perplexity" doc:"the same by the rule on perplexity"`
	Strict         int     `parquet:"degradation_strict" doc:"the same by the strict rule"`
	LossOnset      float64 `parquet:"degradation_onset" doc:"from which position on by the strict rule, in tokens"`
	First          string  `parquet:"first" doc:"what comes first: state, loss, neither or undecided"`
	Flips          int     `parquet:"flips" doc:"1 if a verdict differs from that under the given thresholds, otherwise 0"`
}

func (p point) row(r Rule, base point) SweepRow {
	return SweepRow{r.K, r.M, r.Factor, r.Margin, flag(p.explosion), p.stateOnset, p.share, flag(p.paper), flag(p.perplexity), flag(p.strict), p.lossOnset,
		p.first(), flag(p.differs(base))}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
