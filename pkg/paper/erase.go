package paper

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
)

// ErasePlan trains one architecture with and without erasing; datasets/study/erase/RULES.md gives the rules of judgement.
const ErasePlan = "erase"

// Without holds the two arms of an ablation, by seed: the whole model and the one that lacks a part.
type Without struct{ Whole, Lacking map[int]Model }

// EraseArms returns Gated DeltaNet as published and without erasing. An arm that has not run is an error.
func EraseArms(root string) (Without, error) {
	w := Without{map[int]Model{}, map[int]Model{}}
	models, err := modelsOf(root, ErasePlan)
	if err != nil {
		return w, err
	}
	rows, err := planRows(ErasePlan)
	if err != nil {
		return w, err
	}
	for _, m := range models {
		switch m.Row {
		case rows[0].Hash:
			w.Whole[m.Seed] = m
		case rows[1].Hash:
			w.Lacking[m.Seed] = m
		}
	}
	if len(w.Whole) == 0 || len(w.Lacking) == 0 {
		return w, fmt.Errorf("%s: one of its two arms has not run: %w", ErasePlan, fs.ErrNotExist)
	}
	return w, nil
}

// pairs returns the models of the seeds that both arms have learned, in ascending order of seed.
func (w Without) pairs() (whole, lacking []Model) {
	for _, seed := range slices.Sorted(maps.Keys(w.Whole)) {
		a, b := w.Whole[seed], w.Lacking[seed] // a missing model counts as one that has not learned
		if a.Learned() && b.Learned() {
			whole, lacking = append(whole, a), append(lacking, b)
		}
	}
	return whole, lacking
}

// Wording of the verdicts of RULES.md.
const (
	shown  = "shown"
	inPart = "in part: erasing helps and is not enough"
)

// Verdict applies RULES.md and says which numbers the answer rests on.
func (w Without) Verdict() (verdict, said string) {
	whole, lacking := w.pairs()
	difference := func(of func(Model) float64) (mean, p float64) {
		var d []float64
		for i := range whole {
			d = append(d, of(lacking[i])-of(whole[i]))
		}
		return signFlip(d)
	}
	mean, p := difference(excess)
	within, pWithin := difference(inside)
	beyond, pBeyond := difference(far)
	fails, lackingFail := count(whole, Model.failing), count(lacking, Model.failing)
	said = fmt.Sprintf("%d pairs; with erasing %d fail, without %d; excess %.2g and %.2g nat, difference %.2g (p %.2g); within the window without erasing worse by %.2g (p %.2g), far beyond by %.2g (p %.2g)",
		len(whole), fails, lackingFail, meanOf(values(whole, excess)).Value, meanOf(values(lacking, excess)).Value, mean, p, within, pWithin, beyond, pBeyond)
	switch {
	case len(whole) < 6 || 2*lackingFail <= len(lacking):
		return NotTestable, said
	case mean < 0 && p < 0.05:
		return Contradicted, said
	case mean < least || p >= 0.05:
		return Undecided, said
	case 2*fails > len(whole):
		return inPart, said
	}
	return shown, said
}
