package datasets

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// byteEncoder has one token per byte.
type byteEncoder struct{}

func (byteEncoder) Encode(text string) ([]int, error) {
	ids := make([]int, len(text))
	for i := range ids {
		ids[i] = int(text[i])
	}
	return ids, nil
}

func (byteEncoder) Decode(ids []int) (string, error) {
	var b strings.Builder
	for _, id := range ids {
		b.WriteByte(byte(id))
	}
	return b.String(), nil
}

func (byteEncoder) Vocab() int   { return 257 }
func (byteEncoder) EOS() int     { return 256 }
func (byteEncoder) Name() string { return "bytes" }

// corpusOf makes train documents of the given lengths in bytes. Byte i of document d is a letter that depends on both.
func corpusOf(lengths ...int) *Corpus {
	docs := make([]Document, len(lengths))
	for d, n := range lengths {
		text := make([]byte, n)
		for i := range text {
			text[i] = byte('a' + (i*7+d*11+i/13)%26)
		}
		docs[d] = Document{ID: fmt.Sprint("doc", d), Domain: "x", Split: "train", Text: string(text)}
	}
	c, err := FromDocuments("made", docs)
	if err != nil {
		panic(err)
	}
	return c
}

func tokensOf(lengths ...int) *Tokens {
	t, err := Tokenize(corpusOf(lengths...), Filter{KeepCopies: true}, byteEncoder{})
	if err != nil {
		panic(err)
	}
	return t
}

// prose is n words drawn from a small vocabulary.
func prose(seed uint64, n int) []string {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("w%d", r.IntN(2000))
	}
	return words
}
