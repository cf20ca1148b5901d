package intervene

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
)

func changes(t *testing.T, plan Plan) []float64 {
	t.Helper()
	m, texts := ownModel(t)
	all, err := OnText(context.Background(), m, texts, plan, 1)
	if err != nil {
		t.Fatal(err)
	}
	change, err := all.Float("change")
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// Heads patched with the means over a text that is one character over and over do on that text, but for its beginning, what they did.
func TestPatchedHeads(t *testing.T) {
	m, texts := ownModel(t)
	ctx := context.Background()
	if _, err := Patch(ctx, m, texts); err == nil || !strings.Contains(err.Error(), "name the heads") {
		t.Error(err)
	}
	if _, err := Patch(ctx, m, texts, Head{0, 99}); err == nil || !strings.Contains(err.Error(), "0.99") {
		t.Error(err)
	}
	same := filepath.Join(t.TempDir(), "same.txt")
	if err := os.WriteFile(same, []byte(strings.Repeat("a", 300)), 0o600); err != nil {
		t.Fatal(err)
	}
	head := Head{0, 1}
	constant := prompt.Texts{Kind: "documents", Corpus: same}
	plan, err := Patch(ctx, m, constant, head)
	if err != nil {
		t.Fatal(err)
	}
	largest := func(of prompt.Texts, plan Plan, from int) (most float64) {
		table, err := OnText(ctx, m, of, plan, 1)
		if err != nil {
			t.Fatal(err)
		}
		change, err := table.Float("change")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range change[from:] {
			most = max(most, math.Abs(v))
		}
		return most
	}
	own, ablated, other := largest(constant, plan, 100), largest(constant, Ablate(head), 100), largest(texts, plan, 0)
	if own > 0.02*ablated || other < 10*own {
		t.Errorf("changed by %g on its own text (%g ablated), by %g on another", own, ablated, other)
	}
}

// Patched token by token with the own text nothing changes. With a text whose last token but one is another, a head of the first layer,
// which does there alone what it does not do on the text, changes one loss: as held by controls that act at this position of the whole.
func TestPatchedTokens(t *testing.T) {
	m, texts := ownModel(t)
	ctx, head := context.Background(), Head{0, 1}
	change := func(from prompt.Texts) []float64 {
		table, err := PatchTokens(ctx, m, texts, from, head)
		if err != nil {
			t.Fatal(err)
		}
		v, err := table.Float("change")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for i, v := range change(texts) {
		if math.Abs(v) > 2e-6 {
			t.Errorf("token %d: %g by its own doing", i, v)
		}
	}
	probes, err := eval.Probes(m, texts)
	if err != nil {
		t.Fatal(err)
	}
	last := len(probes[0].IDs) - 2
	other := slices.Clone(probes[0].IDs)
	other[last] = 'Z'
	donor, err := record(ctx, m.Runner, other)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := donor.at(m.Weights.Model, last, []Head{head})
	if err != nil {
		t.Fatal(err)
	}
	for i := range plan {
		plan[i].From, plan[i].Until = last, last+1
	}
	whole, err := OnText(ctx, m, texts, plan, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := whole.Float("change")
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "other.txt")
	changed := []byte(strings.Repeat("All work and no play. ", 8))
	changed[last] = 'Z' // a byte is a token
	if err := os.WriteFile(text, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	got := change(prompt.Texts{Kind: "documents", Corpus: text})
	for i := range want {
		if math.Abs(got[i]-want[i]) > 2e-6 || (i < last) != (math.Abs(got[i]) < 2e-6) {
			t.Errorf("token %d: %g, want %g", i, got[i], want[i])
		}
	}
	if _, err := PatchTokens(ctx, m, texts, texts, Head{0, 99}); err == nil || !strings.Contains(err.Error(), "0.99") {
		t.Error(err)
	}
	if _, err := PatchTokens(ctx, m, texts, texts); err == nil || !strings.Contains(err.Error(), "name the heads") {
		t.Error(err)
	}
}

func TestSwappedHeads(t *testing.T) {
	if !slices.ContainsFunc(changes(t, Swap(Head{0, 0}, Head{0, 2})), func(v float64) bool { return v != 0 }) {
		t.Error("an exchange changes nothing")
	}
}

// A mitigation is judged on one's own text by the mean loss of its tokens, here beside OnText over the same half windows.
func TestSuiteReadsOwnText(t *testing.T) {
	m, _ := ownModel(t)
	enc, err := m.Encoder()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "own.txt")
	var words strings.Builder
	for i := range 120 {
		words.WriteString(strings.Repeat("ab", i%5+1) + " ")
	}
	if err := os.WriteFile(path, []byte(words.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := ReadText("own.txt", path, enc)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBench(m.Runner)
	if err != nil {
		t.Fatal(err)
	}
	s := Suite{TrainLength: 16, Multiples: []int{1, 4}, Sequences: 2, Split: "test", Text: text}
	scores, err := s.Run(context.Background(), b, Method{Name: "none"})
	if err != nil {
		t.Fatal(err)
	}
	half := text.IDs[len(text.IDs)/4*2:]
	for i, k := range s.Multiples {
		sum := 0.0
		for _, from := range []int{0, len(half) - 64} {
			row := filepath.Join(t.TempDir(), "row.txt")
			ids := make([]int, 65)
			for j := range ids[:min(65, len(half)-from)] {
				ids[j] = int(half[from+j])
			}
			part, err := enc.Decode(ids[:64])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(row, []byte(part), 0o600); err != nil {
				t.Fatal(err)
			}
			all, err := OnText(context.Background(), m, prompt.Texts{Kind: "documents", Corpus: row}, nil, 1)
			if err != nil {
				t.Fatal(err)
			}
			loss, err := all.Float("loss")
			if err != nil {
				t.Fatal(err)
			}
			end := min(k*16, len(loss))
			mean := 0.0
			for _, v := range loss[k*16-8 : end] {
				mean += v / float64(end-(k*16-8))
			}
			sum += mean / 2
		}
		if math.Abs(scores[i].Loss-sum) > 1e-5 {
			t.Errorf("%d T: loss %v, token by token %v", k, scores[i].Loss, sum)
		}
	}
	c := Compare{Suite: s, Methods: []string{"rri", "decimation", "layer_delta"}, Choosing: 1}
	for _, name := range c.Methods {
		rows, _, err := c.Run(context.Background(), b, "own", name, func(int, int) {})
		if err != nil || len(rows) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Sequences = 9
	for want, s := range map[string]Suite{"second half holds": s, "longer text": {TrainLength: 64, Multiples: []int{8}, Sequences: 1, Split: "test", Text: text},
		"has no pairs": {TrainLength: 16, Multiples: []int{1}, Sequences: 1, Split: "test", Wide: true, Text: text}} {
		if err := s.Validate(272); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	s.Sequences = 1
	if err := s.Validate(40); err == nil || !strings.Contains(err.Error(), "own tokenizer") {
		t.Error(err)
	}
}
