package study

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
	"stuffed/pkg/tokenizer"
	"stuffed/pkg/train"
)

// Config holds everything that determines a row's numbers.
type Config struct {
	Train    train.Config `json:"train"`               // on top of train.DefaultConfig; its output and validation settings are ignored
	Tokens   int64        `json:"tokens,omitempty"`    // per member; replaces train.steps
	GapShare float64      `json:"gap_share,omitempty"` // pairs per token of training length; replaces train.data.gap
	Evaluate Evaluate     `json:"evaluate"`
	Keep     []string     `json:"keep,omitempty"` // members whose weights are saved, as "zero-1" (policy-seed), or "all"
}

// Evaluate configures how far and how often a row is measured.
type Evaluate struct {
	Times     int       `json:"times"`     // evaluated length, in training lengths
	Sequences int       `json:"sequences"` // per member
	Traced    int       `json:"traced"`    // number of sequences whose states are also recorded, for the collapse detector
	Shares    []float64 `json:"shares"`    // fractions of training after which losses are measured; the end is always measured

	Length  int           `json:"length,omitempty"`  // evaluated length in tokens, overrides times
	Prompts *PromptConfig `json:"prompts,omitempty"` // further prompts that a text model reads at the end of training

	Tasks []TaskTest `json:"tasks,omitempty" hash:"unless-default"` // tasks to evaluate after each share and at the end; see [Trainer]
	Stop  float64    `json:"stop,omitempty" hash:"unless-default"`  // tasks: accuracy of the best member at which training stops early, 0 for never
}

// PromptConfig lists prompts that the members of a row read up to Evaluate.Length; see [Prompts].
type PromptConfig struct {
	Kinds     []string `json:"kinds"`     // documents, newlines, constant:ID, repeated, shuffled
	Traced    []string `json:"traced"`    // kinds whose states are also recorded
	Split     string   `json:"split"`     // of the corpus: test or valid
	Sequences int      `json:"sequences"` // per kind and member
	Lead      int      `json:"lead"`      // tokens of a document before a constant or repeated prompt; the first sequence has none
}

// resolve replaces relative values by absolute ones, so that equivalent rows have equal hashes.
func (c *Config) resolve() {
	t := &c.Train
	if c.GapShare > 0 {
		t.Data.Gap, c.GapShare = max(int(c.GapShare*float64(t.TrainLength)), 1), 0
	}
	if c.Tokens > 0 && t.BatchTokens > 0 {
		t.Steps, c.Tokens = c.Tokens/int64(t.BatchTokens), 0
	}
	if t.Model.Config != nil && t.Model.Sizes().Vocab == 0 {
		vocab := t.Data.Keys + t.Data.Values
		switch t.Data.Kind {
		case "corpus":
			vocab = (tokenizer.Bytes().Vocab() + 15) / 16 * 16
		case "task":
			vocab = t.Data.TaskVocab()
		}
		t.Model.Config = t.Model.WithVocab(vocab)
	}
	t.Output, t.Valid, t.Snapshots, t.Log = "", train.ValidConfig{Every: -1, Sequences: 1}, train.SnapshotConfig{Keep: 1}, train.LogConfig{Every: 1}
	c.Evaluate.Shares = slices.DeleteFunc(slices.Clone(c.Evaluate.Shares), func(s float64) bool { return s == 1 })
	slices.Sort(c.Evaluate.Shares)
}

// Validate returns an error that names the first field out of range.
func (c Config) Validate() error {
	if err := c.Train.Validate(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if len(c.Train.Stages) > 0 {
		return fmt.Errorf("train.stages: a row has one training length; give train_length and tokens")
	}
	if c.Train.Data.Kind == "task" {
		if err := c.validateTasks(); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name          string
		value, lo, hi int
	}{
		{"the evaluated length in training lengths", c.Length() / max(c.Train.TrainLength, 1), 2, 1 << 16}, {"evaluate.sequences", c.Evaluate.Sequences, 1, 1 << 16},
		{"evaluate.traced", c.Evaluate.Traced, 1, c.Evaluate.Sequences}, {"members", len(c.Train.Members()), 1, 256},
	} {
		if f.value < f.lo || f.value > f.hi {
			return fmt.Errorf("%s = %d is outside %d … %d", f.name, f.value, f.lo, f.hi)
		}
	}
	if err := c.Evaluate.Prompts.validate(c); err != nil {
		return err
	}
	for _, s := range c.Evaluate.Shares {
		if !(s > 0 && s < 1) {
			return fmt.Errorf("evaluate.shares holds %g, want shares between 0 and 1", s)
		}
	}
	if slices.Contains(c.Train.Policy, "learned") {
		return fmt.Errorf("train.policy: learned states are not measured by studies, which start from zeros")
	}
	names := map[string]bool{"all": true}
	for _, r := range c.Train.Members() {
		names[memberName(r)] = true
	}
	for _, k := range c.Keep {
		if !names[k] {
			return fmt.Errorf("keep holds %q, want all or policy-seed of a member", k)
		}
	}
	return nil
}

func memberName(r train.Member) string { return fmt.Sprintf("%s-%d", r.Policy, r.Seed) }

func (c Config) keeps(r train.Member) bool {
	return slices.Contains(c.Keep, "all") || slices.Contains(c.Keep, memberName(r))
}

// Length is the evaluated length in tokens.
func (c Config) Length() int {
	if c.Evaluate.Length > 0 {
		return c.Evaluate.Length
	}
	return c.Evaluate.Times * c.Train.TrainLength
}

// essence is the part of a Config that is hashed.
type essence struct {
	Train    string
	Evaluate Evaluate
	Keep     []string
}

// watchedTimes limits how far states are recorded, in training lengths, if the evaluated length is given in tokens.
const watchedTimes = 64

// Watched is the number of tokens over which states are recorded.
func (c Config) Watched() int {
	if c.Evaluate.Length > 0 {
		return min(watchedTimes*c.Train.TrainLength, c.Length())
	}
	return c.Length()
}

// Hash identifies a row by everything that determines its numbers.
func (c Config) Hash() string {
	return identity.Hash(essence{c.Train.Hash(), c.Evaluate, c.Keep}, essence{})
}

// Trained is the number of training tokens, summed over members.
func (c Config) Trained() int64 {
	return c.Train.Steps * int64(c.Train.BatchTokens*len(c.Train.Members()))
}

// Evaluated is the number of evaluated tokens, summed over members.
func (c Config) Evaluated() int64 {
	sequences := (len(c.Evaluate.Shares)+1)*c.Evaluate.Sequences + c.Evaluate.Traced
	if p := c.Evaluate.Prompts; p != nil {
		sequences += p.Sequences * len(p.Kinds)
	}
	return int64(len(c.Train.Members()) * c.Length() * sequences)
}

// Work is the row's number of floating-point operations, see lm.Operations and train.Config.Shares; 0 if the model cannot be built.
func (c Config) Work() float64 {
	m, err := c.Train.Model.New()
	if err != nil {
		return 0
	}
	read, head, err := c.Train.Shares()
	if err != nil {
		return 0
	}
	forward, trained := lm.Operations(m)
	trained = trained*read - 3*lm.HeadOperations(m)*(read-head)
	return trained*float64(c.Trained()) + forward*float64(c.Evaluated())
}

func (c Config) label() string {
	t, m := c.Train, c.Train.Model.Sizes()
	label := fmt.Sprintf("N %d, width %d, heads %d, T %d, %s × %d seeds", m.State, m.Width, m.Heads, t.TrainLength, strings.Join(t.Policy, "+"), len(t.Seeds))
	if t.Data.Kind == "task" && len(t.LR) == 1 { // with tasks, each learning rate is a row of its own
		label += fmt.Sprintf(", rate %.3g", t.LR[0])
	}
	if a, err := lm.ArchitectureOf(t.Model.Architecture()); err == nil && !a.Unnamed {
		label = a.Name + ", " + label
	}
	return label
}
