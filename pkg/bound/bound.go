// Package bound gives upper bounds on what a memory of a given size can hold, as a reference for measured recall. M items are values
// out of V, each recalled correctly with probability 1 − ε; b is the size of the memory in bits:
//
//	information   b ≥ M·[log₂V − h₂(ε) − ε·log₂(V−1)]   Fano's inequality (Cover and Thomas, Elements of Information Theory, 2.10)
//	dictionary    b ≥ log₂C(K, M) + M·log₂V              counting: the memory also tells which of K keys are bound
//	copying       ε ≥ 1 − 2^b/V^n                        uniform strings of length n (arXiv 2402.01032)
//	rank          M ≤ N                                  keys of N dimensions, values read by one product S·k
//	interference  accuracy of M random keys, S ← α·S + v·kᵀ, read by S·k
//	cache         M ≤ bytes / bytes of a cached token     attention over a window
//
// The first four hold for every model; interference is specific to one write rule, and cache to attention with the same memory.
package bound

import (
	"fmt"
	"math"
)

// Query holds the parameters of the bounds.
type Query struct {
	Items   int     `json:"items"`   // M: number of associations, or length of the string to copy
	Keys    int     `json:"keys"`    // K: number of possible keys
	Values  int     `json:"values"`  // V: number of possible values
	Error   float64 `json:"error"`   // ε: tolerated share of wrong items, below 1 − 1/V
	Scalars int     `json:"scalars"` // N_S: numbers in the state
	Bits    float64 `json:"bits"`    // usable bits per scalar

	Heads   int     `json:"heads"`    // number of heads over all layers; each holds Scalars/Heads numbers
	HeadDim int     `json:"head_dim"` // P: channels that one key of a head writes to
	Decay   float64 `json:"decay"`    // α from one item to the next, in (0, 1]
	Width   int     `json:"width"`    // d: a cached token is a key and a value of this width in every layer
	Layers  int     `json:"layers"`   // of the cache
}

// Validate returns an error that names the field that is out of range.
func (q Query) Validate() error {
	for _, f := range []struct {
		name       string
		value, low int
	}{{"items", q.Items, 1}, {"keys", q.Keys, 1}, {"values", q.Values, 2}, {"scalars", q.Scalars, 1}, {"heads", q.Heads, 1},
		{"head_dim", q.HeadDim, 1}, {"width", q.Width, 1}, {"layers", q.Layers, 1}} {
		if f.value < f.low {
			return fmt.Errorf("bound: %s is %d, want %d or more", f.name, f.value, f.low)
		}
	}
	if q.Items > q.Keys {
		return fmt.Errorf("bound: items is %d, want at most keys = %d: every item has a key of its own", q.Items, q.Keys)
	}
	if chance := 1 - 1/float64(q.Values); !(q.Error >= 0 && q.Error < chance) {
		return fmt.Errorf("bound: error is %g, want 0 or more and less than guessing, 1 − 1/values = %g", q.Error, chance)
	}
	if !(q.Bits > 0) || math.IsInf(q.Bits, 1) {
		return fmt.Errorf("bound: bits is %g, want above 0 (16 for bfloat16 at most; measured values are lower)", q.Bits)
	}
	if !(q.Decay > 0 && q.Decay <= 1) {
		return fmt.Errorf("bound: decay is %g, want above 0 to 1", q.Decay)
	}
	return nil
}

// Bound is one evaluated bound. Fields that do not apply to it are nil.
type Bound struct {
	Name      string   `json:"name"`
	Formula   string   `json:"formula"`
	Source    string   `json:"source"`
	NeedBits  *float64 `json:"need_bits,omitempty"` // bits required for the items at this error
	HaveBits  *float64 `json:"have_bits,omitempty"` // scalars × bits
	MaxItems  *float64 `json:"max_items,omitempty"` // maximum number of items at this error
	MinError  *float64 `json:"min_error,omitempty"` // minimum error at this number of items
	Accuracy  *float64 `json:"accuracy,omitempty"`  // expected accuracy under this write rule
	Possible  *bool    `json:"possible,omitempty"`  // whether the bound permits the items at this error
	Condition string   `json:"condition,omitempty"` // assumption of the bound
}

// All evaluates every bound; it fails if the query is out of range.
func All(q Query) ([]Bound, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	have := float64(q.Scalars) * q.Bits
	need := Information(q.Items, q.Values, q.Error)
	dictionary := Dictionary(q.Items, q.Keys, q.Values)
	rank := Rank(q.Scalars, q.Heads, q.HeadDim)
	cache := Cache(have/8, q.Layers, q.Width, q.Bits/8)
	copying := Copying(have, q.Items, q.Values)
	accuracy := Interference(q.Items, max(q.Scalars/(q.Heads*q.HeadDim), 1), q.HeadDim, q.Values, q.Decay)
	num := func(v float64) *float64 { return &v }
	yes := func(v bool) *bool { return &v }
	return []Bound{
		{Name: "information", Formula: "b ≥ M·[log2 V − h2(ε) − ε·log2(V−1)]", Source: "Fano's inequality; Cover and Thomas, 2.10",
			NeedBits: num(need), HaveBits: num(have), MaxItems: num(MaxItems(have, q.Values, q.Error)),
			MinError: num(MinError(have, q.Items, q.Values)), Possible: yes(need <= have)},
		{Name: "dictionary", Formula: "b ≥ log2 C(K, M) + M·log2 V", Source: "counting of tables",
			NeedBits: num(dictionary), HaveBits: num(have), Possible: yes(dictionary <= have),
			Condition: "no error, and keys that are not bound are told apart from those that are"},
		{Name: "copying", Formula: "ε ≥ 1 − 2^b/V^n", Source: "arXiv 2402.01032",
			HaveBits: num(have), NeedBits: num(float64(q.Items) * math.Log2(float64(q.Values))), MinError: num(copying), Possible: yes(copying <= q.Error),
			Condition: "a uniform string of M tokens; ε is the share of whole strings that are wrong"},
		{Name: "rank", Formula: "M ≤ N", Source: "linear algebra: N+1 vectors of N dimensions depend on each other",
			MaxItems: num(float64(rank)), Possible: yes(q.Items <= rank),
			Condition: fmt.Sprintf("exact and linear reading, %d heads of head_dim %d, each key in one head", q.Heads, q.HeadDim)},
		{Name: "interference", Formula: "ν = Σ_i α^(2(j−i))/N, accuracy = E Π_c Φ(x/σ_c), x ~ N(P, Pν)", Source: "signal and noise of summed outer products, derived with bound.Interference",
			Accuracy: num(accuracy), Possible: yes(accuracy >= 1-q.Error),
			Condition: "random keys added up in one head; expected, not a bound on other ways of writing"},
		{Name: "cache", Formula: "M ≤ bytes / (2·layers·d·bytes of a scalar)", Source: "attention keeps a key and a value of every token in every layer",
			MaxItems: num(float64(cache)), MinError: num(1 - CacheAccuracy(cache, q.Items, q.Values)), Possible: yes(q.Items <= cache),
			Condition: "an item takes one cached token; beyond the window attention guesses"},
	}, nil
}
