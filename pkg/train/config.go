// Package train fits the models of package lm to streams of tokens. Several members (seeds, learning rates, initial
// states) of one shape train side by side in one graph. The optimiser is AdamW (arXiv 1711.05101) with the decay mask of
// the official code and clipping by the global norm,
//
//	g ← g·min(1, clip/(‖g‖+1e-6)),  p ← p·(1 − lr·wd) − lr·m̂/(√v̂+eps),
//
// in float32, and the state that a sequence starts from is a policy of its own, independent of the training length.
package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	_ "stuffed/pkg/arch" // configurations name architectures
	"stuffed/pkg/identity"
	"stuffed/pkg/lm"
)

// Config is one training run. Lists multiply: every policy with every learning rate with every seed is a member.
type Config struct {
	Model lm.Any     `json:"model"`
	Data  DataConfig `json:"data"`

	TrainLength int      `json:"train_length"` // tokens of a sequence, T_train
	BatchTokens int      `json:"batch_tokens"` // per step and member
	Accumulate  int      `json:"accumulate"`   // micro-batches per step
	Steps       int64    `json:"steps"`
	Stages      []Stage  `json:"stages,omitempty"` // replaces train_length and steps
	Policy      []string `json:"policy"`           // see Policies
	Chain       int      `json:"chain"`            // carried, passed: sequences before the state starts anew, 0 for no limit
	KeepAcross  bool     `json:"keep_across"`      // carried: documents do not reset the state
	InitStd     float64  `json:"init_std"`         // gaussian: standard deviation of every entry of the state
	Init        string   `json:"init"`             // model folder or snapshot to continue from, empty for new weights
	Seeds       []int64  `json:"seeds"`            // of weights and data

	LR          []float64 `json:"lr"`       // peak
	Schedule    string    `json:"schedule"` // wsd (warm-up, stable, linear decay), cosine or constant
	Warmup      int64     `json:"warmup"`   // steps
	Decay       float64   `json:"decay"`    // wsd: share of the steps that decay
	Floor       float64   `json:"floor"`    // share of the peak at the end
	Beta1       float64   `json:"beta1"`
	Beta2       float64   `json:"beta2"`
	Eps         float64   `json:"eps"`
	WeightDecay float64   `json:"weight_decay"`
	DecayAll    bool      `json:"decay_all,omitempty" hash:"unless-default"` // of norms, biases and gates too, as AdamW without groups of parameters
	Clip        float64   `json:"clip"`                                      // global norm of each member, 0 for none
	SkipLimit   int       `json:"skip_limit"`                                // steps in a row with NaN or infinite gradients before training stops

	NormLimit NormLimit `json:"norm_limit,omitzero" hash:"unless-default"` // of the states while training

	Compute      string `json:"compute"`        // of the products: f32 or bf16
	Save         string `json:"save"`           // what layers keep for the backward: none, proj, all
	Unroll       bool   `json:"unroll"`         // no loop over layers: faster for a few layers, slower to compile
	LossPieces   int    `json:"loss_pieces"`    // pieces of the sequence in which logits exist, 0 to choose
	StepsPerCall int    `json:"steps_per_call"` // optimiser steps in one call of the device

	Devices int `json:"devices,omitempty" hash:"unless-default"` // that share the sequences of a step, 0 for one

	Log       LogConfig      `json:"log"`
	Valid     ValidConfig    `json:"valid"`
	Snapshots SnapshotConfig `json:"snapshots"`
	Export    ExportConfig   `json:"export"`
	Output    string         `json:"output"` // folder of the run
}

// NormLimit is training with h ← h·min(1, Norm/‖h‖) after every Every tokens, ‖h‖ the Frobenius norm of a head's state (method
// 2 of arXiv 2410.07145 as part of the model; see lm.Variant). Zero is training without. Such a model is to be read with its limit
// too, see Config.Reader.
type NormLimit struct {
	Norm  float64 `json:"norm"`
	Every int     `json:"every"` // tokens
}

func (l NormLimit) validate() error {
	if l == (NormLimit{}) {
		return nil
	}
	if !(l.Norm > 0) || math.IsInf(l.Norm, 0) || l.Every < 1 {
		return fmt.Errorf("config: norm_limit.norm = %g and norm_limit.every = %d must be above 0 and at least 1 token; leave both out to train without a limit", l.Norm, l.Every)
	}
	return nil
}

// Stage is a stretch of steps with a training length of its own.
type Stage struct {
	TrainLength int   `json:"train_length"`
	Steps       int64 `json:"steps"`
}

// LogConfig says what the metrics hold.
type LogConfig struct {
	Every int64 `json:"every"` // steps per row; losses are means over them
	Norms bool  `json:"norms"` // gradient and parameter norms of every layer
}

// ValidConfig is validation by position on data that training never sees.
type ValidConfig struct {
	Every     int64 `json:"every"`     // steps, 0 for the end only, −1 for never
	Length    int   `json:"length"`    // tokens of a sequence, 0 for 8 × train_length
	Sequences int   `json:"sequences"` // of each member
}

// SnapshotConfig says when the whole state of training is saved and which snapshots stay.
type SnapshotConfig struct {
	Every  int64 `json:"every"`  // steps, 0 for the end only
	Keep   int   `json:"keep"`   // newest that stay
	Ladder bool  `json:"ladder"` // also keep a log-spaced ladder
}

// ExportConfig says which weights are written as Hugging Face folders.
type ExportConfig struct {
	Ladder int    `json:"ladder"` // log-spaced steps before the end that are exported too
	First  int64  `json:"first"`  // first of them, 0 for a thirty-second of the steps
	DType  string `json:"dtype"`  // F32, BF16 or F16
}

// DefaultConfig is the recall stream of two layers with the official optimiser settings.
func DefaultConfig() Config {
	return Config{
		Model: defaultModel(), Data: DataConfig{Kind: "recall", Keys: 3840, Values: 256, Gap: 32, Tokenizer: "bytes", Cache: ".cache/tokens"},
		TrainLength: 64, BatchTokens: 65536, Accumulate: 1, Steps: 2100, Policy: []string{"zero"}, InitStd: 1, Seeds: []int64{0},
		LR: []float64{2e-3}, Schedule: "wsd", Warmup: 200, Decay: 0.2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1,
		Clip: 1, SkipLimit: 10, Compute: "f32", Save: "all", StepsPerCall: 1, Log: LogConfig{Every: 10}, Valid: ValidConfig{Sequences: 8},
		Snapshots: SnapshotConfig{Keep: 2}, Export: ExportConfig{DType: "F32"}, Output: "out/train",
	}
}

// defaultModel is that of the architecture which configurations need not name.
func defaultModel() lm.Any {
	a, err := lm.ArchitectureOf("")
	if err != nil {
		return lm.Any{}
	}
	return lm.Any{Config: a.Default()}
}

// Members lists the models of the run.
func (c Config) Members() []Member {
	var all []Member
	for _, p := range c.Policy {
		for _, lr := range c.LR {
			for _, seed := range c.Seeds {
				all = append(all, Member{Policy: p, LR: lr, Seed: seed})
			}
		}
	}
	return all
}

// Member is one model of a run.
type Member struct {
	Policy string  `json:"policy"`
	LR     float64 `json:"lr"`
	Seed   int64   `json:"seed"`
}

// Name is a folder name.
func (r Member) Name() string { return fmt.Sprintf("%s-lr%g-seed%d", r.Policy, r.LR, r.Seed) }

// stages is the run as stages.
func (c Config) stages() []Stage {
	if len(c.Stages) > 0 {
		return c.Stages
	}
	return []Stage{{c.TrainLength, c.Steps}}
}

// Total is the number of steps of all stages.
func (c Config) Total() (steps int64) {
	for _, s := range c.stages() {
		steps += s.Steps
	}
	return
}

// rows is the number of sequences of a step and member.
func (c Config) rows(length int) int { return c.BatchTokens / length }

// Validate names the first field out of range.
func (c Config) Validate() error {
	if c.Model.Config == nil {
		return fmt.Errorf("config: model is missing")
	}
	if err := c.Model.Validate(); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if err := c.Data.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		name          string
		value, lo, hi float64
	}{
		{"accumulate", float64(c.Accumulate), 1, 1 << 16}, {"devices", float64(c.Devices), 0, 1 << 16}, {"chain", float64(c.Chain), 0, 1 << 20}, {"init_std", c.InitStd, 0, 1e6},
		{"warmup", float64(c.Warmup), 0, 1e12}, {"decay", c.Decay, 0, 1}, {"floor", c.Floor, 0, 1}, {"beta1", c.Beta1, 0, 0.9999999},
		{"beta2", c.Beta2, 0, 0.9999999}, {"eps", c.Eps, 1e-30, 1}, {"weight_decay", c.WeightDecay, 0, 10}, {"clip", c.Clip, 0, 1e9},
		{"skip_limit", float64(c.SkipLimit), 0, 1e6}, {"loss_pieces", float64(c.LossPieces), 0, 1 << 20},
		{"steps_per_call", float64(c.StepsPerCall), 1, 1 << 16}, {"log.every", float64(c.Log.Every), 1, 1e9},
		{"valid.every", float64(c.Valid.Every), -1, 1e12}, {"valid.length", float64(c.Valid.Length), 0, 1 << 30},
		{"valid.sequences", float64(c.Valid.Sequences), 1, 1 << 20}, {"snapshots.every", float64(c.Snapshots.Every), 0, 1e12},
		{"snapshots.keep", float64(c.Snapshots.Keep), 1, 1e6}, {"export.ladder", float64(c.Export.Ladder), 0, 1000},
		{"export.first", float64(c.Export.First), 0, 1e12},
	} {
		if !(f.value >= f.lo && f.value <= f.hi) {
			return fmt.Errorf("config: %s = %g is outside %g … %g", f.name, f.value, f.lo, f.hi)
		}
	}
	for _, f := range []struct {
		name, value string
		allowed     []string
	}{
		{"schedule", c.Schedule, []string{"wsd", "cosine", "constant"}}, {"compute", c.Compute, []string{"f32", "bf16"}},
		{"save", c.Save, []string{"none", "proj", "all"}}, {"export.dtype", c.Export.DType, []string{"F32", "BF16", "F16"}},
	} {
		if !slices.Contains(f.allowed, f.value) {
			return fmt.Errorf("config: %s = %q is unknown; choose one of %s", f.name, f.value, strings.Join(f.allowed, ", "))
		}
	}
	if len(c.Policy) == 0 || len(c.LR) == 0 || len(c.Seeds) == 0 {
		return fmt.Errorf("config: policy, lr and seeds must each name at least one value")
	}
	for _, lr := range c.LR {
		if !(lr > 0) || math.IsInf(lr, 0) {
			return fmt.Errorf("config: lr = %g must be above 0", lr)
		}
	}
	if err := c.NormLimit.validate(); err != nil {
		return err
	}
	seen := map[Member]bool{}
	for _, r := range c.Members() {
		if err := checkPolicy(r.Policy, c); err != nil {
			return err
		}
		if seen[r] {
			return fmt.Errorf("config: member %s is listed twice", r.Name())
		}
		seen[r] = true
	}
	for i, s := range c.stages() {
		rows := c.BatchTokens / max(s.TrainLength, 1)
		switch {
		case s.TrainLength < 2 || s.TrainLength > 1<<24:
			return fmt.Errorf("config: train_length = %d of stage %d is outside 2 … %d", s.TrainLength, i, 1<<24)
		case s.Steps < 1:
			return fmt.Errorf("config: steps = %d of stage %d must be at least 1", s.Steps, i)
		case rows > 0 && c.Devices > 1 && rows%(c.Accumulate*c.Devices) != 0:
			return fmt.Errorf("config: devices = %d does not divide the %d sequences of a micro-batch (batch_tokens = %d, train_length = %d, accumulate = %d); "+
				"choose a divisor, or another batch_tokens", c.Devices, rows/c.Accumulate, c.BatchTokens, s.TrainLength, c.Accumulate)
		case rows < 1 || c.BatchTokens%s.TrainLength != 0:
			return fmt.Errorf("config: batch_tokens = %d must be a multiple of train_length = %d", c.BatchTokens, s.TrainLength)
		case rows%c.Accumulate != 0:
			return fmt.Errorf("config: accumulate = %d must divide the %d sequences of a step", c.Accumulate, rows)
		case c.LossPieces > 0 && s.TrainLength%c.LossPieces != 0:
			return fmt.Errorf("config: loss_pieces = %d must divide train_length = %d", c.LossPieces, s.TrainLength)
		}
	}
	return nil
}

// essence is the configuration without the fields that only say what is written down, and where.
func (c Config) essence() Config {
	c.Output, c.Log, c.Valid, c.Snapshots, c.Export, c.StepsPerCall = "", LogConfig{}, ValidConfig{}, SnapshotConfig{}, ExportConfig{}, 0
	c.Data.Cache, c.Devices = "", 0
	return c
}

// Hash identifies what is computed.
func (c Config) Hash() string { return identity.Hash(c.essence(), DefaultConfig().essence()) }
