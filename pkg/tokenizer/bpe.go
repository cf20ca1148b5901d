package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// bpe is a BPE tokenizer with added tokens, in the order of the reference library: added tokens that are not normalised are cut out
// of the raw text, the rest is normalised, the other added tokens are cut out, and what remains is split into words.
type bpe struct {
	name      string
	whole     pipeline         // of a text of its own
	part      pipeline         // of what continues a text
	raw       *matcher         // added tokens matched before normalisation
	normal    *matcher         // and after it
	byteLevel bool             // words are merged from bytes, not from characters
	bytes     [256]int32       // of each byte where byteLevel, else of <0x00> … for characters that the vocabulary lacks; −1 for none
	vocab     map[string]int32 // characters, and whole words where those need no merging
	direct    bool             // a word that is in the vocabulary is one token, whatever the merges say
	unknown   int32            // what stands for a character that is not there; −1: it is left out
	fuse      bool             // several of those become one
	merges    map[uint64]merge
	texts     []string // by id
	known     []bool   // by id: an id between known ones may be unused
	eos       int
	before    []int
	after     []int
	encoders  sync.Pool
}

// pipeline is what happens to a text before its words are merged.
type pipeline struct {
	normalize []normalizer
	split     []splitter
}

type merge struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (t *bpe) Vocab() int   { return len(t.texts) }
func (t *bpe) EOS() int     { return t.eos }
func (t *bpe) Name() string { return t.name }

// Frame returns what the file's post-processor puts before and after a text.
func (t *bpe) Frame() (before, after []int) { return slices.Clone(t.before), slices.Clone(t.after) }

func (t *bpe) Encode(text string) ([]int, error) { return t.encode(text, t.whole) }

// Part is Encode for what continues a text: nothing is put before it, as some files put a space before a whole text.
func (t *bpe) Part(text string) ([]int, error) { return t.encode(text, t.part) }

func (t *bpe) encode(text string, p pipeline) ([]int, error) {
	if err := valid(text); err != nil {
		return nil, err
	}
	e, ok := t.encoders.Get().(*encoder)
	if !ok {
		e = &encoder{bpe: t, cache: map[string][]int{}}
	}
	defer t.encoders.Put(e)
	e.out = make([]int, 0, len(text)/3+8)
	first := true
	token := func(id int) {
		e.add(id)
		first = false
	}
	t.raw.cut(text, token, func(segment string) {
		for _, n := range p.normalize {
			segment = n(segment)
		}
		t.normal.cut(segment, token, func(piece string) {
			e.pieces(piece, first, p.split)
			first = false
		})
	})
	out := e.out
	e.out = nil
	return out, nil
}

// valid names the first byte that is not UTF-8.
func valid(text string) error {
	for at := 0; at < len(text) && !utf8.ValidString(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("text is not valid UTF-8 at byte %d: convert it, or use the byte tokenizer", at)
		}
		at += size
	}
	return nil
}

func (t *bpe) Decode(ids []int) (string, error) { return decode(ids, t.texts, t.known) }

// decode joins the texts of ids.
func decode(ids []int, texts []string, known []bool) (string, error) {
	var text strings.Builder
	for i, id := range ids {
		if id < 0 || id >= len(texts) || !known[id] {
			return "", fmt.Errorf("ids[%d] is %d, which is not a token: they go from 0 to %d", i, id, len(texts)-1)
		}
		text.WriteString(texts[id])
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

// pieces applies the pre-tokenizers one after the other.
func (e *encoder) pieces(text string, first bool, split []splitter) {
	if len(split) == 0 {
		e.word(text)
		return
	}
	split[0](text, first, func(piece string) {
		e.pieces(piece, first, split[1:])
		first = false
	})
}

// word takes a word from the cache, or merges it.
func (e *encoder) word(word string) {
	if ids, ok := e.cache[word]; ok {
		e.out = append(e.out, ids...)
		return
	}
	start := len(e.out)
	if id, ok := e.vocab[word]; ok && e.direct {
		e.out = append(e.out, int(id))
	} else if e.start(word); len(e.parts) > 0 {
		e.merge()
	}
	if len(word) <= cacheWordBytes {
		if len(e.cache) >= cacheWords {
			clear(e.cache)
		}
		e.cache[strings.Clone(word)] = append([]int(nil), e.out[start:]...)
	}
}

// part is a token of the word in work; prev and next link those still standing.
type part struct{ id, prev, next int32 }

// start sets the parts of a word: its bytes, or its characters, of which those that the vocabulary lacks become bytes or unknown.
func (e *encoder) start(word string) {
	e.parts = e.parts[:0]
	if e.byteLevel {
		for i := range len(word) {
			e.part(e.bytes[word[i]])
		}
		return
	}
	unknown := false
	for i, r := range word {
		size := utf8.RuneLen(r)
		id, ok := e.vocab[word[i:i+size]]
		if ok {
			e.part(id)
		} else if ok = e.spellable(word[i : i+size]); ok {
			for k := range size {
				e.part(e.bytes[word[i+k]])
			}
		} else if e.unknown >= 0 && !(unknown && e.fuse) {
			e.part(e.unknown)
		}
		unknown = !ok
	}
}

// spellable reports whether all bytes of a character are in the vocabulary.
func (e *encoder) spellable(character string) bool {
	for i := range len(character) {
		if e.bytes[character[i]] < 0 {
			return false
		}
	}
	return true
}

func (e *encoder) part(id int32) {
	n := int32(len(e.parts))
	e.parts = append(e.parts, part{id, n - 1, n + 1})
}

// merge joins the parts of one word, always the pair of lowest rank and of those the leftmost, in O(n log n).
func (e *encoder) merge() {
	e.queue = e.queue[:0]
	e.parts[len(e.parts)-1].next = -1
	for i := range len(e.parts) - 1 {
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
