package prompt

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// LastTokens is the accuracy within the last r tokens: the mean of the last ⌊(r/length)·rows⌋ rows of one column of a depth × length
// matrix, rows in order of depth (arXiv 2410.07145, accuracy by context length). It is undefined where that is less than one row or more than all.
func LastTokens(byDepth []float64, length, r int) (float64, error) {
	if length < 1 {
		return 0, fmt.Errorf("last tokens: length is %d, want 1 or more", length)
	}
	rows := r * len(byDepth) / length
	if rows < 1 || rows > len(byDepth) {
		return 0, fmt.Errorf("last tokens: r is %d; with %d depths of %d tokens it must be %d to %d", r, len(byDepth), length,
			(length+len(byDepth)-1)/max(1, len(byDepth)), length)
	}
	sum := 0.0
	for _, a := range byDepth[len(byDepth)-rows:] {
		sum += a
	}
	return sum / float64(rows), nil
}

// Wilson is the score interval of a share at z standard errors (1.96 for 95 %).
func Wilson(successes, trials int, z float64) (low, high float64, err error) {
	if trials < 1 || successes < 0 || successes > trials || !(z > 0) {
		return 0, 0, fmt.Errorf("wilson interval: %d of %d at z = %g; want 0 ≤ successes ≤ trials, trials ≥ 1, z > 0", successes, trials, z)
	}
	n, p := float64(trials), float64(successes)/float64(trials)
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half), nil
}

// Trials counts what happened at one length over all depths.
type Trials struct {
	Length    int `json:"length"` // tokens
	Successes int `json:"successes"`
	Trials    int `json:"trials"`
}

// RecallLength is T_recall, the longest context whose passkeys a model still retrieves.
type RecallLength struct {
	Length   int  `json:"length"`    // longest length with at least the threshold; 0 if none
	Low      int  `json:"low"`       // longest length at which even the lower end of the interval reaches the threshold; 0 if none
	High     int  `json:"high"`      // longest length at which the upper end reaches it; 0 if none
	NextFail int  `json:"next_fail"` // shortest tested length above Length, which fails: the true limit lies between; 0 if censored
	Censored bool `json:"censored"`  // the longest tested length still passes: T_recall is at least Length
}

// String says it in a line.
func (r RecallLength) String() string {
	switch {
	case r.Censored:
		return fmt.Sprintf("T_recall: %d tokens or more, the longest length tested (interval from %d)", r.Length, r.Low)
	case r.Length == 0:
		return fmt.Sprintf("T_recall: none; the shortest length tested, %d tokens, fails (interval %d to %d)", r.NextFail, r.Low, r.High)
	}
	return fmt.Sprintf("T_recall: %d tokens, the next length tested, %d, fails (interval %d to %d)", r.Length, r.NextFail, r.Low, r.High)
}

// Recall finds T_recall at a threshold (0.95 in the paper) with Wilson intervals at z standard errors.
func Recall(results []Trials, threshold, z float64) (RecallLength, error) {
	if len(results) == 0 || !(threshold > 0 && threshold <= 1) {
		return RecallLength{}, fmt.Errorf("recall length: %d lengths, threshold %g; want 1 or more, and above 0 to 1", len(results), threshold)
	}
	sorted := slices.SortedFunc(slices.Values(results), func(a, b Trials) int { return cmp.Compare(a.Length, b.Length) })
	var r RecallLength
	for i, t := range sorted {
		if i > 0 && t.Length == sorted[i-1].Length {
			return RecallLength{}, fmt.Errorf("recall length: length %d is given twice", t.Length)
		}
		low, high, err := Wilson(t.Successes, t.Trials, z)
		if err != nil {
			return RecallLength{}, err
		}
		if float64(t.Successes) >= threshold*float64(t.Trials) {
			r.Length, r.NextFail = t.Length, 0
		} else if r.NextFail == 0 {
			r.NextFail = t.Length
		}
		if low >= threshold {
			r.Low = t.Length
		}
		if high >= threshold {
			r.High = t.Length
		}
	}
	r.Censored = r.Length == sorted[len(sorted)-1].Length
	return r, nil
}
