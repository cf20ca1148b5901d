package datasets

import (
	"slices"
	"testing"
)

// framing is a tokenizer that begins a document with 1 and may end it.
type framing struct {
	byteEncoder
	after []int
}

func (f framing) Frame() (before, after []int) { return []int{1}, f.after }

// TestDocumentsAreFramed: a document has what its tokenizer puts around a whole text, and one EOS.
func TestDocumentsAreFramed(t *testing.T) {
	for _, c := range []struct {
		enc  Encoder
		want []int
	}{
		{byteEncoder{}, []int{'a', 'b', 256}}, {framing{}, []int{1, 'a', 'b', 256}}, {framing{after: []int{256}}, []int{1, 'a', 'b', 256}},
		{framing{after: []int{2}}, []int{1, 'a', 'b', 2, 256}},
	} {
		if got := document(c.enc, []int{'a', 'b'}); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.enc, got, c.want)
		}
	}
}
