package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// BridgePlan is the study of models of the paper's own sizes; datasets/study/scale-bridge/RULES.md gives the rules of judgement.
const BridgePlan = "scale-bridge"

const (
	bridgeShort = 512 // training length of two of its models, tokens
	bridgeLong  = 8192
	bridgeHeads = 16 // of the model of width 512, which is trained at both lengths
)

// bridge returns the models of the study on newlines, a description of each, and the rows that are missing.
func (e evidence) bridge() (models []TextModel, said string, err error) {
	all, err := promptedModels(e.root, BridgePlan)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	missing, err := missingOf(BridgePlan, all)
	if err != nil {
		return nil, "", err
	}
	models = ofKind(all, "newlines")
	if len(models) == 0 {
		return nil, "no rows yet" + missing, nil
	}
	var parts []string
	for _, m := range models {
		name := fmt.Sprintf("%d heads, T %d: %s on newlines, %.2f nat within, excess %.2f [%.2f, %.2f]", m.Heads, m.T, m.judged(), m.Inside.Mean, m.Excess.Mean, m.Excess.Low, m.Excess.High)
		for _, o := range ofKind(all, "documents") {
			if o.Row == m.Row && o.Member == m.Member {
				name += fmt.Sprintf(", %s on documents (%.2f)", o.judged(), o.Excess.Mean)
			}
		}
		parts = append(parts, name)
	}
	return models, strings.Join(parts, "; ") + missing, nil
}

// bridgeFails asks whether both models of the paper's sizes fail on newlines at T 512.
func (e evidence) bridgeFails() (Claim, error) {
	c := Claim{ID: "paper's size", Where: "v1 Fig. 1a, v2 Fig. 1", Claim: "models of the paper's sizes, trained on 512 tokens of real text, fail on newlines", Paper: "from 130M parameters on",
		Rule: "fixed before any of its rows ran (datasets/study/scale-bridge/RULES.md): width 512 with 8 layers and 130m, one seed each, of which both must know newlines within T (at most 0.5 nat): for the claim when both fail, against it when both hold, otherwise undecided; not testable without both"}
	models, said, err := e.bridge()
	if err != nil {
		return c, err
	}
	c.Ours, c.Verdict = said, NotTestable
	short := slices.DeleteFunc(slices.Clone(models), func(m TextModel) bool { return m.T != bridgeShort })
	if len(short) < 2 {
		return c, nil
	}
	every := func(is func(TextModel) bool) bool {
		return !slices.ContainsFunc(short, func(m TextModel) bool { return m.Inside.Mean > knows || !is(m) })
	}
	c.Verdict = Verdict(decided(every(TextModel.Fails), every(TextModel.Holds)))
	return c, nil
}

// bridgeCures asks whether the longer window cures the model of width 512.
func (e evidence) bridgeCures() (Claim, error) {
	c := Claim{ID: "paper's size, longer window", Where: "v2 Fig. 10", Claim: "at the paper's size, training on 8,192 tokens instead of 512 cures the failure on newlines", Paper: "370M at 64K: flat to 126K",
		Rule: "fixed before any of its rows ran (datasets/study/scale-bridge/RULES.md): width 512 with 8 layers; asked only if the model of T 512 fails: for the claim when that of T 8,192 holds (to 8 T, not 128), against it when that fails"}
	models, said, err := e.bridge()
	if err != nil {
		return c, err
	}
	c.Ours, c.Verdict = said, NotTestable
	at := func(T int) int {
		return slices.IndexFunc(models, func(m TextModel) bool { return m.T == T && m.Heads == bridgeHeads })
	}
	short, long := at(bridgeShort), at(bridgeLong)
	if short < 0 || long < 0 || !models[short].Fails() {
		return c, nil
	}
	c.Verdict = Verdict(decided(models[long].Holds(), models[long].Fails()))
	return c, nil
}
