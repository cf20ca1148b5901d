package tokenizer

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bpe is a byte-level BPE tokenizer with added tokens, in the order of the reference library: added tokens that are not normalised
// are cut out of the raw text, the rest is normalised, the other added tokens are cut out, and what remains is split into words.
type bpe struct {
	name     string
	nfc      bool
	raw      *matcher // added tokens matched before normalisation
	normal   *matcher // and after it
	bytes    [256]int32
	merges   map[uint64]merge
	texts    []string // by id
	known    []bool   // by id: an id between known ones may be unused
	eos      int
	encoders sync.Pool
}

type merge struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (t *bpe) Vocab() int   { return len(t.texts) }
func (t *bpe) EOS() int     { return t.eos }
func (t *bpe) Name() string { return t.name }

func (t *bpe) Encode(text string) ([]int, error) {
	if !utf8.ValidString(text) {
		at := 0
		for at < len(text) {
			r, size := utf8.DecodeRuneInString(text[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return nil, fmt.Errorf("text is not valid UTF-8 at byte %d: convert it, or use the byte tokenizer", at)
	}
	e, ok := t.encoders.Get().(*encoder)
	if !ok {
		e = &encoder{bpe: t, cache: map[string][]int{}}
	}
	defer t.encoders.Put(e)
	e.out = make([]int, 0, len(text)/3+8)
	t.raw.cut(text, e.add, func(segment string) {
		if t.nfc {
			segment = norm.NFC.String(segment)
		}
		t.normal.cut(segment, e.add, e.words)
	})
	out := e.out
	e.out = nil
	return out, nil
}

func (t *bpe) Decode(ids []int) (string, error) {
	var text strings.Builder
	for i, id := range ids {
		if id < 0 || id >= len(t.texts) || !t.known[id] {
			return "", fmt.Errorf("ids[%d] is %d, which is not a token: they go from 0 to %d", i, id, len(t.texts)-1)
		}
		text.WriteString(t.texts[id])
	}
	return text.String(), nil
}

// encoder holds what one goroutine needs to encode: a cache of words and room for the merges.
type encoder struct {
	*bpe
	out   []int
	cache map[string][]int
	parts []part
	queue mergeQueue
}

const (
	cacheWords     = 1 << 15
	cacheWordBytes = 64
)

func (e *encoder) add(id int) { e.out = append(e.out, id) }

func (e *encoder) words(text string) {
	for len(text) > 0 {
		n := nextWord(text)
		word := text[:n]
		text = text[n:]
		if ids, ok := e.cache[word]; ok {
			e.out = append(e.out, ids...)
			continue
		}
		start := len(e.out)
		e.word(word)
		if n <= cacheWordBytes {
			if len(e.cache) >= cacheWords {
				clear(e.cache)
			}
			e.cache[strings.Clone(word)] = append([]int(nil), e.out[start:]...)
		}
	}
}

// part is a token of the word in work; prev and next link those still standing.
type part struct{ id, prev, next int32 }

// word merges the bytes of one word, always the pair of lowest rank and of those the leftmost, in O(n log n).
func (e *encoder) word(word string) {
	e.parts, e.queue = e.parts[:0], e.queue[:0]
	for i := range len(word) {
		e.parts = append(e.parts, part{e.bytes[word[i]], int32(i - 1), int32(i + 1)})
	}
	e.parts[len(word)-1].next = -1
	for i := range len(word) - 1 {
		e.offer(int32(i))
	}
	for len(e.queue) > 0 {
		c := e.queue.pop()
		left := &e.parts[c.at]
		if left.id < 0 || left.next < 0 {
			continue
		}
		right := &e.parts[left.next]
		if m, ok := e.merges[pairKey(left.id, right.id)]; !ok || m.rank != c.rank {
			continue // one of the two has been merged since
		} else {
			left.id = m.id
		}
		right.id = -1
		left.next = right.next
		if left.next >= 0 {
			e.parts[left.next].prev = c.at
			e.offer(c.at)
		}
		if left.prev >= 0 {
			e.offer(left.prev)
		}
	}
	for i := int32(0); i >= 0; i = e.parts[i].next {
		e.out = append(e.out, int(e.parts[i].id))
	}
}

func (e *encoder) offer(at int32) {
	left := e.parts[at]
	if m, ok := e.merges[pairKey(left.id, e.parts[left.next].id)]; ok {
		e.queue.push(candidate{m.rank, at})
	}
}

type candidate struct{ rank, at int32 }

func (c candidate) before(o candidate) bool {
	return c.rank < o.rank || c.rank == o.rank && c.at < o.at
}

// mergeQueue is a binary heap.
type mergeQueue []candidate

func (q *mergeQueue) push(c candidate) {
	h := append(*q, c)
	i := len(h) - 1
	for i > 0 && c.before(h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = c
	*q = h
}

func (q *mergeQueue) pop() candidate {
	h := *q
	first, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].before(h[child]) {
			child++
		}
		if child >= len(h) || !h[child].before(last) {
			h[i] = last
			break
		}
		h[i] = h[child]
		i = child
	}
	*q = h
	return first
}
