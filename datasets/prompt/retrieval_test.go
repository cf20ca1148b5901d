package prompt

import (
	"fmt"
	"strings"
	"testing"
)

func TestRetrieval(t *testing.T) {
	for _, enc := range encoders() {
		for kind, r := range map[string]Retrieval{"single": {Keys: 1, Values: 1, Queries: 1, Encoder: enc}, "multikey": {Keys: 4, Values: 1, Queries: 1, Encoder: enc}, "multivalue": {Keys: 1, Values: 4, Queries: 1, Encoder: enc}, "multiquery": {Keys: 4, Values: 1, Queries: 4, Encoder: enc}} {
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
	rec, err := Retrieval{Keys: 1000, Values: 2, Queries: 3, Length: 200000, Encoder: byteEncoder{}}.Record(1, 1, 1)
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
	r := Retrieval{Keys: 4, Values: 1, Queries: 1, Length: 3000, Encoder: byteEncoder{}}
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
	r := Retrieval{Keys: 1, Values: 4, Queries: 1, Length: 700, Encoder: byteEncoder{}}
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
		"keys is 0":       {Keys: 0, Values: 1, Queries: 1, Length: 100, Encoder: byteEncoder{}},
		"values is 17":    {Keys: 1, Values: 17, Queries: 1, Length: 100, Encoder: byteEncoder{}},
		"queries is 2":    {Keys: 1, Values: 1, Queries: 2, Length: 100, Encoder: byteEncoder{}},
		"length is 0":     {Keys: 1, Values: 1, Queries: 1, Length: 0, Encoder: byteEncoder{}},
		"no tokenizer":    {Keys: 1, Values: 1, Queries: 1, Length: 100, Encoder: nil},
		"below the fixed": {Keys: 1, Values: 1, Queries: 1, Length: 100, Encoder: byteEncoder{}},
	} {
		if _, err := r.Record(0, 0, 0.5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := (Retrieval{Keys: 1, Values: 1, Queries: 1, Length: 300, Encoder: byteEncoder{}}).Record(0, 0, -0.1); err == nil {
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
