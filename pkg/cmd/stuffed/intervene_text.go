package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"stuffed/datasets/prompt"
	"stuffed/pkg/intervene"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// ownText are the flags of an intervention on one's own text instead of the recall stream.
type ownText struct {
	texts     prompt.Texts
	length    string
	bucket    int
	tokenizer string
	patch     string // another text, whose heads are put in place of the own text's
}

func (o *ownText) add(f *pflag.FlagSet) {
	f.StringVar(&o.texts.Corpus, "input", "", "own text instead of the recall stream: a .txt or .jsonl file or a folder of such, or embedded")
	f.StringVar(&o.texts.Split, "split", "", "--input: train, valid, test or all (default: test of the embedded corpus, all of another)")
	f.StringVar(&o.length, "length", "0", "--input: tokens of a sequence, such as 64K; 0: whole documents")
	f.IntVar(&o.texts.Count, "count", 0, "--input: documents at most (0: all)")
	f.IntVar(&o.bucket, "bucket", 1, "--input: tokens averaged into one row; 1 writes every token with its text")
	f.StringVar(&o.patch, "patch", "", "--input: a second text; at each token the heads do (x and Δ) what they do at the same position of it")
	f.StringVar(&o.tokenizer, "tokenizer", "", "--input: bytes, or the path of a tokenizer.json (default: the model's own)")
}

// run writes the loss of the model as it is and changed, token by token: under the plan, or with heads patched.
func (o ownText) run(ctx context.Context, s suiteFlags, p intervene.Plan, heads []intervene.Head, output string) error {
	if len(s.dirs) != 1 {
		return fmt.Errorf("--model: %d models, --input takes one", len(s.dirs))
	}
	if err := table.CheckPath(output); err != nil {
		return err
	}
	var err error
	if o.texts.Length, err = prompt.ParseLength(o.length); err != nil {
		return err
	}
	o.texts.Kind = "documents"
	m, err := models.OpenFor(s.dirs[0], s.backend, o.tokenizer, o.texts.Length*max(o.texts.Count, 1))
	if err != nil {
		return err
	}
	m.Piece = max(s.piece, 1)
	inputs, options := ownFiles(o.texts), []any{"intervene", p, o.length, o.texts.Count, o.bucket}
	var t *table.Table
	if o.patch != "" {
		from := o.texts
		from.Corpus = o.patch
		inputs, options = append(inputs, ownFiles(from)...), append(options, "patch", heads)
		t, err = intervene.PatchTokens(ctx, m, o.texts, from, heads...)
	} else {
		t, err = intervene.OnText(ctx, m, o.texts, p, max(o.bucket, 1))
	}
	if err != nil {
		return err
	}
	note, err := m.Manifest(options, nil, inputs...)
	if err != nil {
		return err
	}
	if err := note.Start(output); err != nil {
		return err
	}
	if err := t.Write(output); err != nil {
		return err
	}
	return note.Finish(output)
}

// ownFiles are the user's files among the sources of texts.
func ownFiles(t prompt.Texts) []string {
	if t.OwnCorpus() {
		return []string{t.Corpus}
	}
	return nil
}

// plan reads the plan, or makes one of kind, dose and heads, and returns the heads that are named; a patch has no plan.
func (o ownText) plan(path string, d intervene.Dose, heads string) (intervene.Plan, []intervene.Head, error) {
	if path != "" {
		p, err := intervene.ReadPlan(path)
		return p, nil, err
	}
	var top int
	var err error
	if d.Heads, top, err = intervene.ParseHeads(heads); err != nil {
		return nil, nil, err
	}
	if top > 0 || len(d.Heads) == 0 {
		return nil, nil, fmt.Errorf("--heads: name them with --input, such as 1.3,1.5 for layer 1, heads 3 and 5")
	}
	if o.patch != "" {
		if o.bucket != 1 {
			return nil, nil, fmt.Errorf("--bucket %d: --patch writes every token, leave it at 1", o.bucket)
		}
		return nil, d.Heads, nil
	}
	p, err := single(d)
	return p, d.Heads, err
}

// single is the plan of a kind at one dose in chosen heads.
func single(d intervene.Dose) (intervene.Plan, error) {
	switch {
	case d.Kind == "ablate" && len(d.Doses) == 0:
		return intervene.Ablate(d.Heads...), nil
	case len(d.Doses) != 1:
		return nil, fmt.Errorf("--doses: %d values, --input takes one", len(d.Doses))
	}
	return d.Plan(), nil
}
