package eval_test

import (
	"fmt"
	"testing"

	"stuffed/datasets/draw"
	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
)

// readers simulates the passkey table of a reader that knows the answer up to a certain length and guesses beyond it.
func readers(t testing.TB, known int, lengths []int, depths []float64, trials int) *table.Table {
	t.Helper()
	var length, trial, exact []int64
	var depth, digits []float64
	for _, n := range lengths {
		p := eval.Passkey{Variant: "paper", Lengths: []int{n}, Depths: depths, Trials: trials, Seed: 1}
		s := draw.New(uint64(n))
		err := p.Prompts(tokenizer.Bytes(), func(q task.Prompt) error {
			output := fmt.Sprintf("%05d", s.Below(100000))
			if n <= known {
				output = q.Answer
			}
			length, depth, trial = append(length, int64(n)), append(depth, q.Depth), append(trial, q.Index&(1<<20-1))
			digits = append(digits, prompt.PerDigit(output, q.Answer))
			if prompt.Exact(output, q.Answer) {
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

// TestPromptsInTheTokensOfNeoX: prompts have exactly the requested length, 128 to 4,096 in steps of 64, in the published models' tokenizer
// too.
func TestPromptsInTheTokensOfNeoX(t *testing.T) {
	path, err := tokenizer.Locate()
	if err != nil {
		t.Fatal(err)
	}
	neox, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, variant := range eval.PasskeyVariants() {
		p := eval.Passkey{Variant: variant, Keys: 1, Values: 1, Queries: 1, Depths: []float64{0, 0.5, 1}, Trials: 1}
		for length := 128; length <= 4096; length += 64 { // two of them take 65
			p.Lengths = append(p.Lengths, length)
		}
		made := 0
		err := p.Prompts(neox, func(q task.Prompt) error {
			made++
			if want := p.Lengths[(made-1)/3]; len(q.IDs) != want {
				t.Errorf("%s: %d tokens, want %d", variant, len(q.IDs), want)
			}
			return nil
		})
		if err != nil || made != 3*63 {
			t.Errorf("%s: %d prompts, %v", variant, made, err)
		}
	}
}
