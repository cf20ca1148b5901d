// Package trace records what happens inside a recurrent model while it reads: for every layer and head, and every token or bucket of
// tokens, statistics of the state h_t (arXiv 2410.07145, section 4, figures on state statistics), of the gates, and of what is written and
// read, in a single pass with constant memory. Means and second moments of h_t cover every token. They are computed in float64 from Gram
// matrices (recurrence.Result.Moments) or, on a GPU, by kernels that follow the states in float32 (recurrence.Result.Statistics); no tensor
// of shape [tokens, headDim, state] is ever formed. The results are tables.
package trace

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
)

// Config selects what is traced.
type Config struct {
	Bucket   int                        `json:"bucket"`             // tokens per row, 1 for every token; 0 means 64
	Columns  []string                   `json:"columns,omitempty"`  // of the state table, see Columns; empty means all that the model provides except ranks
	State    string                     `json:"state,omitempty"`    // name of the recurrent state; empty means the model's first
	Window   bool                       `json:"window,omitempty"`   // statistics of the inputs held by a short convolution or token shift, per layer
	Channels []int                      `json:"channels,omitempty"` // layers for which x, B and C are written channel by channel
	Entries  []Entry                    `json:"entries,omitempty"`  // single entries of h_t, in every layer
	Beyond   int                        `json:"beyond,omitempty"`   // training length in tokens; shorter or equal prompts are an error
	Batch    int                        `json:"batch,omitempty"`    // prompts of equal length per batch; 0 means 1
	Exact    bool                       `json:"exact,omitempty"`    // float64 on every device, instead of kernels that follow the states in float32
	Controls map[string]*tensors.Tensor `json:"-"`
	Progress func(done, total int64)    `json:"-"` // tokens
}

// Entry addresses one entry of a head's state.
type Entry struct {
	Head    int `json:"head"`
	Channel int `json:"channel"` // index on the value axis
	State   int `json:"state"`   // index on the key axis
}

// Columns of the state table besides prompt, position, tokens, layer and head. A row covers the tokens position … position + tokens − 1.
// Means over these tokens: mean, variance (population), rms and norm (Frobenius) of the entries of h_t, delta, log_alpha, and the norms of
// x_t, B_t, C_t and of the write Δ_t x_t B_tᵀ. Values after the last token: absmax, the largest magnitude in h_t; top_share, the share of
// ‖h_t‖² in the top ⌈N/16⌉ of the N state channels; log_retention, the sum of log α since the first token, and retention, its exponential.
// Token i is retained at t by the factor exp(log_retention(t) − log_retention(i)). If the decay is finer than a head, log_alpha is its mean
// over the head.
//
// Ranks of h_t as a matrix with singular values σ, after the last token, computed only if requested by name: effective_rank,
// exp(−Σ p log p) with p = σ / Σσ (Roy and Vetterli 2007); stable_rank, Σσ² / σ₁²; numerical_rank, the number of σ above σ₁/100. All are 0
// for a zero state.
var Columns = append([]string{"mean", "variance", "rms", "norm", "absmax", "top_share", "delta", "log_alpha", "log_retention",
	"retention", "x_norm", "b_norm", "c_norm", "write_norm"}, rankColumns...)

var (
	meanColumns = []string{"mean", "variance", "rms", "norm", "delta", "log_alpha", "x_norm", "b_norm", "c_norm", "write_norm"}
	endColumns  = []string{"absmax", "top_share"}
	rankColumns = []string{"effective_rank", "stable_rank", "numerical_rank"}
)

const (
	longestReduced = 2048 // maximum number of tokens per reduction on the device
	chunk          = 64   // of the recurrence: the cost of the recurrence and of the moments grows with it
)

// filled returns the config with defaults, and with the columns that the model provides.
func (c Config) filled(m lm.Model) Config {
	if c.Bucket == 0 {
		c.Bucket = 64
	}
	if c.Batch == 0 {
		c.Batch = 1
	}
	if len(c.Columns) == 0 {
		for _, name := range Columns {
			if !slices.Contains(rankColumns, name) && c.shown(m, name) == nil {
				c.Columns = append(c.Columns, name)
			}
		}
	}
	return c
}

// every is the number of tokens per reduction on the device: the largest divisor of the bucket that fits.
func (c Config) every() int {
	for d := min(c.Bucket, longestReduced); d > 1; d-- {
		if c.Bucket%d == 0 {
			return d
		}
	}
	return 1
}

// Validate returns an error that names the field that is out of range for the model.
func (c Config) Validate(m lm.Model) error {
	c = c.filled(m)
	if c.Bucket < 1 {
		return fmt.Errorf("trace: bucket is %d, want at least 1 token", c.Bucket)
	}
	if c.Bucket > longestReduced && c.every() < 16 {
		return fmt.Errorf("trace: bucket %d has no divisor between 16 and %d; take a multiple of 64", c.Bucket, longestReduced)
	}
	if c.Beyond < 0 {
		return fmt.Errorf("trace: training length is %d, want 0 (not checked) or more tokens", c.Beyond)
	}
	if c.Batch < 1 {
		return fmt.Errorf("trace: batch is %d, want at least 1", c.Batch)
	}
	d, err := dimsOf(m, c.State) // before the columns, which depend on it
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	seen := map[string]bool{}
	for _, name := range c.Columns {
		if !slices.Contains(Columns, name) {
			return fmt.Errorf("trace: column %q is not known; choose from %s", name, strings.Join(Columns, ", "))
		}
		if seen[name] {
			return fmt.Errorf("trace: column %q is asked for twice", name)
		}
		if err := c.shown(m, name); err != nil {
			return fmt.Errorf("trace: column %q: %w", name, err)
		}
		seen[name] = true
	}
	if len(c.Channels) > 0 {
		if err := lm.CheckNames(m, []string{lm.Values, lm.Keys, lm.Queries}, nil); err != nil {
			return fmt.Errorf("trace: channels: %w", err)
		}
	}
	if _, err := windowOf(m); c.Window && err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	for _, l := range c.Channels {
		if l < 0 || l >= m.Layers() {
			return fmt.Errorf("trace: layer %d does not exist, the model has layers 0 … %d", l, m.Layers()-1)
		}
	}
	for _, e := range c.Entries {
		for _, f := range []struct {
			name         string
			value, below int
		}{{"head", e.Head, d.heads}, {"channel", e.Channel, d.values}, {"state", e.State, d.keys}} {
			if f.value < 0 || f.value >= f.below {
				return fmt.Errorf("trace: entry %d/%d/%d: %s %d does not exist, want 0 … %d", e.Head, e.Channel, e.State, f.name, f.value, f.below-1)
			}
		}
	}
	return nil
}

// shown returns an error if the model lacks a probe that the column needs.
func (c Config) shown(m lm.Model, column string) error {
	return lm.CheckNames(m, c.named(m, probesOf(column)), nil)
}

// named translates probe names to those of the traced state.
func (c Config) named(m lm.Model, probes []string) (names []string) {
	for _, name := range probes {
		if name == lm.Sum || name == lm.Squares || name == lm.States {
			name = lm.Of(name, m, c.State)
		}
		names = append(names, name)
	}
	return names
}

// dims holds the sizes of a recurrent state.
type dims struct {
	layers, heads, values, keys int
	spec                        lm.Spec
}

func dimsOf(m lm.Model, state string) (dims, error) {
	spec, err := lm.StateOf(m, state)
	if err != nil {
		return dims{}, err
	}
	if spec.Role != lm.Recurrent {
		return dims{}, fmt.Errorf("state %s is a %s, not a recurrent one", spec.Name, spec.Role)
	}
	heads, values, keys := spec.Matrices()
	return dims{m.Layers(), heads, values, keys, spec}, nil
}

// windowOf returns the first state that holds past inputs.
func windowOf(m lm.Model) (lm.Spec, error) {
	for _, s := range m.State(1) {
		if (s.Role == lm.Convolution || s.Role == lm.Shift) && lm.HasProbe(m, lm.Of(lm.Inputs, m, s.Name)) {
			return s, nil
		}
	}
	return lm.Spec{}, fmt.Errorf("%s shows no past inputs of a short convolution or a token shift", m.Name())
}

// check validates model, config and prompts before a trace.
func check(r *lm.Runner, c Config, probes []prompt.Probe) error {
	if err := c.Validate(r.Weights.Model); err != nil {
		return err
	}
	if r.Weights.Members > 1 {
		return fmt.Errorf("trace: the weights hold %d members; trace one, see lm.Weights.Select", r.Weights.Members)
	}
	if len(probes) == 0 {
		return fmt.Errorf("trace: no prompt")
	}
	names := map[string]bool{}
	for _, p := range probes {
		if len(p.IDs) == 0 {
			return fmt.Errorf("trace: prompt %q has no tokens", p.Name)
		}
		if len(p.IDs) <= c.Beyond {
			return fmt.Errorf("trace: prompt %q has %d tokens, not more than the training length %d: nothing beyond it would be seen; take longer prompts", p.Name, len(p.IDs), c.Beyond)
		}
		if names[p.Name] {
			return fmt.Errorf("trace: two prompts are called %q", p.Name)
		}
		names[p.Name] = true
	}
	return nil
}

// ParseEntries parses entries of the form HEAD/CHANNEL/STATE.
func ParseEntries(texts []string) (all []Entry, err error) {
	for _, text := range texts {
		var e Entry
		var rest string
		if n, _ := fmt.Sscanf(text, "%d/%d/%d%s", &e.Head, &e.Channel, &e.State, &rest); n != 3 {
			return nil, fmt.Errorf("trace: entry %q: want HEAD/CHANNEL/STATE, such as 2/0/17", text)
		}
		all = append(all, e)
	}
	return all, nil
}
