package prompt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets"
)

func encoders() []datasets.Encoder { return []datasets.Encoder{byteEncoder{}, newWordEncoder()} }

// check holds for every record of every generator.
func check(t *testing.T, enc datasets.Encoder, r Record) {
	t.Helper()
	text, err := enc.Decode(r.IDs)
	if err != nil || text != r.Text {
		t.Fatalf("ids do not decode to the text: %v", err)
	}
	canonical, err := enc.Encode(r.Text)
	if err != nil || !slices.Equal(canonical, r.IDs) {
		t.Fatalf("%s %s length %d: ids are not the tokenizer's own for this text", r.Variant, enc.Name(), r.Length)
	}
	if len(r.IDs) != r.Length {
		t.Fatalf("%d tokens, want %d", len(r.IDs), r.Length)
	}
	whole, err := enc.Encode(r.Text + " " + r.Answer)
	if err != nil || !slices.Equal(whole[len(r.IDs):], r.AnswerIDs) {
		t.Fatal("answer_ids do not continue ids as the tokenizer would")
	}
	needle, err := enc.Decode(r.IDs[r.NeedleStart:r.NeedleEnd])
	if err != nil || strings.Count(r.Text, needle) != 1 || !strings.HasSuffix(needle, ".") {
		t.Fatalf("needle %q, %v", needle, err)
	}
	if got := Oracle(r); got != r.Answer {
		t.Fatalf("oracle reads %q, answer is %q", got, r.Answer)
	}
	s := Judge(r, " "+Oracle(r)+".")
	if !s.Exact || !s.Substring || s.PerDigit != 1 || s.Contained != 1 {
		t.Fatalf("oracle scores %+v", s)
	}
}

func TestPasskeyLengthsAreExact(t *testing.T) {
	for _, enc := range encoders() {
		for _, variant := range PasskeyVariants() {
			short := 0
			for length := 64; length <= 4096; length += 64 {
				p, err := NewPasskey(variant, enc, length)
				if err != nil {
					t.Fatal(err)
				}
				for i, depth := range []float64{0, 0.3, 0.5, 0.99, 1} {
					r, err := p.Record(11, int64(i), depth)
					var tooShort *TooShortError
					if errors.As(err, &tooShort) {
						if length >= tooShort.Minimum || !strings.Contains(err.Error(), fmt.Sprint("length ≥ ", tooShort.Minimum)) {
							t.Fatal(err)
						}
						short = length
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					check(t, enc, r)
					if r.Text != "" && strings.Count(r.Text, r.Answer) != 2 {
						t.Fatalf("key %s stands %d times in the text", r.Answer, strings.Count(r.Text, r.Answer))
					}
				}
			}
			if enc.Name() == "bytes" && (short == 0 || short > 256) || enc.Name() == "words" && short > 64 {
				t.Errorf("%s %s: too short up to %d", enc.Name(), variant, short)
			}
		}
	}
}

func TestPasskeyEveryLengthFromTheMinimum(t *testing.T) {
	for _, enc := range encoders() {
		for _, variant := range PasskeyVariants() {
			p, _ := NewPasskey(variant, enc, 4096)
			minimum, err := p.Minimum(3, 0)
			if err != nil {
				t.Fatal(err)
			}
			made := 0
			for length := minimum - 5; length < minimum+200; length++ {
				p.length = length
				r, err := p.Record(3, 0, 0.4)
				if m, _ := p.Minimum(3, 0); length < m {
					if err == nil {
						t.Fatalf("length %d below the fixed part %d was accepted", length, m)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				check(t, enc, r)
				made++
			}
			if made < 190 {
				t.Errorf("%s %s: only %d lengths", enc.Name(), variant, made)
			}
		}
	}
}

func TestPasskeyWording(t *testing.T) {
	block := "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."
	longPrefix := "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n"
	for variant, want := range map[string]func(k string) string{
		"paper": func(k string) string {
			return "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n\n" + block + "\n" +
				"The passkey is " + k + ". Remember it. " + k + " is the passkey.\n" + block + "\n\nWhat is the pass key? The passkey is"
		},
		"infinitebench": func(k string) string {
			return longPrefix + "\n" + block + "\n" + "The pass key is " + k + ". Remember it. " + k + " is the pass key.\n" + block +
				"\n\n\nWhat is the pass key?\n\nThe pass key is"
		},
		"longlora": func(k string) string {
			return longPrefix + block + "\nThe pass key is " + k + ". Remember it. " + k + " is the pass key.\n" + block + "\nWhat is the pass key? The pass key is"
		},
	} {
		// the key depends on the length, the length on the number of digits of the key
		for digits := 1; digits <= 5; digits++ {
			length := len(want(strings.Repeat("1", digits)))
			p, err := NewPasskey(variant, byteEncoder{}, length)
			if err != nil {
				t.Fatal(err)
			}
			for i := range int64(3) {
				key := p.Key(1, i)
				if len(key) != digits {
					continue
				}
				r, err := p.Record(1, i, 0.5)
				if err != nil {
					t.Fatal(err)
				}
				if r.Text != want(key) {
					t.Errorf("%s:\n%q\nwant\n%q", variant, r.Text, want(key))
				}
			}
		}
	}
}

// TestPasskeyHaystackIsWholeLines: every line is a block or the needle; one line goes on with the beginning of a block, and it is the
// first or the last and not the needle's when there is a block.
func TestPasskeyHaystackIsWholeLines(t *testing.T) {
	for length := 187; length < 900; length++ {
		p, _ := NewPasskey("paper", byteEncoder{}, length)
		for _, depth := range []float64{0, 0.4, 0.6, 1} {
			r, err := p.Record(2, 0, depth)
			if err != nil {
				t.Fatal(err)
			}
			body := strings.TrimSuffix(strings.TrimPrefix(r.Text, p.form.prefix+"\n"), p.form.question)
			needle := strings.ReplaceAll(p.form.needle, "K", r.Answer)
			lines := strings.Split(body, "\n")
			for i, line := range lines {
				rest, isNeedle := strings.CutPrefix(line, needle)
				if !isNeedle {
					var ok bool
					if rest, ok = strings.CutPrefix(line, noise); !ok {
						t.Fatalf("length %d: line %q", length, line)
					}
				}
				if rest != "" && (!strings.HasPrefix(" "+noise, rest) || isNeedle && len(lines) > 1 || i > 0 && i < len(lines)-1) {
					t.Fatalf("length %d depth %g: line %d of %d goes on with %q", length, depth, i, len(lines), rest)
				}
			}
		}
	}
}

func TestPasskeyIsAFunctionOfSeedAndIndex(t *testing.T) {
	p, _ := NewPasskey("paper", byteEncoder{}, 1000)
	all, err := p.Records(Depths(4), 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := NewPasskey("paper", byteEncoder{}, 1000)
	for i := len(all) - 1; i >= 0; i-- {
		depth := Depths(4)[i/3]
		again, err := q.Record(5, Index(depth, i%3), depth)
		if err != nil || again.Text != all[i].Text {
			t.Fatalf("record %d depends on what was made before: %v", i, err)
		}
	}
	if other, _ := q.Record(6, 0, Depths(4)[0]); other.Answer == all[0].Answer {
		t.Error("the seed changes nothing")
	}
}

func TestPasskeyDigitsAndDepthsAreUniform(t *testing.T) {
	p, _ := NewPasskey("paper", byteEncoder{}, 4096)
	const n = 20000
	var digits [5][10]float64
	for i := range int64(n) {
		for place, c := range p.Key(1, i) {
			digits[place][c-'0']++
		}
	}
	for place, counts := range digits {
		chi := 0.0
		for _, c := range counts {
			chi += (c - n/10) * (c - n/10) / (n / 10)
		}
		if chi > 27.9 { // χ²(9), p 0.001
			t.Errorf("digit %d: χ² = %.1f", place, chi)
		}
	}
	var places [8]float64
	last := 0
	for _, depth := range Depths(800) {
		r, err := p.Record(1, 1, depth)
		if err != nil {
			t.Fatal(err)
		}
		if r.NeedleStart < last && depth != 0.5 {
			t.Fatal("a deeper needle stands earlier")
		}
		last = r.NeedleStart - 90 // the partial block changes sides at ½
		places[min(7, (r.NeedleStart-92)*8/(4096-187))]++
	}
	for i, c := range places {
		if c < 70 || c > 130 {
			t.Errorf("octave %d of the haystack holds %g of 800 needles", i, c)
		}
	}
	first, _ := p.Record(1, 1, 0)
	end, _ := p.Record(1, 1, 1)
	if first.NeedleStart != 93 || !strings.HasSuffix(end.Text, "is the passkey.\n\nWhat is the pass key? The passkey is") {
		t.Errorf("depth 0 at %d, depth 1 ends %q", first.NeedleStart, end.Text[len(end.Text)-80:])
	}
}

func TestGuessScoresChance(t *testing.T) {
	p, _ := NewPasskey("paper", byteEncoder{}, 256)
	exact, digits := 0, 0.0
	const n = 3000
	for i := range int64(n) {
		r, err := p.Record(1, i, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		s := Judge(r, Guess(r, 2))
		if s.Exact {
			exact++
		}
		digits += s.PerDigit / n
	}
	if exact > 1 || digits < 0.09 || digits > 0.11 {
		t.Errorf("a guess is right %d times of %d, digits %.3f; chance is 0.03 times and 0.1", exact, n, digits)
	}
}

func TestPasskeyErrors(t *testing.T) {
	if _, err := NewPasskey("papr", byteEncoder{}, 100); err == nil || !strings.Contains(err.Error(), "paper, infinitebench, longlora") {
		t.Error(err)
	}
	if _, err := NewPasskey("paper", byteEncoder{}, 0); err == nil {
		t.Error("length 0")
	}
	p, _ := NewPasskey("paper", byteEncoder{}, 64)
	if _, err := p.Record(0, 0, 1.5); err == nil || !strings.Contains(err.Error(), "0 to 1") {
		t.Error(err)
	}
	if _, err := p.Records(Depths(2), 2, 0); err == nil || !strings.Contains(err.Error(), "length ≥ 187") {
		t.Error(err)
	}
	if _, err := p.Records(nil, 2, 0); err == nil {
		t.Error("no depths")
	}
	for _, bad := range []string{"", "x", "-3", "0.5,1.5", "NaN", "20000"} {
		if d, err := ParseDepths(bad); err == nil {
			t.Errorf("depths %q gave %v", bad, d)
		}
	}
	for text, want := range map[string]int{"1": 1, "10": 10, "0": 1, "0,0.5,1": 3, "0.25": 1} {
		if d, err := ParseDepths(text); err != nil || len(d) != want {
			t.Errorf("depths %q: %v, %v", text, d, err)
		}
	}
}

// lossy loses capitals, so its ids do not decode to the text.
type lossy struct{ byteEncoder }

func (l lossy) Encode(text string) ([]int, error) { return l.byteEncoder.Encode(strings.ToLower(text)) }

func TestTokenizerThatLosesTextIsRefused(t *testing.T) {
	p, _ := NewPasskey("paper", lossy{}, 400)
	if _, err := p.Record(0, 0, 0.5); err == nil || !strings.Contains(err.Error(), "does not decode") {
		t.Error(err)
	}
}

func TestWriteRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.jsonl")
	p, _ := NewPasskey("paper", byteEncoder{}, 300)
	err := Write(path, func(put func(Record) error) error { return p.Grid(Depths(3), 2, 9, put) })
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines", len(lines))
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(lines[5]), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"text", "ids", "answer", "answer_ids", "depth", "needle_start", "needle_end", "length", "variant", "seed", "version"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("field %s is missing", name)
		}
	}
}

func ExamplePasskey_Record() {
	p, err := NewPasskey("paper", byteEncoder{}, 512)
	if err != nil {
		panic(err)
	}
	r, err := p.Record(0, 0, 0.5)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(r.IDs), Oracle(r) == r.Answer)
	// Output: 512 true
}
