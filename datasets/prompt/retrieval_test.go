package prompt

import (
	"fmt"
	"strings"
	"testing"
)

func TestRetrieval(t *testing.T) {
	for _, enc := range encoders() {
		for kind, r := range map[string]Retrieval{"single": {1, 1, 1, 0, enc}, "multikey": {4, 1, 1, 0, enc}, "multivalue": {1, 4, 1, 0, enc}, "multiquery": {4, 1, 4, 0, enc}} {
			made := 0
			for length := 64; length <= 4096; length += 64 {
				r.Length = length
				rec, err := r.Record(3, int64(length), 0.25)
				if _, short := err.(*TooShortError); short {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				check(t, enc, rec)
				if rec.Variant != kind || len(rec.Answers) != r.Values*r.Queries || len(rec.Needles) != len(rec.Answers) {
					t.Fatalf("%s: %d answers, %d needles", rec.Variant, len(rec.Answers), len(rec.Needles))
				}
				if got := strings.Count(rec.Text, "The number kept for"); got != r.Keys*r.Values {
					t.Fatalf("%d statements, want %d", got, r.Keys*r.Values)
				}
				made++
			}
			if made < 56 {
				t.Errorf("%s %s: only %d lengths", enc.Name(), kind, made)
			}
		}
	}
}

func TestRetrievalNamesAndNumbersDiffer(t *testing.T) {
	rec, err := Retrieval{1000, 2, 3, 200000, byteEncoder{}}.Record(1, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	check(t, byteEncoder{}, rec)
	names, numbers := map[string]int{}, map[string]bool{}
	for _, fact := range retrievalFact.FindAllStringSubmatch(rec.Text, -1) {
		names[fact[1]]++
		numbers[fact[2]] = true
	}
	if len(names) != 1000 || len(numbers) != 2000 {
		t.Errorf("%d names, %d numbers", len(names), len(numbers))
	}
}

func TestRetrievalPlacesAreUniform(t *testing.T) {
	r := Retrieval{4, 1, 1, 3000, byteEncoder{}}
	var octaves [8]float64
	const n = 600
	for i := range int64(n) {
		rec, err := r.Record(1, i, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for range 4 {
			at += strings.Index(rec.Text[at:], "The number kept for")
			if at != rec.NeedleStart+1 {
				octaves[min(7, at*8/2950)]++
			}
			at++
		}
	}
	for i, c := range octaves {
		if c < 0.6*3*n/8 || c > 1.4*3*n/8 {
			t.Errorf("octave %d: %g distractors, expected about %d", i, c, 3*n/8)
		}
	}
}

func TestRetrievalGuess(t *testing.T) {
	r := Retrieval{1, 4, 1, 700, byteEncoder{}}
	contained := 0.0
	for i := range int64(300) {
		rec, err := r.Record(1, i, 0.5)
		if err != nil {
			t.Fatal(err)
		}
		contained += Judge(rec, Guess(rec, 1)).Contained
	}
	if contained > 0.5 {
		t.Errorf("guesses hold %g right numbers", contained)
	}
}

func TestRetrievalErrors(t *testing.T) {
	for want, r := range map[string]Retrieval{
		"keys is 0":       {0, 1, 1, 100, byteEncoder{}},
		"values is 17":    {1, 17, 1, 100, byteEncoder{}},
		"queries is 2":    {1, 1, 2, 100, byteEncoder{}},
		"length is 0":     {1, 1, 1, 0, byteEncoder{}},
		"no tokenizer":    {1, 1, 1, 100, nil},
		"below the fixed": {1, 1, 1, 100, byteEncoder{}},
	} {
		if _, err := r.Record(0, 0, 0.5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := (Retrieval{1, 1, 1, 300, byteEncoder{}}).Record(0, 0, -0.1); err == nil {
		t.Error("depth below 0")
	}
}

func ExampleRetrieval_Record() {
	r, err := Retrieval{Keys: 1, Values: 2, Queries: 1, Length: 400, Encoder: byteEncoder{}}.Record(0, 0, 0.5)
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Variant, len(r.IDs), len(r.Answers), Oracle(r) == r.Answer)
	// Output: multivalue 400 2 true
}
