package datasets

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestFilterCountsEveryDocument(t *testing.T) {
	long := strings.Repeat("some words that are long enough ", 5)
	c, err := FromDocuments("c", []Document{
		{ID: "a", Domain: "x", Split: "train", Text: long},
		{ID: "b", Domain: "x", Split: "train", Text: long}, // copy of a
		{ID: "c", Domain: "x", Split: "train", Text: "short"},
		{ID: "d", Domain: "y", Split: "train", Text: long + "other"},
		{ID: "e", Domain: "x", Split: "valid", Text: long + "valid"},
		{ID: "f", Domain: "x", Split: "train", Text: long + "valid"}, // copy of e, which stays
		{ID: "g", Domain: "x", Split: "train", Text: ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := Tokenize(c, Filter{Splits: []string{"train"}, Domains: []string{"x"}, MinTokens: 10}, byteEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	r := tokens.Report
	if r.Read != 7 || r.OtherSplit != 2 || r.ExactCopies != 2 || r.NearCopies != 0 || r.Short != 2 || r.Kept != 1 || r.Bytes != int64(len(long)) || r.Tokens != r.Bytes+1 {
		t.Error(r)
	}
	if tokens.Documents() != 1 || tokens.Origins[0].ID != "a" || tokens.Document(0)[len(long)] != 256 {
		t.Error(tokens.Origins)
	}
	want := []Copy{{"b", "train", "a", "train", 1, true}, {"f", "train", "e", "valid", 1, true}}
	if !slices.Equal(r.Copies, want) {
		t.Error(r.Copies)
	}
	if list, err := Copies(c, Filter{}); err != nil || !slices.Equal(list, want) {
		t.Error(list, err)
	}
	_, err = Tokenize(c, Filter{Splits: []string{"test"}}, byteEncoder{})
	if err == nil || !strings.Contains(err.Error(), "empty after filtering") {
		t.Error(err)
	}
	if all, err := Tokenize(c, Filter{}, byteEncoder{}); err != nil || all.Report.Short != 1 || all.Report.Kept != 4 {
		t.Error("a text without tokens is no document:", all.Report, err)
	}
	for _, bad := range []Filter{{Splits: []string{"dev"}}, {MinTokens: -1}, {NearDuplicates: 0.2}, {NearDuplicates: math.NaN()}} {
		if _, err := Tokenize(c, bad, byteEncoder{}); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestNearCopies(t *testing.T) {
	var docs []Document
	base := prose(1, 3000)
	add := func(id, split string, words []string) {
		docs = append(docs, Document{ID: id, Domain: "x", Split: split, Text: strings.Join(words, " ")})
	}
	add("original", "train", base)
	for i := range 20 {
		add(fmt.Sprint("other", i), "train", prose(uint64(i+10), 3000))
	}
	near := slices.Clone(base)
	for i := 0; i < len(near); i += 100 { // 5 of 100 shingles differ: similarity 0.95/1.05
		near[i] = "changed"
	}
	add("near", "test", near)
	half := slices.Concat(base[:1500], prose(99, 1500)) // similarity 1/3
	add("half", "train", half)
	add("loud", "train", strings.Fields(strings.ToUpper(strings.Join(base, ", "))))
	c, err := FromDocuments("c", docs)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Copies(c, Filter{NearDuplicates: 0.8})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].ID != "original" || list[0].Of != "near" || list[1].ID != "loud" || list[0].Exact ||
		math.Abs(list[0].Similarity-0.905) > 0.09 {
		t.Errorf("%+v", list)
	}
	again, _ := Copies(c, Filter{NearDuplicates: 0.8})
	if !slices.Equal(list, again) {
		t.Error("not repeatable")
	}
}

// TestSimilarityIsJaccard compares the estimate with the counted similarity over pairs of all degrees.
func TestSimilarityIsJaccard(t *testing.T) {
	base := prose(5, 2000)
	for share := 1; share <= 9; share += 2 {
		other := slices.Concat(base[:200*share], prose(uint64(share+50), 2000-200*share))
		a, b := sign(strings.Join(base, " ")), sign(strings.Join(other, " "))
		equal := 0
		for i := range a {
			if a[i] == b[i] {
				equal++
			}
		}
		common := float64(200*share - 4)
		want := common / (2*1996 - common)
		if got := float64(equal) / hashes; math.Abs(got-want) > 0.15 {
			t.Errorf("share %d: estimate %.3f, counted %.3f", share, got, want)
		}
	}
	if *sign("ab cd ef gh ij kl") == *sign("ba cd ef gh ij kl") || *sign("a b c d e f") == *sign("b a d c f e") {
		t.Error("letters or words in another order are another text")
	}
	if *sign("two words") == *sign("two others") || *sign("") != *sign(" . ") {
		t.Error("short texts")
	}
}

func TestCheckSplits(t *testing.T) {
	good := []Document{{ID: "a", Split: "train", Text: "1"}, {ID: "b", Split: "train", Text: "1"}, {ID: "c", Split: "test", Text: "2"}}
	if err := CheckSplits(good); err != nil {
		t.Error(err)
	}
	if err := CheckSplits(append(good, Document{ID: "d", Split: "valid", Text: "1"})); err == nil || !strings.Contains(err.Error(), "same text") {
		t.Error(err)
	}
	if err := CheckSplits(append(good, Document{ID: "a", Split: "test", Text: "3"})); err == nil || !strings.Contains(err.Error(), `"a"`) {
		t.Error(err)
	}
}
