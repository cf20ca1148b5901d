package datasets

import "slices"

// Encoder turns text into token ids and back; this program's tokenizers are Encoders.
type Encoder interface {
	Encode(text string) ([]int, error)
	Decode(ids []int) (string, error)
	Vocab() int
	EOS() int
	Name() string
}

// Part encodes text that continues another, or that others will continue: without the space that some tokenizers put before a
// whole text.
func Part(enc Encoder, text string) ([]int, error) {
	if p, ok := enc.(interface {
		Part(text string) ([]int, error)
	}); ok {
		return p.Part(text)
	}
	return enc.Encode(text)
}

// framed returns the ids of a text with what its tokenizer puts before and after a whole text.
func framed(enc Encoder, ids []int) []int {
	if f, ok := enc.(interface{ Frame() (before, after []int) }); ok {
		before, after := f.Frame()
		ids = slices.Concat(before, ids, after)
	}
	return ids
}

// document returns framed, closed by one EOS.
func document(enc Encoder, ids []int) []int {
	ids = framed(enc, ids)
	if n := len(ids); n > 0 && ids[n-1] == enc.EOS() {
		return ids
	}
	return append(ids, enc.EOS())
}

// Origin says which document a run of tokens comes from.
type Origin struct {
	ID      string `json:"id"`
	Domain  string `json:"domain"`
	Split   string `json:"split"`
	Source  string `json:"source"`
	Title   string `json:"title"`
	Licence string `json:"licence"`
	Bytes   int64  `json:"bytes"`
}

// Tokens are documents as token ids, one after the other, each closed by EOS.
type Tokens struct {
	IDs       []uint16 // all tokens, possibly a view of a file: read-only, valid until Close
	CuSeqlens []int64  // [docs+1]: document i is IDs[CuSeqlens[i]:CuSeqlens[i+1]], its EOS included
	Origins   []Origin // [docs]
	Report    Report
	Tokenizer string
	Vocab     int
	EOS       int
	Cached    bool   // read from the cache
	Rebuilt   string // why an existing cache could not be used; empty if it could
	closer    func() error
}

// Close releases the file behind the tokens.
func (t *Tokens) Close() error {
	if t.closer == nil {
		return nil
	}
	c := t.closer
	t.IDs, t.closer = nil, nil
	return c()
}

// Documents returns the number of documents.
func (t *Tokens) Documents() int { return len(t.Origins) }

// Document returns the tokens of document i with its EOS.
func (t *Tokens) Document(i int) []uint16 { return t.IDs[t.CuSeqlens[i]:t.CuSeqlens[i+1]] }

// Longest returns the number of tokens of the longest document, EOS included.
func (t *Tokens) Longest() int64 {
	n := int64(0)
	for i := range t.Origins {
		n = max(n, t.CuSeqlens[i+1]-t.CuSeqlens[i])
	}
	return n
}
