// Package baseline measures how well simple models predict a text, in bits per byte, for comparison with trained ones: a bigram,
// an n-gram with interpolated Kneser–Ney smoothing (Ney, Essen, Kneser, 1994), and LZMA2 compression.
package baseline

import (
	"fmt"
	"math"
)

// symbols are the 256 bytes plus start, which precedes a document and is never predicted.
const (
	symbols = 256
	start   = 256
)

// A Model gives the probability of every byte after a context.
type Model interface {
	// Probability of byte next after the bytes of the same document before it. Over all next it sums to 1.
	Probability(context []byte, next byte) float64
	// Name for tables.
	Name() string
}

// BitsPerByte returns the mean of -log₂ Probability over all bytes of the documents, each read from its own beginning. A
// probability that is not in (0, 1], and an empty text, are errors.
func BitsPerByte(m Model, documents []string) (float64, error) {
	bits, n := 0.0, 0
	for _, d := range documents {
		text := []byte(d)
		for i, c := range text {
			p := m.Probability(text[:i], c)
			if !(p > 0 && p <= 1) {
				return 0, fmt.Errorf("%s: probability %g of byte %d at place %d", m.Name(), p, c, i)
			}
			bits -= math.Log2(p)
		}
		n += len(text)
	}
	if n == 0 {
		return 0, fmt.Errorf("%s: no text to measure", m.Name())
	}
	return bits / float64(n), nil
}

func checkText(name string, documents []string) error {
	for _, d := range documents {
		if len(d) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s: no text to learn from", name)
}
