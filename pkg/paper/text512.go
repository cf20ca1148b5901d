package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"stuffed/pkg/study"
)

// Text512Plan is the study that puts text-law's question to models that know newlines; datasets/study/text-law-512/RULES.md gives
// the rules of judgement.
const Text512Plan = "text-law-512"

// fewestKnown is the share of models that must know newlines before the question is answered.
const fewestKnown = 2.0 / 3

// text512 answers the question of RULES.md: thresholds of the models that know newlines within the window.
func (e evidence) text512() (Claim, error) {
	c := Claim{ID: "text law, width 512", Where: "v2 §5, Fig. 11; v1 §5", Claim: "on real text, the length that a model must be trained on to forget grows with its state (models that know newlines, width 512)", Paper: "5.172·N_S − 4.469, 6 sizes, 1 seed",
		Rule: "fixed before any of its rows ran (datasets/study/text-law-512/RULES.md): thresholds, forms and Kendall's τ as at width 256, over the models whose loss on newlines within T is at most 0.5 nat; not testable when fewer than two thirds of the models know newlines, an N has no threshold, or fewer than a tenth or more than nine tenths of those that know them fail"}
	all, err := promptedModels(e.root, Text512Plan)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	missing, err := missingOf(Text512Plan, all)
	if err != nil {
		return c, err
	}
	models := ofKind(all, "newlines")
	if len(models) == 0 {
		c.Ours, c.Verdict = "no rows yet"+missing, NotTestable
		return c, nil
	}
	c.Figure = "22_matrix_512"
	known := slices.DeleteFunc(slices.Clone(models), func(m TextModel) bool { return m.Inside.Mean > knows })
	without, bare, err := unbracketed(models, known)
	if err != nil {
		return c, err
	}
	g, everyone := e.growthOf(known), e.growthOf(models)
	c.Ours = fmt.Sprintf("%d of %d models know newlines within T, of these %d fail (%s)", len(known), len(models), failingText(known), byLength(known))
	if without != "" {
		c.Ours += "; without a threshold: " + without
	}
	c.Ours += fmt.Sprintf("; %d thresholds, τ = %.2f, p %.2g; %s; slope of the excess per doubling of N: %s", len(g.points), g.tau, g.p, g.forms, slopes(known))
	c.Ours += fmt.Sprintf("; over all models, deciding nothing: %d fail (%s), τ = %.2f, p %.2g, slope %s", failingText(models), byLength(models), everyone.tau, everyone.p, slopes(models))
	for _, kind := range TextPrompts[1:] {
		if some := ofKind(all, kind); len(some) > 0 {
			c.Ours += fmt.Sprintf("; %s: %d of %d fail", promptNames[kind], failingText(some), len(some))
		}
	}
	if x := explosionsOf(all); len(x.exploding) > 0 {
		seen, expected, p := coincide(x.exploding)
		c.Ours += fmt.Sprintf("; a head explodes in %d of %d that fail on newlines, %d of %d others (%.0f coincide, %.1f expected, p %.2g)", x.both, x.failing, x.others, x.holding, seen, expected, p)
	}
	c.Ours += missing
	c.Verdict = g.verdict(failingText(known), len(known))
	if bare || float64(len(known)) < fewestKnown*float64(len(models)) {
		c.Verdict = NotTestable
	}
	return c, nil
}

// unbracketed names each N and seed without a model that knows newlines; bare reports whether some N of the plan has no seed
// left.
func unbracketed(models, known []TextModel) (names string, bare bool, err error) {
	p, err := study.ReadPlan(Text512Plan)
	if err != nil {
		return "", false, err
	}
	rows, err := p.Rows()
	if err != nil {
		return "", false, err
	}
	for _, r := range rows {
		bare = bare || !slices.ContainsFunc(known, func(m TextModel) bool { return m.State == r.Config.Train.Model.Sizes().State })
	}
	var said []string
	for _, m := range models {
		has := slices.ContainsFunc(known, func(o TextModel) bool { return o.State == m.State && o.Seed == m.Seed })
		if name := fmt.Sprintf("N %d seed %d", m.State, m.Seed); !has && !slices.Contains(said, name) {
			said = append(said, name)
		}
	}
	return strings.Join(said, ", "), bare, nil
}
