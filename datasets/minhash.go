package datasets

import (
	"math"
	"unicode/utf8"

	"stuffed/datasets/draw"
)

// Near copies: MinHash (Broder, 1997) over word 5-grams with 128 hash functions; 32 bands of 4 rows find the candidates, the share of
// equal minima estimates their Jaccard similarity with a standard error of at most 0.045.
const (
	shingleWords = 5
	hashes       = 128
	bandRows     = 4
)

type signature [hashes]uint32

var multipliers, offsets = func() (a, b [hashes]uint64) {
	s := draw.New(draw.Key(0, "minhash"))
	for i := range a {
		a[i], b[i] = s.Uint64()|1, s.Uint64()
	}
	return
}()

// sign is the MinHash signature of a text. Case and punctuation do not count; a text of fewer than five words is one shingle.
func sign(text string) *signature {
	sig := new(signature)
	for i := range sig {
		sig[i] = math.MaxUint32
	}
	var window [shingleWords]uint64
	words := 0
	eachWord(text, func(word uint64) {
		window[words%shingleWords] = word
		words++
		if words >= shingleWords {
			sig.add(shingle(&window, words))
		}
	})
	if words < shingleWords {
		sig.add(shingle(&window, words))
	}
	return sig
}

func shingle(window *[shingleWords]uint64, end int) uint64 {
	h := uint64(0)
	for i := range shingleWords {
		h = draw.Mix(h*3 + window[(end+i)%shingleWords])
	}
	return h
}

func (s *signature) add(shingle uint64) {
	for i := range s {
		s[i] = min(s[i], uint32((multipliers[i]*shingle+offsets[i])>>32))
	}
}

// eachWord visits the hash (FNV-1a) of each run of letters and digits, ASCII capitals made small.
func eachWord(text string, visit func(uint64)) {
	const start, prime = 14695981039346656037, 1099511628211
	h, inside := uint64(start), false
	for i := range len(text) {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c >= utf8.RuneSelf {
			h, inside = (h^uint64(c))*prime, true
		} else if inside {
			visit(h)
			h, inside = start, false
		}
	}
	if inside {
		visit(h)
	}
}

// bands finds kept documents that are likely to resemble a new one.
type bands struct {
	threshold float64
	buckets   map[uint64][]int
}

func newBands(threshold float64) *bands { return &bands{threshold, map[uint64][]int{}} }

func (b *bands) keys(s *signature) (keys [hashes / bandRows]uint64) {
	for i := range keys {
		h := uint64(i)
		for _, v := range s[i*bandRows : (i+1)*bandRows] {
			h = draw.Mix(h<<32 ^ h>>32 ^ uint64(v))
		}
		keys[i] = h
	}
	return keys
}

func (b *bands) add(s *signature, document int) {
	for _, k := range b.keys(s) {
		b.buckets[k] = append(b.buckets[k], document)
	}
}

// closest is the most similar kept document at or above the threshold, the first added of equals; -1 when there is none.
func (b *bands) closest(s *signature, prints []fingerprint) (document int, similarity float64) {
	document = -1
	for _, k := range b.keys(s) {
		for _, d := range b.buckets[k] {
			equal := 0
			for i, v := range prints[d].shingles {
				if v == s[i] {
					equal++
				}
			}
			j := float64(equal) / hashes
			if j >= b.threshold && (document < 0 || j > similarity || j == similarity && d < document) {
				document, similarity = d, j
			}
		}
	}
	return document, similarity
}
