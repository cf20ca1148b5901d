package eval_test

import (
	"fmt"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/table"
	"stuffed/pkg/tokenizer"
)

// readers makes the passkey table of a reader that knows the answer up to a length and guesses beyond it.
func readers(t testing.TB, known int, lengths []int, depths []float64, trials int) *table.Table {
	t.Helper()
	var length, trial, exact []int64
	var depth, digits []float64
	for _, n := range lengths {
		p, err := prompt.NewPasskey("paper", tokenizer.Bytes(), n)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Grid(depths, trials, 1, func(r prompt.Record) error {
			output := prompt.Guess(r, 1)
			if n <= known {
				output = prompt.Oracle(r)
			}
			s := prompt.Judge(r, output)
			length, depth, trial, digits = append(length, int64(n)), append(depth, r.Depth), append(trial, r.Index&(1<<20-1)), append(digits, s.PerDigit)
			if s.Exact {
				exact = append(exact, 1)
			} else {
				exact = append(exact, 0)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return table.New().AddInt("length", length).AddFloat("depth", depth).AddInt("trial", trial).AddInt("exact", exact).AddFloat("per_digit", digits)
}

func TestGridOfKnownReaders(t *testing.T) {
	tab := readers(t, 512, []int{1024, 256, 512}, prompt.Depths(4), 25)
	cells, err := eval.Grid(tab, "exact")
	if err != nil {
		t.Fatal(err)
	}
	if cells.Rows() != 12 {
		t.Fatalf("%d cells, want 12", cells.Rows())
	}
	for i, n := range ints(t, cells, "length") {
		want := 0.0
		if n <= 512 {
			want = 1
		}
		if a := floats(t, cells, "accuracy")[i]; a != want || ints(t, cells, "trials")[i] != 25 {
			t.Errorf("length %d: accuracy %g, want %g", n, a, want)
		}
		if low, high := floats(t, cells, "low")[i], floats(t, cells, "high")[i]; want == 1 && !(low > 0.86 && low < 0.88 && high == 1) {
			t.Errorf("interval %g … %g", low, high)
		}
	}
	digits, err := eval.ByLength(tab, "per_digit")
	if err != nil {
		t.Fatal(err)
	}
	if a := floats(t, digits, "accuracy"); digits.Rows() != 3 || a[0] != 1 || a[2] < 0.05 || a[2] > 0.15 {
		t.Errorf("per digit %v, want 1, 1 and about 0.1", a)
	}
	recall, err := eval.LongestRecall(tab, "exact", 0.95)
	if err != nil || recall.Length != 512 || recall.NextFail != 1024 || recall.Censored {
		t.Errorf("%+v, %v", recall, err)
	}
	_, err = eval.LongestRecall(tab, "per_digit", 0.95)
	wantError(t, err, "other values than 0 and 1")
	last, err := eval.LastTokens(tab, "exact", []int{128, 256, 512, 2048})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(ints(t, last, "length"), ints(t, last, "last"), floats(t, last, "accuracy")); got != "[256 256 512 512 512 1024 1024] [128 256 128 256 512 256 512] [1 1 1 1 1 0 0]" {
		t.Error(got)
	}
	_, err = eval.Grid(tab, "substring")
	wantError(t, err, "missing columns: substring")
}

// TestLengthsAreExactInModelTokens: every length from 64 to 4,096 in steps of 64 with both tokenizers, or the smallest
// length that there can be; the oracle reads every answer.
func TestLengthsAreExactInModelTokens(t *testing.T) {
	path, err := tokenizer.Locate()
	if err != nil {
		t.Fatal(err)
	}
	neox, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, enc := range []tokenizer.Tokenizer{neox, tokenizer.Bytes()} {
		for _, variant := range append(prompt.PasskeyVariants(), "retrieval") {
			made, least := 0, 0
			for length := 64; length <= 4096; length += 64 {
				record := prompt.Retrieval{Keys: 3, Values: 2, Queries: 2, Length: length, Encoder: enc}.Record
				if variant != "retrieval" {
					p, err := prompt.NewPasskey(variant, enc, length)
					if err != nil {
						t.Fatal(err)
					}
					record = p.Record
				}
				depth := float64(length%256) / 256
				r, err := record(1, int64(length), depth)
				if short, ok := err.(*prompt.TooShortError); ok {
					if made > 0 || short.Minimum <= length {
						t.Fatalf("%s %s, length %d: %v", enc.Name(), variant, length, err)
					}
					least = max(least, length)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(r.IDs) != length || prompt.Oracle(r) != r.Answer {
					t.Fatalf("%s %s: %d tokens, want %d; the oracle reads %q, want %q", enc.Name(), variant, len(r.IDs), length, prompt.Oracle(r), r.Answer)
				}
				made++
			}
			t.Logf("%s %s: %d lengths, none up to %d", enc.Name(), variant, made, least)
			if enc == neox && variant != "retrieval" && least > 0 {
				t.Errorf("%s: none up to %d", variant, least)
			}
		}
	}
}
