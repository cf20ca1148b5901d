package prompt

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// RetrievalVersion names the wording of the retrieval prompts.
const RetrievalVersion = "retrieval-1"

// Retrieval asks for numbers that were written down under names. Each of Keys names has Values numbers; the question asks for all
// numbers of Queries of the names. Keys 1, Values 1, Queries 1 is a single needle; more keys are distractors, more values or queries
// lengthen the answer.
type Retrieval struct {
	Keys    int // 1 … 1024
	Values  int // per key, 1 … 16
	Queries int // 1 … Keys
	Length  int // tokens
	Encoder datasets.Encoder
	Text    string // of one's own to hide the numbers in; empty: built-in sentences
}

var (
	adjectives = strings.Fields("amber ancient blue brass broken bright calm carved cold copper crooked dark dusty early empty fading gentle gilded golden green hidden hollow iron ivory late little lonely marble narrow northern painted quiet")
	nouns      = strings.Fields("anchor archive bakery barrel basket beacon bridge cabin candle castle cellar chapel clock compass cradle curtain garden gate harbour kettle ladder lantern library market mill mirror orchard piano saddle tower tunnel wagon")
	sentences  = []string{
		"A light rain fell on the fields before noon.", "The ferry left late and nobody minded.", "Two dogs slept in the shade of the wall.",
		"Someone had left a window open upstairs.", "The road bends twice and then follows the river.", "Bread was cheap that winter and wood was dear.",
		"They spoke of the weather, as people do.", "The hill looks higher from the south.", "A cart stood at the door with one wheel off.",
		"Nothing moved on the water but a leaf.", "The teacher closed the book and waited.", "Snow stayed on the roofs until the end of the month.",
		"He counted the steps and lost the count.", "The train was full of soldiers going home.", "Her letter came with a stamp from the islands.",
		"Under the table the cat kept one eye open.", "The old song has more verses than anyone knows.", "Smoke rose straight up, which meant a dry day.",
		"They mended the nets and said very little.", "The shop sold rope, nails and lamp oil.", "A boy ran past with a paper kite.",
		"The clerk wrote it all down in a neat hand.", "Every spring the stream takes some of the bank.", "From the kitchen came the smell of onions.",
	}
)

// Kind is the usual name of the task: single, multikey, multivalue or multiquery.
func (r Retrieval) Kind() string {
	switch {
	case r.Queries > 1:
		return "multiquery"
	case r.Values > 1:
		return "multivalue"
	case r.Keys > 1:
		return "multikey"
	}
	return "single"
}

// Validate names the field that is out of range.
func (r Retrieval) Validate() error {
	for _, f := range []struct {
		name            string
		value, low, top int
	}{{"keys", r.Keys, 1, len(adjectives) * len(nouns)}, {"values", r.Values, 1, 16}, {"queries", r.Queries, 1, r.Keys}, {"length", r.Length, 1, math.MaxInt32}} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("retrieval: %s is %d, want %d to %d", f.name, f.value, f.low, f.top)
		}
	}
	if r.Text != "" && strings.TrimSpace(r.Text) == "" {
		return errNoText
	}
	if r.Encoder == nil {
		return fmt.Errorf("retrieval: no tokenizer given")
	}
	return nil
}

type statement struct {
	key, value string
	place      int // sentences of the haystack before it
	asked      bool
}

func (s statement) text() string {
	return " The number kept for the " + s.key + " is " + s.value + "."
}

// Record is prompt number index; the first number of the first name asked for stands at depth, all others anywhere. The haystack is
// whole sentences, the last of them cut to make the length exact.
func (r Retrieval) Record(seed, index int64, depth float64) (Record, error) {
	if err := r.Validate(); err != nil {
		return Record{}, err
	}
	if math.IsNaN(depth) || depth < 0 || depth > 1 {
		return Record{}, fmt.Errorf("depth is %g, want 0 to 1", depth)
	}
	s := draw.New(draw.Key(seed, RetrievalVersion, int64(r.Keys), int64(r.Values), int64(r.Queries), int64(r.Length), index))
	build := &pieces{enc: r.Encoder, memo: map[string][]int{}}
	facts, names := r.statements(s)
	const prefix = "Some numbers are written down in the text below. Remember them.\n"
	question := "\n\nQuestion: Which numbers are kept for the " + strings.Join(names, " and the ") + "?\nAnswer: They are"
	const first = "\nThe record begins here."
	minimum := len(build.tokens(prefix)) + len(build.tokens(first)) + len(build.tokens(question))
	for _, f := range facts {
		minimum += len(build.tokens(f.text()))
	}
	if build.err == nil && r.Length < minimum {
		return Record{}, &TooShortError{"retrieval " + r.Kind(), r.Length, minimum}
	}
	filler, rest := r.filler(build, s, r.Length-minimum)
	version := RetrievalVersion
	if r.Text != "" {
		version = own(version, r.Text)
	}
	for i := range facts {
		facts[i].place = s.Below(len(filler) + 1)
	}
	facts[0].place = int(depth * float64(len(filler)))
	main := facts[0].value
	slices.SortStableFunc(facts, func(a, b statement) int { return a.place - b.place })
	rec := Record{Depth: depth, Length: r.Length, Variant: r.Kind(), Seed: seed, Index: index, Version: version}
	build.put(prefix)
	build.put(first)
	next := 0
	for i := 0; i <= len(filler); i++ {
		for ; next < len(facts) && facts[next].place == i; next++ {
			f := facts[next]
			span := build.put(f.text())
			if f.value == main {
				rec.NeedleStart, rec.NeedleEnd = span[0], span[1]
			}
			if f.asked {
				rec.Needles, rec.Answers = append(rec.Needles, span), append(rec.Answers, f.value)
			}
		}
		if i < len(filler) {
			build.put(filler[i])
		}
	}
	build.cut(rest.text, rest.tokens)
	build.put(question)
	rec.Answer = strings.Join(rec.Answers, ", ")
	var err error
	if rec.AnswerIDs, err = datasets.Part(r.Encoder, " "+rec.Answer); err != nil {
		return Record{}, fmt.Errorf("tokenizer %s: %w", r.Encoder.Name(), err)
	}
	return rec, build.finish(&rec)
}

// statements draws names and numbers, all different; those of the first Queries names are asked for.
func (r Retrieval) statements(s *draw.Stream) (facts []statement, asked []string) {
	used := map[string]bool{}
	fresh := func(make func() string) string {
		for {
			if v := make(); !used[v] {
				used[v] = true
				return v
			}
		}
	}
	for k := range r.Keys {
		name := fresh(func() string { return adjectives[s.Below(len(adjectives))] + " " + nouns[s.Below(len(nouns))] })
		if k < r.Queries {
			asked = append(asked, name)
		}
		for range r.Values {
			value := fresh(func() string { return strconv.Itoa(1_000_000 + s.Below(9_000_000)) })
			facts = append(facts, statement{key: name, value: value, asked: k < r.Queries})
		}
	}
	return facts, asked
}

type tail struct {
	text   string
	tokens int
}

// filler draws sentences until the next one does not fit whole.
func (r Retrieval) filler(build *pieces, s *draw.Stream, free int) (whole []string, rest tail) {
	if r.Text != "" {
		return r.passage(build, s.Below(1<<20), free)
	}
	for build.err == nil {
		sentence := " " + sentences[s.Below(len(sentences))]
		n := len(build.tokens(sentence))
		if n > free || n == 0 {
			return whole, tail{sentence, free}
		}
		whole = append(whole, sentence)
		free -= n
	}
	return nil, tail{}
}
