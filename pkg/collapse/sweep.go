package collapse

import (
	"stuffed/pkg/table"
)

// Grid lists the thresholds of a sweep; empty lists mean the rule's own value.
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

// Sweep judges the tables under every combination of thresholds. One row each:
// the thresholds, the verdicts (0/1), onsets in tokens (NaN: not reached), the
// share of exploding heads, which comes first by the point estimates, and flips:
// 1 where any of the four verdicts differs from the one under rule itself.
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
	var rows sweepRows
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
					rows.add(r, p, p.differs(base))
				}
			}
		}
	}
	return rows.table(), nil
}

// point is a verdict without intervals.
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

type sweepRows struct {
	k, factor, margin, stateOnset, lossOnset, share []float64
	m, explosion, paper, perplexity, strict, flips  []int64
	first                                           []string
}

func (s *sweepRows) add(r Rule, p point, flips bool) {
	s.k, s.m = append(s.k, r.K), append(s.m, int64(r.M))
	s.factor, s.margin = append(s.factor, r.Factor), append(s.margin, r.Margin)
	s.explosion, s.paper = append(s.explosion, flag(p.explosion)), append(s.paper, flag(p.paper))
	s.perplexity, s.strict = append(s.perplexity, flag(p.perplexity)), append(s.strict, flag(p.strict))
	s.stateOnset, s.lossOnset = append(s.stateOnset, p.stateOnset), append(s.lossOnset, p.lossOnset)
	s.share, s.first = append(s.share, p.share), append(s.first, p.first())
	s.flips = append(s.flips, flag(flips))
}

func (s *sweepRows) table() *table.Table {
	return table.New().AddFloat("k", s.k).AddInt("m", s.m).AddFloat("factor", s.factor).AddFloat("margin", s.margin).
		AddInt("explosion", s.explosion).AddFloat("explosion_onset", s.stateOnset).AddFloat("heads_share", s.share).
		AddInt("degradation_paper", s.paper).AddInt("degradation_perplexity", s.perplexity).
		AddInt("degradation_strict", s.strict).AddFloat("degradation_onset", s.lossOnset).
		AddText("first", s.first).AddInt("flips", s.flips)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
