package datasets

import (
	"fmt"
	"math"
	"slices"
)

// Encoder turns text into token ids and back; the tokenizers of this program are Encoders.
type Encoder interface {
	Encode(text string) ([]int, error)
	Decode(ids []int) (string, error)
	Vocab() int
	EOS() int
	Name() string
}

// Part encodes what continues a text, or what others will continue: without the space that some tokenizers put before a whole one.
func Part(enc Encoder, text string) ([]int, error) {
	if p, ok := enc.(interface {
		Part(text string) ([]int, error)
	}); ok {
		return p.Part(text)
	}
	return enc.Encode(text)
}

// framed is the ids of a text with what its tokenizer puts before and after a whole text.
func framed(enc Encoder, ids []int) []int {
	if f, ok := enc.(interface{ Frame() (before, after []int) }); ok {
		before, after := f.Frame()
		ids = slices.Concat(before, ids, after)
	}
	return ids
}

// document is framed, closed by one EOS.
func document(enc Encoder, ids []int) []int {
	ids = framed(enc, ids)
	if n := len(ids); n > 0 && ids[n-1] == enc.EOS() {
		return ids
	}
	return append(ids, enc.EOS())
}

// Origin says which document a run of tokens is.
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
	IDs       []uint16 // all tokens; perhaps a view of a file: read only, valid until Close
	CuSeqlens []int64  // [docs+1]: document i is IDs[CuSeqlens[i]:CuSeqlens[i+1]], its EOS included
	Origins   []Origin // [docs]
	Report    Report
	Tokenizer string
	Vocab     int
	EOS       int
	Cached    bool   // read from the cache
	Rebuilt   string // why a cache that was there could not be used; empty when it could
	closer    func() error
}

// Close gives the file behind the tokens back.
func (t *Tokens) Close() error {
	if t.closer == nil {
		return nil
	}
	c := t.closer
	t.IDs, t.closer = nil, nil
	return c()
}

// Documents is the number of documents.
func (t *Tokens) Documents() int { return len(t.Origins) }

// Document is the tokens of document i with its EOS.
func (t *Tokens) Document(i int) []uint16 { return t.IDs[t.CuSeqlens[i]:t.CuSeqlens[i+1]] }

// Longest is the number of tokens of the longest document, EOS included.
func (t *Tokens) Longest() int64 {
	n := int64(0)
	for i := range t.Origins {
		n = max(n, t.CuSeqlens[i+1]-t.CuSeqlens[i])
	}
	return n
}

// Tokenize filters and tokenises a corpus in memory. Prepare does the same through a cache.
func Tokenize(c *Corpus, f Filter, enc Encoder) (*Tokens, error) {
	t := &Tokens{Tokenizer: enc.Name(), Vocab: enc.Vocab(), EOS: enc.EOS()}
	err := tokenize(c, f, enc, t, func(ids []uint16) error {
		t.IDs = append(t.IDs, ids...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.IDs = slices.Clip(t.IDs)
	return t, nil
}

// tokenize fills everything of t but IDs, whose runs it hands to put.
func tokenize(c *Corpus, f Filter, enc Encoder, t *Tokens, put func([]uint16) error) error {
	if enc.Vocab() > math.MaxUint16+1 {
		return fmt.Errorf("tokenizer %s: %d ids do not fit into 16 bits (at most 65536)", enc.Name(), enc.Vocab())
	}
	c = c.forSplits(f)
	drop, err := copies(c, f)
	if err != nil {
		return err
	}
	t.CuSeqlens, t.Origins, t.Report = []int64{0}, nil, Report{}
	r := &t.Report
	place, asked := -1, 0
	ids16 := []uint16(nil)
	err = c.Each(func(d Document) error {
		place++
		r.Read++
		if !f.wants(&d) {
			r.OtherSplit++
			return nil
		}
		asked++
		if copied, ok := drop[place]; ok {
			r.Copies = append(r.Copies, copied)
			if copied.Exact {
				r.ExactCopies++
			} else {
				r.NearCopies++
			}
			return nil
		}
		ids, err := enc.Encode(d.Text)
		if err != nil {
			return fmt.Errorf("document %s: %w", d.ID, err)
		}
		if len(ids) < max(f.MinTokens, 1) {
			r.Short++
			return nil
		}
		ids16 = ids16[:0]
		for _, id := range document(enc, ids) {
			if id < 0 || id >= enc.Vocab() {
				return fmt.Errorf("document %s: tokenizer %s gave id %d, allowed is 0 to %d", d.ID, enc.Name(), id, enc.Vocab()-1)
			}
			ids16 = append(ids16, uint16(id))
		}
		r.Kept++
		r.Bytes += int64(len(d.Text))
		r.Tokens += int64(len(ids16))
		t.CuSeqlens = append(t.CuSeqlens, r.Tokens)
		t.Origins = append(t.Origins, Origin{d.ID, d.Domain, d.Split, d.Source, d.Title, d.Licence, int64(len(d.Text))})
		return put(ids16)
	})
	if err != nil {
		return err
	}
	if r.Kept == 0 {
		return fmt.Errorf("corpus %s is empty after filtering: %s; ask for other splits or domains or a smaller min_tokens", c.Name, r)
	}
	return nil
}
