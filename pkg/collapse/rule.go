// Package collapse decides, from tables alone, whether a recurrent state explodes and whether the model degrades beyond its training length,
// which of the two comes first, and which heads are involved.
//
// State explosion: the log-norm of a head, averaged over prompts, exceeds log K + (its largest value within the training length) for M
// consecutive tokens. Degradation: the rule of arXiv 2410.07145 §3 (loss above Factor times the in-window maximum at any position), the same
// rule on perplexity, and a strict rule (loss persistently above the in-window level by Margin nats).
package collapse

import "fmt"

// Rule holds the thresholds of the detector.
type Rule struct {
	TrainLength int     `json:"train_length"` // tokens; positions 0 … TrainLength−1 are in the window
	K           float64 `json:"k"`            // explosion: factor over the in-window band, > 1
	M           int     `json:"m"`            // persistence in tokens, ≥ 1
	Factor      float64 `json:"factor"`       // paper and perplexity rules, > 1
	Margin      float64 `json:"margin"`       // strict rule, nats, > 0
	Bucket      int     `json:"bucket"`       // tokens per bucket of the loss; 0 chooses by the noise
	Column      string  `json:"column"`       // column of the states that is judged: norm (default), variance, …
	Seed        uint64  `json:"seed"`         // of the bootstrap
	Resamples   int     `json:"resamples"`    // bootstrap resamples; 0 means 1000
}

// DefaultRule is K 2, M 64 tokens, Factor 2, Margin 0.1 nats.
func DefaultRule(trainLength int) Rule {
	return Rule{TrainLength: trainLength, K: 2, M: 64, Factor: paperFactor, Margin: 0.1, Column: "norm", Seed: 1, Resamples: 1000}
}

// Validate returns an error that names the first field out of range.
func (r Rule) Validate() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("%s is %v, want %s", field, value, want)
	}
	switch {
	case r.TrainLength <= 0:
		return bad("train length", r.TrainLength, "a positive number of tokens")
	case !(r.K > 1 && r.K < 1e12):
		return bad("k", r.K, "a factor above 1 and below 1e12")
	case r.M < 1:
		return bad("m", r.M, "at least 1 token")
	case !(r.Factor > 1 && r.Factor < 1e12):
		return bad("factor", r.Factor, "a factor above 1 and below 1e12")
	case !(r.Margin > 0 && r.Margin < 1e6):
		return bad("margin", r.Margin, "a positive number of nats")
	case r.Bucket < 0:
		return bad("bucket", r.Bucket, "0 (automatic) or a positive number of tokens")
	case r.Resamples < 0:
		return bad("resamples", r.Resamples, "0 (1000) or a positive number")
	}
	return nil
}

func (r Rule) filled() Rule {
	if r.Column == "" {
		r.Column = "norm"
	}
	if r.Resamples == 0 {
		r.Resamples = 1000
	}
	return r
}
