package main

import (
	"strings"

	"github.com/spf13/pflag"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
)

// textsFlags choose the sequences that a model reads.
type textsFlags struct {
	texts     prompt.Texts
	length    string
	gap, keys int
	values    int
}

func (t *textsFlags) add(f *pflag.FlagSet, kind, length string) {
	f.StringVar(&t.texts.Kind, "kind", kind, "what is read: "+strings.Join(prompt.Kinds(), ", "))
	f.StringVar(&t.texts.Corpus, "input", "embedded", "texts: embedded, or a .jsonl, .jsonl.zst, .jsonl.xz or .txt file or a folder of such")
	f.StringVar(&t.texts.Split, "split", "", "train, valid, test or all (default: test of the embedded corpus, all of another)")
	f.StringSliceVar(&t.texts.Domains, "domain", nil, "domains of the texts (all)")
	f.StringVar(&t.length, "length", length, "tokens of a sequence, such as 64K or 1M; 0: whole documents")
	f.IntVar(&t.texts.Count, "count", 0, "sequences at most (0: all documents, one stream per domain)")
	f.IntVar(&t.texts.Token, "constant", 10, "kind constant: the token id")
	f.IntVar(&t.texts.Vocab, "vocab", 0, "kind random: ids below this one (0: the tokenizer's)")
	f.StringVar(&t.texts.Text, "text", "", "kind repeated: the text (default: three sentences about capitals)")
	f.Int64Var(&t.texts.Seed, "seed", 0, "seed of shuffled, random and recall")
	f.IntVar(&t.gap, "gap", 32, "kind recall: pairs between a pair and its repeat, at most")
	f.IntVar(&t.keys, "keys", 3840, "kind recall: keys; the ids 0 … keys-1")
	f.IntVar(&t.values, "values", 256, "kind recall: values")
}

// read completes the choice.
func (t *textsFlags) read() (prompt.Texts, error) {
	var err error
	t.texts.Length, err = prompt.ParseLength(t.length)
	if t.texts.Kind == "recall" {
		t.texts.Recall = datasets.RecallStream{Keys: t.keys, Values: t.values, Gap: t.gap, Seed: t.texts.Seed}
	}
	return t.texts, err
}
