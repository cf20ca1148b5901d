package study

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/mamba2"
)

// Config is everything that a row's numbers depend on.
type Config struct {
	Data     Data     `json:"data"`
	Model    Model    `json:"model"`
	Train    Train    `json:"train"`
	Policies []string `json:"policies"` // what the state is at the start of a training sequence: zero, carried or passed
	Seeds    []uint64 `json:"seeds"`    // replicas = policies × seeds, side by side in one graph
	Evaluate Evaluate `json:"evaluate"`
	Keep     []string `json:"keep,omitempty"` // replicas whose weights are kept, as "zero-1" (policy-seed)
}

// Data says what is learned: "recall" (datasets.RecallStream) or "text" (the embedded corpus as bytes).
type Data struct {
	Kind     string  `json:"kind"`
	Keys     int     `json:"keys,omitempty"`
	Values   int     `json:"values,omitempty"`
	Gap      int     `json:"gap,omitempty"`       // pairs
	GapShare float64 `json:"gap_share,omitempty"` // gap as pairs per token of the training length; replaces gap
}

// Model is the shape of a Mamba-2 with the official choices for the rest.
type Model struct {
	Layers  int `json:"layers"`
	Width   int `json:"width"`
	HeadDim int `json:"head_dim"`
	Expand  int `json:"expand"`
	State   int `json:"state"` // N
}

// Train is the recipe; tokens count per replica.
type Train struct {
	Length     int     `json:"length"`       // T_train, tokens
	Tokens     int64   `json:"tokens"`       // per replica
	StepTokens int     `json:"step_tokens"`  // per step and replica
	Rate       float64 `json:"rate"`         // peak learning rate
	Decay      float64 `json:"weight_decay"` // of AdamW
	Clip       float64 `json:"clip"`         // global gradient norm
	WarmUp     int     `json:"warm_up"`      // steps
	Final      float64 `json:"final"`        // share of the steps in the final linear decay
	Chain      int     `json:"chain"`        // steps that a carried state lives
	Compute    string  `json:"compute"`      // of the products: bfloat16 or float32
}

// Evaluate says how far and how often a row is measured.
type Evaluate struct {
	Times     int       `json:"times"`     // length in training lengths
	Sequences int       `json:"sequences"` // per replica
	Shares    []float64 `json:"shares"`    // of the training after which losses are measured; the end is always one
}

// resolve replaces relative values by those they stand for, so that equal rows have equal hashes.
func (c *Config) resolve() {
	if c.Data.GapShare > 0 {
		c.Data.Gap, c.Data.GapShare = max(int(c.Data.GapShare*float64(c.Train.Length)), 1), 0
	}
	c.Evaluate.Shares = slices.DeleteFunc(slices.Clone(c.Evaluate.Shares), func(s float64) bool { return s == 1 })
	slices.Sort(c.Evaluate.Shares)
}

// Policies that a row may ask for.
var policies = []string{"zero", "carried", "passed"}

// Validate names the first field out of range.
func (c Config) Validate() error {
	ints := []struct {
		name          string
		value, lo, hi int
	}{
		{"train.length", c.Train.Length, 8, 1 << 20}, {"train.step_tokens", c.Train.StepTokens, c.Train.Length, 1 << 24},
		{"train.warm_up", c.Train.WarmUp, 0, 1 << 20}, {"train.chain", c.Train.Chain, 0, 1 << 20},
		{"evaluate.times", c.Evaluate.Times, 2, 1 << 16}, {"evaluate.sequences", c.Evaluate.Sequences, 1, 1 << 16},
		{"seeds", len(c.Seeds), 1, 64}, {"policies", len(c.Policies), 1, 3},
	}
	if c.Data.Kind == "recall" {
		ints = append(ints, []struct {
			name          string
			value, lo, hi int
		}{{"data.keys", c.Data.Keys, 2, 1 << 20}, {"data.values", c.Data.Values, 2, 1 << 20}, {"data.gap", c.Data.Gap, 1, 1 << 20}}...)
	}
	for _, f := range ints {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("%s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	for _, f := range []struct {
		name          string
		value, lo, hi float64
	}{
		{"train.tokens", float64(c.Train.Tokens), float64(c.Train.StepTokens), 1e13}, {"train.rate", c.Train.Rate, 1e-8, 1},
		{"train.weight_decay", c.Train.Decay, 0, 1}, {"train.clip", c.Train.Clip, 0, 1e6}, {"train.final", c.Train.Final, 0, 1},
	} {
		if !(f.value >= f.lo && f.value <= f.hi) {
			return fmt.Errorf("%s = %g is outside %g … %g", f.name, f.value, f.lo, f.hi)
		}
	}
	for _, s := range c.Evaluate.Shares {
		if !(s > 0 && s < 1) {
			return fmt.Errorf("evaluate.shares holds %g, want shares between 0 and 1", s)
		}
	}
	if c.Data.Kind != "recall" && c.Data.Kind != "text" {
		return fmt.Errorf("data.kind %q is unknown; use recall or text", c.Data.Kind)
	}
	if c.Train.Compute != "bfloat16" && c.Train.Compute != "float32" {
		return fmt.Errorf("train.compute %q is unknown; use bfloat16 or float32", c.Train.Compute)
	}
	for _, p := range c.Policies {
		if !slices.Contains(policies, p) {
			return fmt.Errorf("policies holds %q; use %s", p, strings.Join(policies, ", "))
		}
	}
	if slices.Contains(c.Policies, "carried") && c.Train.Chain < 2 {
		return fmt.Errorf("train.chain = %d: a carried state needs chains of 2 steps or more", c.Train.Chain)
	}
	names := c.names()
	for _, k := range c.Keep {
		if !slices.Contains(names, k) {
			return fmt.Errorf("keep holds %q; the replicas are %s", k, strings.Join(names, ", "))
		}
	}
	return c.Mamba().Validate()
}

// Replica is one model of a row.
type Replica struct {
	Policy string
	Seed   uint64
}

func (r Replica) String() string { return fmt.Sprintf("%s-%d", r.Policy, r.Seed) }

// Replicas lists policies × seeds, policy by policy.
func (c Config) Replicas() (out []Replica) {
	for _, p := range c.Policies {
		for _, s := range c.Seeds {
			out = append(out, Replica{p, s})
		}
	}
	return
}

func (c Config) names() (out []string) {
	for _, r := range c.Replicas() {
		out = append(out, r.String())
	}
	return
}

// Vocab is the number of token ids.
func (c Config) Vocab() int {
	if c.Data.Kind == "text" {
		return 256 + 16 // bytes and the end of text, padded
	}
	return c.Data.Keys + c.Data.Values
}

// Mamba is the model's full configuration.
func (c Config) Mamba() mamba2.Config {
	m := mamba2.Default(c.Model.Width, c.Model.Layers, c.Vocab())
	m.HeadDim, m.Expand, m.State = c.Model.HeadDim, c.Model.Expand, c.Model.State
	return m
}

// Hash identifies the row: the first 12 hex digits of the SHA-256 of its JSON.
func (c Config) Hash() string {
	b, err := json.Marshal(c)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])[:12]
}

// Steps is the number of training steps.
func (c Config) Steps() int { return int(c.Train.Tokens / int64(c.Train.StepTokens)) }

// Parameters is the number of weights of one replica that take part in products.
func (c Config) Parameters() float64 {
	m := c.Mamba()
	inner := float64(m.Inner())
	perLayer := float64(m.Width)*(2*inner+2*float64(m.Groups*m.State)+float64(m.Heads())) + inner*float64(m.Width)
	return float64(m.Layers)*perLayer + float64(m.Width*m.Vocab)
}

// Work is the row's floating-point operations: 6 per parameter and trained token, 2 per parameter and evaluated
// token, all replicas; recurrence: 6 (2) × layers × inner × (N + chunk) more per token.
func (c Config) Work() float64 {
	m := c.Mamba()
	perToken := c.Parameters() + float64(m.Layers*m.Inner()*(2*m.State+m.Chunk))
	trained := float64(c.Steps() * c.Train.StepTokens)
	evaluated := float64((len(c.Evaluate.Shares) + 1) * c.Evaluate.Times * c.Train.Length * c.Evaluate.Sequences)
	return float64(len(c.Replicas())) * perToken * (6*trained + 2*evaluated)
}

func (c Config) label() string {
	return fmt.Sprintf("N %d, T %d, %s × %d", c.Model.State, c.Train.Length, strings.Join(c.Policies, "+"), len(c.Seeds))
}
