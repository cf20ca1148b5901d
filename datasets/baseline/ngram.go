package baseline

import (
	"fmt"
	"slices"
)

// maxOrder keeps an n-gram of 9-bit symbols in 63 bits.
const maxOrder = 7

// NGram is a byte n-gram model with interpolated Kneser–Ney smoothing and one discount per order:
//
//	p_n(w|c) = max(N(cw) - D_n, 0)/N(c·) + D_n·U(c·)/N(c·) · p_{n-1}(w|c')
//
// N are counts for the highest order and numbers of different left neighbours below it, U(c·) is the number of different bytes after
// c, c' is c without its first byte, D_n = n₁/(n₁+2n₂), and p_0 is uniform. The sum over w is 1 for every c.
type NGram struct {
	order  int
	levels []level // [order]
}

type level struct {
	counts   map[uint64]uint32
	contexts map[uint64]followers
	discount float64
}

type followers struct{ total, distinct uint32 }

// Bigram is an NGram of order 2: only the previous byte counts.
func Bigram(train []string) (*NGram, error) { return NewNGram(2, train) }

// NewNGram counts the n-grams of a text; order is 1 to 7. Every document begins with a context of its own.
func NewNGram(order int, train []string) (*NGram, error) {
	if order < 1 || order > maxOrder {
		return nil, fmt.Errorf("n-gram: order is %d, want 1 to %d", order, maxOrder)
	}
	if err := checkText("n-gram", train); err != nil {
		return nil, err
	}
	m := &NGram{order: order, levels: make([]level, order)}
	grams := sortedGrams(order, train, 1<<22)
	for n := order; n >= 1; n-- {
		m.levels[n-1] = newLevel(grams)
		grams = shorter(grams, n)
	}
	return m, nil
}

func (m *NGram) Name() string { return fmt.Sprintf("%d-gram, Kneser–Ney", m.order) }

// gram is an n-gram, its last byte in the lowest 9 bits, and its count.
type gram struct {
	key   uint64
	count uint32
}

func mask(n int) uint64 { return 1<<(9*n) - 1 }

// sortedGrams counts by sorting in batches, so that memory follows the number of distinct n-grams.
func sortedGrams(order int, documents []string, piece int) []gram {
	var all []gram
	keys := make([]uint64, 0, piece)
	flush := func() {
		slices.Sort(keys)
		all = merge(all, keys)
		keys = keys[:0]
	}
	for _, d := range documents {
		key := uint64(0)
		for range order {
			key = key<<9 | start
		}
		for i := range len(d) {
			key = (key<<9 | uint64(d[i])) & mask(order)
			if keys = append(keys, key); len(keys) == piece {
				flush()
			}
		}
	}
	flush()
	return all
}

// merge adds sorted keys to sorted counts.
func merge(old []gram, keys []uint64) []gram {
	merged := make([]gram, 0, len(old)+len(keys)/4)
	i := 0
	for k := 0; k < len(keys); {
		end := k + 1
		for end < len(keys) && keys[end] == keys[k] {
			end++
		}
		for ; i < len(old) && old[i].key < keys[k]; i++ {
			merged = append(merged, old[i])
		}
		g := gram{keys[k], uint32(end - k)}
		if i < len(old) && old[i].key == g.key {
			g.count += old[i].count
			i++
		}
		merged = append(merged, g)
		k = end
	}
	return append(merged, old[i:]...)
}

// shorter drops the first symbol of n-grams and counts how many distinct ones shared each rest.
func shorter(grams []gram, n int) []gram {
	if n == 1 {
		return nil
	}
	keys := make([]uint64, len(grams))
	for i, g := range grams {
		keys[i] = g.key & mask(n-1)
	}
	slices.Sort(keys)
	return merge(nil, keys)
}

func newLevel(grams []gram) level {
	l := level{counts: make(map[uint64]uint32, len(grams)), contexts: map[uint64]followers{}}
	once, twice := 0.0, 0.0
	for i := 0; i < len(grams); {
		c := followers{}
		before := grams[i].key >> 9
		for ; i < len(grams) && grams[i].key>>9 == before; i++ {
			g := grams[i]
			l.counts[g.key] = g.count
			c.total += g.count
			c.distinct++
			switch g.count {
			case 1:
				once++
			case 2:
				twice++
			}
		}
		l.contexts[before] = c
	}
	l.discount = 0.5
	if once > 0 && twice > 0 {
		l.discount = once / (once + 2*twice)
	}
	return l
}

// Probability of a byte after at most order-1 preceding bytes of its document.
func (m *NGram) Probability(before []byte, next byte) float64 {
	key, p := uint64(next), 1.0/symbols
	for n := 1; n <= m.order; n++ {
		if n > 1 {
			s := uint64(start)
			if n-1 <= len(before) {
				s = uint64(before[len(before)-(n-1)])
			}
			key |= s << (9 * (n - 1))
		}
		l := &m.levels[n-1]
		c, ok := l.contexts[key>>9]
		if !ok {
			break // a longer context was not seen either
		}
		p *= l.discount * float64(c.distinct) / float64(c.total)
		if count := l.counts[key]; count > 0 {
			p += (float64(count) - l.discount) / float64(c.total)
		}
	}
	return p
}
