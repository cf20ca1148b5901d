package prompt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

const ownText = "Själva havet låg öde. Ingen såg   det då!\n\nВсё было тихо, and the tide went out. Nothing else happened that day. "

// A text of one's own surrounds the needle in its own order, exact in length, with no character divided.
func TestOwnHaystack(t *testing.T) {
	for _, enc := range encoders() {
		made := 0
		for length := 40; length <= 700; length += 7 {
			p, err := NewPasskey("paper", enc, length)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Within(ownText); err != nil {
				t.Fatal(err)
			}
			for _, depth := range []float64{0, 0.4, 1} {
				r, err := p.Record(1, 2, depth)
				var short *TooShortError
				if errors.As(err, &short) {
					continue
				} else if err != nil {
					t.Fatal(err)
				}
				made++
				if enc.Name() == "bytes" {
					check(t, enc, r)
				}
				if len(r.IDs) != length || !utf8.ValidString(r.Text) || Oracle(r) != r.Answer || strings.Contains(r.Text, "grass is green") {
					t.Fatalf("%s, %d tokens at %g: %q", enc.Name(), length, depth, r.Text)
				}
				before, after, _ := strings.Cut(strings.TrimPrefix(r.Text, p.form.prefix), "The passkey is "+r.Answer)
				_, after, _ = strings.Cut(after, "is the passkey.")
				after, _, _ = strings.Cut(after, "\n\nWhat is")
				body := strings.TrimRight(before, "\n") + strings.TrimRight(strings.TrimPrefix(after, "\n"), "\n")
				if n := min(len(body), len(ownText)-1); body[:n] != ownText[:n] {
					t.Fatalf("%q is not the text's beginning", body)
				}
			}
		}
		if made < 30 {
			t.Errorf("%s: %d prompts", enc.Name(), made)
		}
	}
	p, err := NewPasskey("paper", byteEncoder{}, 400)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := p.Record(1, 2, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Within(ownText); err != nil {
		t.Fatal(err)
	}
	within, err := p.Record(1, 2, 0.5)
	if err != nil || within.Answer != plain.Answer || within.Version == plain.Version {
		t.Errorf("key %s and %s, version %s and %s, %v", plain.Answer, within.Answer, plain.Version, within.Version, err)
	}
	if err := p.Within(" \n"); err == nil {
		t.Error("an empty text is a haystack")
	}
}

// Statements stand between whole sentences of the text.
func TestRetrievalInOwnText(t *testing.T) {
	for _, enc := range encoders() {
		for length := 150; length <= 900; length += 50 {
			r := Retrieval{Keys: 3, Values: 1, Queries: 2, Length: length, Encoder: enc, Text: ownText}
			rec, err := r.Record(3, int64(length), 0.5)
			var short *TooShortError
			if errors.As(err, &short) {
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			if len(rec.IDs) != length || !utf8.ValidString(rec.Text) || Oracle(rec) != rec.Answer || len(rec.Needles) != 2 {
				t.Fatalf("%s, %d tokens: %q", enc.Name(), length, rec.Text)
			}
			if length > 850 && (!strings.Contains(rec.Text, "havet låg öde.") || strings.Contains(rec.Text, "The ferry left")) {
				t.Errorf("%q", rec.Text)
			}
		}
	}
	if err := (Retrieval{Keys: 1, Values: 1, Queries: 1, Length: 99, Encoder: byteEncoder{}, Text: " "}).Validate(); err == nil {
		t.Error("an empty text is a haystack")
	}
}

func ExamplePasskey_Within() {
	p, err := NewPasskey("paper", byteEncoder{}, 300)
	if err != nil {
		panic(err)
	}
	if err := p.Within("The harbour was empty when we came. "); err != nil {
		panic(err)
	}
	r, err := p.Record(1, 0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(r.IDs), r.Answer, strings.Contains(r.Text, "harbour"))
	// Output: 300 12541 true
}
