package eval

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/plaintext"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// Passkey asks a model for keys hidden in texts of given lengths at given depths. It uses the task passkey or, for the variant retrieval
// (Queries of Keys names with Values numbers each), niah-multikey-1. Lengths count the tokens before the answer.
type Passkey struct {
	Variant  string    `json:"variant"`
	Keys     int       `json:"keys,omitempty"`
	Values   int       `json:"values,omitempty"`
	Queries  int       `json:"queries,omitempty"`
	Lengths  []int     `json:"-"` // tokens
	Depths   []float64 `json:"-"` // 0: needle at the start of the haystack, 1: at its end
	Trials   int       `json:"-"` // per length and depth
	Seed     int64     `json:"seed"`
	Generate int       `json:"generate"`           // tokens to generate greedily; 0: those of the answer and two more
	Haystack string    `json:"haystack,omitempty"` // file with a text of your own to hide the keys in; empty: the variant's noise

	Batch    int                        `json:"-"` // prompts of one length per batch; 0: 16
	Controls map[string]*tensors.Tensor `json:"-"`
	Progress func(done, total int64)    `json:"-"` // tokens of the remaining questions
}

const retrieval = "retrieval"

// PasskeyVariants returns the names of the variants.
func PasskeyVariants() []string { return []string{"paper", "infinitebench", "longlora", retrieval} }

// Validate returns an error that names the field that is out of range.
func (p Passkey) Validate() error {
	if !slices.Contains(PasskeyVariants(), p.Variant) {
		return fmt.Errorf("passkey: variant %q is not one of %s", p.Variant, strings.Join(PasskeyVariants(), ", "))
	}
	if len(p.Lengths) == 0 || len(p.Depths) == 0 || p.Trials < 1 || p.Trials > 1<<20 {
		return fmt.Errorf("passkey: %d lengths, %d depths and %d trials, want 1 or more of each", len(p.Lengths), len(p.Depths), p.Trials)
	}
	for _, n := range p.Lengths {
		if n < 1 {
			return fmt.Errorf("passkey: length is %d tokens, want 1 or more", n)
		}
	}
	for _, d := range p.Depths {
		if err := (task.Place{Depth: d}).Validate(); err != nil {
			return fmt.Errorf("passkey: %w", err)
		}
	}
	if p.Variant == retrieval && (p.Keys < 1 || p.Values < 1 || p.Queries < 1) {
		return fmt.Errorf("passkey: keys is %d, values %d and queries %d, want 1 or more of each", p.Keys, p.Values, p.Queries)
	}
	if p.Generate < 0 || p.Batch < 0 {
		return fmt.Errorf("passkey: generate is %d and batch %d, want 0 or more of each", p.Generate, p.Batch)
	}
	return nil
}

// Tasks opens the task at every length.
func (p Passkey) Tasks(enc datasets.Encoder) (all []*task.Task, err error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	form := task.Form{Question: true}
	if p.Haystack != "" {
		text, err := plaintext.Read(p.Haystack)
		if err == nil {
			text, err = plaintext.Lines(text)
		}
		if err != nil {
			return nil, fmt.Errorf("haystack: %w", err)
		}
		if form.Haystack = string(text); strings.TrimSpace(form.Haystack) == "" {
			return nil, fmt.Errorf("haystack: %s: the text is empty", filepath.Base(p.Haystack))
		}
	}
	name, params := "passkey", map[string]any{"variant": p.Variant, "wording": "full"}
	if p.Variant == retrieval {
		name, params = "niah-multikey-1", map[string]any{"keys": p.Keys, "values": p.Values, "queries": p.Queries, "wording": "full"}
	}
	for _, length := range p.Lengths {
		one, err := form.Open(name, length, params, enc)
		if err != nil {
			return nil, fmt.Errorf("passkey: %w", err)
		}
		all = append(all, one)
	}
	return all, nil
}

// Places returns the places of the questions at every length.
func (p Passkey) Places() (all []task.Place) {
	for _, depth := range p.Depths {
		for trial := range p.Trials {
			all = append(all, task.Place{Depth: depth, Trial: trial})
		}
	}
	return all
}

// kind is the variant or, for retrieval, the usual name of the task: single, multikey, multivalue or multiquery.
func (p Passkey) kind() string {
	switch {
	case p.Variant != retrieval:
		return p.Variant
	case p.Queries > 1:
		return "multiquery"
	case p.Values > 1:
		return "multivalue"
	case p.Keys > 1:
		return "multikey"
	}
	return "single"
}

// Prompts passes the questions to put one at a time, each up to its answer.
func (p Passkey) Prompts(enc datasets.Encoder, put func(task.Prompt) error) error {
	tasks, err := p.Tasks(enc)
	if err != nil {
		return err
	}
	for _, one := range tasks {
		for _, at := range p.Places() {
			q, err := one.Prompt(p.Seed, at)
			if err != nil {
				return fmt.Errorf("passkey: %w", err)
			}
			q.Variant = p.kind()
			if err := put(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// Table asks every question and returns one PasskeyRow for each.
func (p Passkey) Table(ctx context.Context, r *lm.Runner, enc datasets.Encoder) (*table.Table, error) {
	all := table.Of[PasskeyRow](nil)
	return all, p.run(ctx, r, enc, map[string]bool{}, all.Append)
}

// rowKey identifies a row within one output.
func rowKey(length int, depth float64, trial int, seed int64) string {
	return fmt.Sprint(length, "/", depth, "/", trial, "/", seed)
}

// Write writes the same table to a Parquet or CSV file, batch by batch. Questions already answered in the file or by an interrupted run are
// skipped, so a grid can also be extended.
func (p Passkey) Write(ctx context.Context, r *lm.Runner, enc datasets.Encoder, path string) error {
	w, former, err := table.Resume(path, table.Of[PasskeyRow](nil))
	if err != nil {
		return err
	}
	defer w.Abort()
	done := map[string]bool{}
	rows, err := table.Rows[PasskeyRow](former)
	if err != nil {
		return err
	}
	for _, row := range rows {
		done[rowKey(row.Length, row.Depth, row.Trial, row.Seed)] = true
	}
	if err := p.run(ctx, r, enc, done, w.Append); err != nil {
		return err
	}
	return w.Close()
}

func (p Passkey) run(ctx context.Context, r *lm.Runner, enc datasets.Encoder, done map[string]bool, put func(*table.Table) error) error {
	if r.Weights.Members > 1 {
		return fmt.Errorf("passkey: the weights hold %d models; choose one with Weights.Select", r.Weights.Members)
	}
	if vocab := r.Weights.Model.Vocab(); enc.Vocab() > vocab {
		return fmt.Errorf("passkey: tokenizer %s has %d ids, the model only %d", enc.Name(), enc.Vocab(), vocab)
	}
	tasks, err := p.Tasks(enc)
	if err != nil {
		return err
	}
	places := map[int64]task.Place{}
	for _, at := range p.Places() {
		places[at.Index()] = at
	}
	test := task.Test{Tasks: tasks, Places: p.Places(), Seed: p.Seed, Batch: p.Batch, Generate: true, Controls: p.Controls, Progress: p.Progress}
	if test.Batch == 0 {
		test.Batch = 16
	}
	test.Tokens = func(answer int) int {
		if p.Generate > 0 {
			return p.Generate
		}
		return answer + 2
	}
	test.Skip = func(one *task.Task, index int64) bool {
		return done[rowKey(one.Length, places[index].Depth, places[index].Trial, p.Seed)]
	}
	return test.Each(ctx, r, func(t *table.Table) error {
		rows, err := passkeyRows(p.kind(), places, t)
		if err != nil {
			return err
		}
		return put(rows)
	})
}
