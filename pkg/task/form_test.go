package task

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"stuffed/datasets"
	"stuffed/pkg/tokenizer"
)

// hidden are the tasks that the command passkey asks, by variant.
var hidden = map[string][]string{
	"paper": {"passkey"}, "infinitebench": {"passkey", "variant=infinitebench"}, "longlora": {"passkey", "variant=longlora"},
	"single": {"niah-multikey-1", "keys=1", "values=1", "queries=1"}, "multiquery": {"niah-multikey-1", "keys=4", "values=2", "queries=3"},
}

func openForm(t *testing.T, f Form, variant string, length int, enc datasets.Encoder) (*Task, error) {
	t.Helper()
	params, err := ParseParams(append(hidden[variant][1:], "wording=full"))
	if err != nil {
		t.Fatal(err)
	}
	return f.Open(hidden[variant][0], length, params, enc)
}

// TestPrompts: questions of every length from 64 to 4,096 in steps of 64, from the smallest that there can be on, are exact in the
// tokens of both tokenizers, are what the tokenizer itself makes of the text, hide the answer once and are continued by it; needles go
// deeper with their depth.
func TestPrompts(t *testing.T) {
	for variant := range hidden {
		for _, enc := range []datasets.Encoder{tokenizer.Bytes(), newWordEncoder()} {
			made := 0
			for length := 64; length <= 4096; length += 64 {
				one, err := openForm(t, Form{Question: true}, variant, length, enc)
				if short := (*TooShortError)(nil); errors.As(err, &short) {
					if made > 0 || short.Minimum <= length {
						t.Fatal(err)
					}
					if _, err := openForm(t, Form{Question: true}, variant, short.Minimum, enc); err != nil {
						t.Fatalf("the smallest length %d does not do: %v", short.Minimum, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				last := -1
				for i, depth := range []float64{0, 0.4, 1}[length/64%2:] {
					q, err := one.Prompt(11, Place{depth, 0})
					if err != nil {
						t.Fatal(err)
					}
					checkPrompt(t, enc, length, q)
					if again, _ := one.Prompt(11, Place{depth, 0}); again.Text != q.Text || q.Depth != depth {
						t.Fatal("not a function of seed and place")
					}
					if length > 2048 && variant != "multiquery" && q.NeedleStart <= last {
						t.Fatalf("%s: needle %d stands at %d, the one before at %d", variant, i, q.NeedleStart, last)
					}
					last = q.NeedleStart
				}
				made++
			}
			if made < 56 {
				t.Errorf("%s %s: %d lengths", enc.Name(), variant, made)
			}
		}
	}
}

func checkPrompt(t *testing.T, enc datasets.Encoder, length int, q Prompt) {
	t.Helper()
	ids := func(text string) (out []int32) {
		all, err := enc.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range all {
			out = append(out, int32(id))
		}
		return out
	}
	if len(q.IDs) != length || q.Length != length || !slices.Equal(ids(q.Text), q.IDs) {
		t.Fatalf("%s: %d ids, want %d, those of %q", enc.Name(), len(q.IDs), length, q.Text)
	}
	if whole := ids(q.Text + " " + q.Answer); !slices.Equal(whole[length:], q.AnswerIDs) {
		t.Fatal("answer_ids do not go on as the tokenizer would")
	}
	needle, err := Decode(enc, q.IDs[q.NeedleStart:q.NeedleEnd])
	if err != nil || strings.Count(q.Text, needle) != 1 || !strings.HasSuffix(needle, ".") || strings.HasPrefix(needle, "\n") {
		t.Fatalf("needle %q, %v", needle, err)
	}
	oracle := matched(`(?:passkey|pass key) is (\d+)\.`)
	if strings.HasPrefix(q.Variant, "niah") {
		oracle = needled
	}
	if said := oracle(t, Record{Text: q.Text}); said.Text != q.Answer || len(q.Needles) != len(q.Answers) {
		t.Fatalf("the oracle reads %q, want %q", said.Text, q.Answer)
	}
}

// TestWording: the paper's prompt, letter by letter.
func TestWording(t *testing.T) {
	want := func(k string) string {
		return "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n\n" + noise + "\n" +
			"The passkey is " + k + ". Remember it. " + k + " is the passkey.\n" + noise + "\n\nWhat is the pass key? The passkey is"
	}
	one, err := openForm(t, Form{Question: true}, "paper", len(want("00000")), tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	q, err := one.Prompt(1, Place{0.5, 3})
	if err != nil || q.Text != want(q.Answer) {
		t.Errorf("%q, %v", q.Text, err)
	}
}

const ownText = "Själva havet låg öde. Ingen såg   det då!\n\nВсё было тихо, and the tide went out. Nothing else happened that day. "

// TestHaystack: a text of one's own surrounds what is hidden in its own order, no character divided, and keys stay what they are.
func TestHaystack(t *testing.T) {
	for variant := range hidden {
		for _, enc := range []datasets.Encoder{tokenizer.Bytes(), newWordEncoder()} {
			made := 0
			for length := 40; length <= 1200; length += 41 {
				one, err := openForm(t, Form{true, ownText}, variant, length, enc)
				if short := (*TooShortError)(nil); errors.As(err, &short) {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				for _, depth := range []float64{0, 0.4, 1} {
					q, err := one.Prompt(1, Place{depth, 2})
					if err != nil {
						t.Fatal(err)
					}
					if len(q.IDs) != length || !utf8.ValidString(q.Text) || strings.Contains(q.Text, "grass is green") {
						t.Fatalf("%s, %d tokens at %g: %q", enc.Name(), length, depth, q.Text)
					}
					if depth == 1 && length > 1100 && !strings.Contains(q.Text, strings.TrimSpace(ownText)) && variant != "multiquery" {
						t.Fatalf("the text is not in %q", q.Text)
					}
					made++
				}
			}
			if made < 15 {
				t.Errorf("%s %s: %d prompts", enc.Name(), variant, made)
			}
		}
	}
	plain, err := openForm(t, Form{Question: true}, "paper", 400, tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	own, err := openForm(t, Form{true, ownText}, "paper", 400, tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	a, _ := plain.Prompt(1, Place{0.5, 2})
	b, _ := own.Prompt(1, Place{0.5, 2})
	if a.Answer != b.Answer || a.Version == b.Version {
		t.Errorf("keys %s and %s, versions %s and %s", a.Answer, b.Answer, a.Version, b.Version)
	}
	if _, err := openForm(t, Form{true, " \n"}, "paper", 400, tokenizer.Bytes()); err == nil {
		t.Error("an empty text is a haystack")
	}
}

// lossy loses capitals, so that its ids do not decode to the text.
type lossy struct{ tokenizer.Tokenizer }

func (l lossy) Encode(text string) ([]int, error) { return l.Tokenizer.Encode(strings.ToLower(text)) }
func (l lossy) Part(text string) ([]int, error)   { return l.Encode(text) }

func TestPlacesAreChecked(t *testing.T) {
	one, err := openForm(t, Form{Question: true}, "paper", 400, tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for want, at := range map[string]Place{"depth is 1.5, want 0 to 1": {1.5, 0}, "trial is -1": {0, -1}} {
		if _, err := one.Prompt(0, at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := open(t, "mqar", 64).At(0, Place{}); err == nil || !strings.Contains(err.Error(), "nothing of it is hidden") {
		t.Error(err)
	}
	if one, err = openForm(t, Form{Question: true}, "paper", 400, lossy{tokenizer.Bytes()}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Prompt(0, Place{}); err == nil || !strings.Contains(err.Error(), "does not decode") {
		t.Error(err)
	}
}

func ExampleForm() {
	f := Form{Question: true, Haystack: "The harbour was empty when we came. "}
	one, err := f.Open("passkey", 300, map[string]any{"wording": "full"}, tokenizer.Bytes())
	if err != nil {
		panic(err)
	}
	q, err := one.Prompt(1, Place{Depth: 0.5})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(q.IDs), len(q.Answer), strings.Contains(q.Text, "harbour"))
	// Output: 300 5 true
}
