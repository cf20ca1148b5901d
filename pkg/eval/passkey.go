package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/plaintext"
	"stuffed/pkg/table"
)

// Passkey asks a model for keys hidden in texts of given lengths at given depths. Variants: those of
// prompt.PasskeyVariants, and retrieval, which asks for the numbers kept under Queries of Keys names with Values numbers
// each (prompt.Retrieval).
type Passkey struct {
	Variant  string    `json:"variant"`
	Keys     int       `json:"keys,omitempty"`
	Values   int       `json:"values,omitempty"`
	Queries  int       `json:"queries,omitempty"`
	Lengths  []int     `json:"-"` // tokens
	Depths   []float64 `json:"-"` // 0: needle at the start of the haystack, 1: at its end
	Trials   int       `json:"-"` // per length and depth
	Seed     int64     `json:"seed"`
	Generate int       `json:"generate"`           // tokens generated greedily; 0: those of the answer and two more
	Haystack string    `json:"haystack,omitempty"` // file of a text of one's own to hide the keys in; empty: the variant's noise

	Batch    int                        `json:"-"` // prompts of one length that run side by side; 0: 16
	Controls map[string]*tensors.Tensor `json:"-"`
	Progress func(done, total int64)    `json:"-"` // tokens of the questions that are left
}

const retrieval = "retrieval"

// Validate names the field that is out of range.
func (p Passkey) Validate() error {
	if p.Variant != retrieval && !slices.Contains(prompt.PasskeyVariants(), p.Variant) {
		return fmt.Errorf("passkey: variant %q is not one of %s, %s", p.Variant, strings.Join(prompt.PasskeyVariants(), ", "), retrieval)
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
		if math.IsNaN(d) || d < 0 || d > 1 {
			return fmt.Errorf("passkey: depth is %g, want 0 to 1", d)
		}
	}
	if p.Generate < 0 || p.Batch < 0 {
		return fmt.Errorf("passkey: generate is %d and batch %d, want 0 or more of each", p.Generate, p.Batch)
	}
	return nil
}

// generator makes prompts of one length.
type generator interface {
	Record(seed, index int64, depth float64) (prompt.Record, error)
}

func (p Passkey) generator(enc datasets.Encoder, length int) (generator, error) {
	text, err := p.Text()
	if err != nil {
		return nil, err
	}
	if p.Variant == retrieval {
		r := prompt.Retrieval{Keys: p.Keys, Values: p.Values, Queries: p.Queries, Length: length, Text: text, Encoder: enc}
		return r, r.Validate()
	}
	g, err := prompt.NewPasskey(p.Variant, enc, length)
	if err == nil && p.Haystack != "" {
		err = g.Within(text)
	}
	return g, err
}

// Text is that of the haystack, empty where it is not one's own.
func (p Passkey) Text() (string, error) {
	if p.Haystack == "" {
		return "", nil
	}
	text, err := plaintext.Read(p.Haystack)
	if err != nil {
		return "", fmt.Errorf("haystack: %w", err)
	}
	text, err = plaintext.Lines(text)
	return string(text), err
}

// question is a record and the trial that it is at its length and depth.
type question struct {
	prompt.Record
	trial int
}

// rowKey tells rows of one output apart.
func rowKey(length int, depth float64, trial int, seed int64) string {
	return fmt.Sprint(length, "/", depth, "/", trial, "/", seed)
}

func passkeyTable() *table.Table { return answers{}.table() }

// Table asks every question: one row each with variant, length, depth, trial, seed, answer, output (what the model
// wrote), exact (the output begins with the answer), substring (the answer is in it), first_integer, per_digit,
// contained (share of the answer's parts in it), forced_exact (each token of the answer, given those before, was the
// likeliest), probability and log_prob (nats) of the whole answer, per_token, score_version.
func (p Passkey) Table(ctx context.Context, r *lm.Runner, enc datasets.Encoder) (*table.Table, error) {
	all := passkeyTable()
	return all, p.run(ctx, r, enc, map[string]bool{}, all.Append)
}

// Write is Table into a Parquet or CSV file, batch by batch. Questions that the file or an interrupted run has answered
// are not asked again, so that a grid can also be extended.
func (p Passkey) Write(ctx context.Context, r *lm.Runner, enc datasets.Encoder, path string) error {
	w, former, err := table.Resume(path, passkeyTable())
	if err != nil {
		return err
	}
	defer w.Abort()
	done := map[string]bool{}
	for row := range former.Rows() {
		a := former.Take([]int{row}).Columns
		done[rowKey(int(a[1].Ints[0]), a[2].Floats[0], int(a[3].Ints[0]), a[4].Ints[0])] = true
	}
	if err := p.run(ctx, r, enc, done, w.Append); err != nil {
		return err
	}
	return w.Close()
}

func (p Passkey) run(ctx context.Context, r *lm.Runner, enc datasets.Encoder, done map[string]bool, put func(*table.Table) error) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if r.Weights.Members > 1 {
		return fmt.Errorf("passkey: the weights hold %d models; choose one with Weights.Select", r.Weights.Members)
	}
	if vocab := r.Weights.Model.Vocab(); enc.Vocab() > vocab {
		return fmt.Errorf("passkey: tokenizer %s has %d ids, the model only %d", enc.Name(), enc.Vocab(), vocab)
	}
	if err := p.fits(enc); err != nil {
		return err
	}
	total := int64(0)
	for _, n := range p.Lengths {
		total += int64(n) * int64(len(p.open(n, done)))
	}
	progress := lm.NewTally(p.Progress, 0, total)
	batch := p.Batch
	if batch == 0 {
		batch = 16
	}
	for _, length := range p.Lengths {
		g, err := p.generator(enc, length)
		if err != nil {
			return err
		}
		open := p.open(length, done)
		if len(open) == 0 {
			continue
		}
		turns := (len(open) + batch - 1) / batch
		size := (len(open) + turns - 1) / turns
		batches := slices.Collect(slices.Chunk(open, size))
		err = lm.Each(ctx, r, len(batches), func(ctx context.Context, r *lm.Runner, i int) (*table.Table, error) {
			asked := slices.Clone(batches[i])
			for i, q := range asked {
				var err error
				if asked[i].Record, err = g.Record(p.Seed, prompt.Index(q.Depth, q.trial), q.Depth); err != nil {
					return nil, fmt.Errorf("passkey: %w", err)
				}
			}
			report := progress.Part()
			rows, err := p.ask(ctx, r, enc, asked, size, func(tokens int) { report(int64(tokens * len(asked))) })
			if err != nil {
				return nil, fmt.Errorf("passkey, length %d: %w", length, err)
			}
			report(int64(len(asked) * length))
			return rows, nil
		}, put)
		if err != nil {
			return err
		}
	}
	return nil
}

// open are the questions of a length that are not done; their records are made when they are asked.
func (p Passkey) open(length int, done map[string]bool) (open []question) {
	for _, depth := range p.Depths {
		for trial := range p.Trials {
			if !done[rowKey(length, depth, trial, p.Seed)] {
				open = append(open, question{prompt.Record{Depth: depth}, trial})
			}
		}
	}
	return open
}

// fits makes the shortest prompts, so that a length below the fixed part is refused before anything is measured.
func (p Passkey) fits(enc datasets.Encoder) error {
	g, err := p.generator(enc, slices.Min(p.Lengths))
	if err != nil {
		return err
	}
	for _, depth := range p.Depths {
		for trial := range p.Trials {
			if _, err := g.Record(p.Seed, prompt.Index(depth, trial), depth); err != nil {
				return fmt.Errorf("passkey: %w", err)
			}
		}
	}
	return nil
}

// ask reads prompts of one length side by side, gives the answers token by token, and lets the model write its own. Rows
// beyond the questions repeat the last one: a batch of another size would be another graph to compile.
func (p Passkey) ask(ctx context.Context, r *lm.Runner, enc datasets.Encoder, asked []question, rows int, progress func(tokens int)) (*table.Table, error) {
	some := append(slices.Clip(asked), slices.Repeat(asked[len(asked)-1:], rows-len(asked))...)
	length, longest := some[0].Length, 0
	head, forced := make([][]int32, len(some)), make([][]int32, len(some))
	for i, q := range some {
		longest = max(longest, len(q.AnswerIDs))
		head[i] = narrow(q.IDs[:length-1])
	}
	for i, q := range some { // the last token of the prompt and the answer; what follows a shorter answer is not looked at
		forced[i] = make([]int32, longest+1)
		copy(forced[i], narrow(append([]int{q.IDs[length-1]}, q.AnswerIDs...)))
	}
	state, err := r.Run(ctx, head, nil, lm.Request{Controls: p.Controls, Progress: func(done, _ int) { progress(done) }}, nil)
	if err != nil {
		return nil, err
	}
	logProb, likeliest := make([][]float64, len(some)), make([][]bool, len(some))
	_, err = r.Run(ctx, forced, state, lm.Request{Loss: true, Correct: true, Controls: p.Controls, Offset: length - 1}, func(piece lm.Piece) error {
		for i, q := range some {
			for t := range piece.Tokens {
				if piece.Start+t < len(q.AnswerIDs) {
					loss := float64(piece.Loss[i*piece.Tokens+t])
					if math.IsNaN(loss) {
						loss = math.Inf(1)
					}
					logProb[i], likeliest[i] = append(logProb[i], min(0, -loss)), append(likeliest[i], piece.Correct[i*piece.Tokens+t] == 1)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	write := p.Generate
	if write == 0 {
		write = longest + 2
	}
	last := make([]int32, len(some))
	for i, q := range some {
		last[i] = int32(q.IDs[length-1])
	}
	written, err := r.Continue(ctx, state, last, length-1, write, lm.Sampling{}, p.Controls, nil)
	if err != nil {
		return nil, err
	}
	var a answers
	for i, q := range asked {
		f, err := prompt.TeacherForced(logProb[i], likeliest[i])
		if err != nil {
			return nil, err
		}
		output, err := decode(enc, written[i])
		if err != nil {
			return nil, err
		}
		a.add(q, p.Seed, output, prompt.Judge(q.Record, output), f)
	}
	return a.table(), nil
}

// decode leaves out ids beyond the tokenizer's: rows that the model has as padding.
func decode(enc datasets.Encoder, ids []int32) (string, error) {
	var known []int
	for _, id := range ids {
		if int(id) < enc.Vocab() {
			known = append(known, int(id))
		}
	}
	return enc.Decode(known)
}

func narrow(ids []int) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// answers are the columns of a passkey table.
type answers struct {
	variant, answer, output, version     []string
	length, trial, seed                  []int64
	exact, substring, first, forcedExact []int64
	depth, perDigit, contained, perToken []float64
	probability, logProb                 []float64
}

func (a *answers) add(q question, seed int64, output string, s prompt.Score, f prompt.Forced) {
	flag := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	a.variant, a.length, a.depth = append(a.variant, q.Variant), append(a.length, int64(q.Length)), append(a.depth, q.Depth)
	a.trial, a.seed = append(a.trial, int64(q.trial)), append(a.seed, seed)
	a.answer, a.output = append(a.answer, q.Answer), append(a.output, strings.ToValidUTF8(output, "\uFFFD"))
	a.exact, a.substring, a.first = append(a.exact, flag(s.Exact)), append(a.substring, flag(s.Substring)), append(a.first, flag(s.FirstInteger))
	a.perDigit, a.contained = append(a.perDigit, s.PerDigit), append(a.contained, s.Contained)
	a.forcedExact, a.probability = append(a.forcedExact, flag(f.Exact)), append(a.probability, f.Probability)
	a.logProb, a.perToken = append(a.logProb, f.LogProb), append(a.perToken, f.PerToken)
	a.version = append(a.version, q.Version+" "+s.Version)
}

func (a answers) table() *table.Table {
	return table.New().AddText("variant", a.variant).AddInt("length", a.length).AddFloat("depth", a.depth).AddInt("trial", a.trial).AddInt("seed", a.seed).
		AddText("answer", a.answer).AddText("output", a.output).AddInt("exact", a.exact).AddInt("substring", a.substring).
		AddInt("first_integer", a.first).AddFloat("per_digit", a.perDigit).AddFloat("contained", a.contained).
		AddInt("forced_exact", a.forcedExact).AddFloat("probability", a.probability).AddFloat("log_prob", a.logProb).
		AddFloat("per_token", a.perToken).AddText("version", a.version)
}
