package train

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stuffed/datasets"
	"stuffed/pkg/models"
	"stuffed/pkg/tokenizer"
)

// DataConfig says what the models read.
type DataConfig struct {
	Kind string `json:"kind"` // recall (generated, see datasets.RecallStream), corpus or task

	Keys   int `json:"keys"`
	Values int `json:"values"`
	Gap    int `json:"gap"` // pairs

	Path           string   `json:"path"`      // corpus: empty for the one inside the program, else a file or folder
	Domains        []string `json:"domains"`   // of the corpus, empty for all
	Tokenizer      string   `json:"tokenizer"` // bytes, or the path of a tokenizer.json
	Order          string   `json:"order"`     // windows, lanes, packed; empty: lanes when carried, else windows. task: given, or empty for a random one
	Across         bool     `json:"across"`    // lanes: rows run from document to document
	MinTokens      int      `json:"min_tokens"`
	NearDuplicates float64  `json:"near_duplicates"` // similarity from which a document is left out, 0 for none
	Cache          string   `json:"cache"`           // folder of the tokenised corpus

	Shards int `json:"shards,omitempty" hash:"unless-default"` // corpus: parts of what is trained on, for as many nodes; 0 for the whole
	Shard  int `json:"shard,omitempty" hash:"unless-default"`  // corpus: the part of this run, from 0

	Name   string         `json:"name,omitempty" hash:"unless-default"`   // task: one of package task
	Params map[string]any `json:"params,omitempty" hash:"unless-default"` // task: of that one
	Tasks  []TaskConfig   `json:"tasks,omitempty" hash:"unless-default"`  // task: a mixture instead
	Learn  string         `json:"learn,omitempty" hash:"unless-default"`  // task: answers (also if empty), or all tokens
}

// Validate names the field that is out of range.
func (d DataConfig) Validate() error {
	switch d.Kind {
	case "recall":
		return d.stream(0).Validate()
	case "task":
		return d.validateTasks()
	case "corpus":
	default:
		return fmt.Errorf("config: data.kind = %q is unknown; choose recall, corpus or task", d.Kind)
	}
	if orders := []string{"", "windows", "lanes", "packed"}; !slices.Contains(orders, d.Order) {
		return fmt.Errorf("config: data.order = %q is unknown; choose windows, lanes or packed", d.Order)
	}
	return d.filter("train").Validate()
}

func (d DataConfig) stream(seed int64) datasets.RecallStream {
	return datasets.RecallStream{Keys: d.Keys, Values: d.Values, Gap: d.Gap, Seed: seed}
}

func (d DataConfig) filter(split string) datasets.Filter {
	f := datasets.Filter{Splits: []string{split}, Domains: d.Domains, MinTokens: d.MinTokens, NearDuplicates: d.NearDuplicates}
	if split == "train" { // all are measured on the same
		f.Shards, f.Shard = d.Shards, d.Shard
	}
	return f
}

// Data gives every member its batches and holds out sequences for validation.
type Data interface {
	// Batcher is the data of a member in a stage: rows of length tokens.
	Batcher(c Config, stage, rows, length int, r Member) (datasets.Batcher, error)
	// Held returns sequences of length tokens that training never reads. scored is true where only memory of
	// the sequence can know the token; nil when the data does not say.
	Held(sequences, length int) (tokens [][]int32, scored [][]bool, err error)
	Vocab() int
	Describe() string
	Close() error
}

// Splits is Data whose documents belong to splits.
type Splits interface {
	// Beginnings returns the first length tokens of at most that many documents of a split.
	Beginnings(split string, sequences, length int) ([][]int32, error)
	// Encoder is the tokenizer of the documents.
	Encoder() tokenizer.Tokenizer
}

// OpenData opens what a configuration names.
func OpenData(d DataConfig) (Data, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if d.Kind == "recall" {
		return recallData{d}, nil
	}
	if d.Kind == "task" {
		return openTasks(d)
	}
	return openCorpus(d)
}

type recallData struct{ DataConfig }

// stageSeed makes the data of later stages fresh.
func stageSeed(seed int64, stage int) int64 { return seed + int64(stage)<<40 }

func (d recallData) Batcher(c Config, stage, rows, length int, r Member) (datasets.Batcher, error) {
	b := datasets.RecallBatches{Stream: d.stream(stageSeed(r.Seed, stage)), B: rows, T: length, Chain: 1}
	if r.Policy == "carried" {
		b.Chain = c.Chain
	}
	return b, nil
}

// heldSeed belongs to no member: seeds are 0 or more.
const heldSeed = -1

func (d recallData) Held(sequences, length int) (tokens [][]int32, scored [][]bool, err error) {
	for i := range sequences {
		t, repeat, _ := d.stream(heldSeed).Sequence(int64(i), length)
		tokens, scored = append(tokens, t), append(scored, repeat)
	}
	return tokens, scored, nil
}

func (d recallData) Vocab() int   { return d.stream(0).Vocab() }
func (d recallData) Close() error { return nil }
func (d recallData) Describe() string {
	return fmt.Sprintf("recall stream of %d keys, %d values, gap %d pairs", d.Keys, d.Values, d.Gap)
}

type corpusData struct {
	DataConfig
	corpus *datasets.Corpus
	tokens *datasets.Tokens
	held   map[string]*datasets.Tokens // by split
	tok    tokenizer.Tokenizer
}

func openCorpus(d DataConfig) (Data, error) {
	if d.Path == "" || d.Path == "embedded" {
		corpus, err := datasets.Embedded()
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		return openOn(corpus, d)
	}
	corpus, err := datasets.Open(d.Path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return openOn(corpus, d)
}

func openOn(corpus *datasets.Corpus, d DataConfig) (Data, error) {
	d.Cache = cmp.Or(d.Cache, DefaultConfig().Data.Cache) // an exported configuration names no folder
	c, err := &corpusData{DataConfig: d, corpus: corpus}, error(nil)
	if c.tok = tokenizer.Bytes(); d.Tokenizer != "" && d.Tokenizer != "bytes" {
		if c.tok, err = models.OpenTokenizer(d.Tokenizer); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	if c.tokens, err = datasets.Prepare(c.corpus, d.filter("train"), c.tok, d.Cache); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return c, nil
}

func (d *corpusData) Batcher(c Config, stage, rows, length int, r Member) (datasets.Batcher, error) {
	seed := stageSeed(r.Seed, stage)
	switch d.order(r.Policy) {
	case "lanes":
		return datasets.NewLanes(d.tokens, rows, length, seed, d.Across)
	case "packed":
		return datasets.NewPacked(d.tokens, rows, length, seed)
	}
	return datasets.NewWindows(d.tokens, rows, length, seed)
}

func (d DataConfig) order(policy string) string {
	switch {
	case d.Order != "":
		return d.Order
	case policy == "carried":
		return "lanes"
	}
	return "windows"
}

// segmented tells whether rows may hold several documents.
func (d DataConfig) segmented() bool {
	return d.Kind == "corpus" && (d.Order == "packed" || d.Across)
}

// Held takes documents of the validation split.
func (d *corpusData) Held(sequences, length int) (tokens [][]int32, scored [][]bool, err error) {
	tokens, err = d.Beginnings("valid", sequences, length)
	return tokens, nil, err
}

// Beginnings takes the first length tokens of at most that many documents of a split that are long enough, as many of each
// domain as of the others while they last.
func (d *corpusData) Beginnings(split string, sequences, length int) (tokens [][]int32, err error) {
	if d.held == nil {
		d.held = map[string]*datasets.Tokens{}
	}
	held := d.held[split]
	if held == nil {
		if held, err = datasets.Prepare(d.corpus, d.filter(split), d.tok, d.Cache); err != nil {
			return nil, fmt.Errorf("%s documents: %w", split, err)
		}
		d.held[split] = held
	}
	byDomain, domains := map[string][]int{}, []string(nil)
	for i, o := range held.Origins {
		if len(held.Document(i)) < length {
			continue
		}
		if byDomain[o.Domain] == nil {
			domains = append(domains, o.Domain)
		}
		byDomain[o.Domain] = append(byDomain[o.Domain], i)
	}
	if len(domains) == 0 {
		return nil, fmt.Errorf("no %s document has %d tokens, the longest has %d; choose a smaller length", split, length, held.Longest())
	}
	for taken := true; taken && len(tokens) < sequences; {
		taken = false
		for _, name := range domains {
			if list := byDomain[name]; len(list) > 0 && len(tokens) < sequences {
				row := make([]int32, length)
				for k, id := range held.Document(list[0])[:length] {
					row[k] = int32(id)
				}
				tokens, byDomain[name], taken = append(tokens, row), list[1:], true
			}
		}
	}
	return tokens, nil
}

// Encoder is the tokenizer of the documents.
func (d *corpusData) Encoder() tokenizer.Tokenizer { return d.tok }

// Vocab is the tokenizer's rounded up to a multiple of 16.
func (d *corpusData) Vocab() int { return (d.tok.Vocab() + 15) / 16 * 16 }

func (d *corpusData) Describe() string {
	name := d.corpus.Name
	if len(d.Domains) > 0 {
		name += " (" + strings.Join(d.Domains, ", ") + ")"
	}
	return fmt.Sprintf("corpus %s, tokenizer %s: %s", name, d.tok.Name(), d.tokens.Report)
}

func (d *corpusData) Close() error {
	err := d.tokens.Close()
	for _, held := range d.held {
		err = errors.Join(err, held.Close())
	}
	return err
}
