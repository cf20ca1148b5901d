package task

import (
	"fmt"
	"math"
	"slices"

	"stuffed/datasets/draw"
)

var associations = []Kind{
	{"mqar", "mqar-1", "multi-query associative recall as in Zoology: key-value pairs, then every key once more", false,
		func() maker { return &mqar{Vocab: 8192, Passes: 1, Power: 0.01, Fill: "random"} }},
	{"mqar-forgetting", "mqar-forgetting-1", "MQAR in which keys are bound anew and the last value is right", false,
		func() maker { return &mqar{Vocab: 8192, Passes: 1, Power: 0.01, Fill: "random", Updates: -1} }},
	{"mqar-compositional", "mqar-compositional-1", "MQAR whose keys are pairs of tokens, neither of which tells the value alone", false,
		func() maker { return &compositional{Vocab: 8192, Power: 0.01, Fill: "random"} }},
	{"retrieval", "retrieval-2", "pairs of key and value in a stream of others, then queries: multi-key, multi-value and multi-query", false,
		func() maker { return &retrieval{Vocab: 8192, Values: 1, Queries: 1} }},
	{"recall", "recall-1", "the recall stream: pairs that come back after at most gap pairs", false,
		func() maker { return &recall{Keys: 3840, Values: 256, Gap: 32} }},
	{"recall-list", "recall-list-1", "a list of pairs in the ids of the recall stream, then every key once more among other pairs", false,
		func() maker { return &recallList{Keys: 3840, Values: 256} }},
}

// mqar is multi-query associative recall (arXiv 2312.04927, appendix E) in the form of its authors' generator: pairs of a
// key in [1, V/2) and a value in [V/2, V), both drawn without replacement, stand Passes times at the beginning; then each
// key comes once more in a slot of two tokens, slot i ≥ 1 drawn without replacement with weight ∝ i^(a−1), and its value
// is to be said there, though another token follows. All blanks hold random ids of the whole vocabulary (fill random),
// which may be keys, or random ids without the sequence's keys (fill free), or 0 (fill zero).
//
// Updates of the pairs are repeated after the others with another value than before, and the last value is right.
type mqar struct {
	Vocab   int     `json:"vocab" about:"ids: the lower half are keys, the upper half values"`
	Pairs   int     `json:"pairs" about:"pairs; 0: length/16"`
	Passes  int     `json:"passes" about:"times that the pairs stand at the beginning"`
	Updates int     `json:"updates" about:"keys that are bound anew; −1: half of the pairs"`
	Power   float64 `json:"power" about:"a: 1 places queries evenly, 0.01 early"`
	Fill    string  `json:"fill" about:"blanks: random, free (random without the keys) or zero"`

	length  int
	weights []float64 // of the slots
}

func (m *mqar) open(length int, _ lexicon) error {
	m.length = length
	if m.Pairs == 0 {
		m.Pairs = min(max(length/16, 1), 256, m.Vocab/2-1)
	}
	if m.Updates < 0 {
		m.Updates = max(m.Pairs/2, 1)
	}
	if err := within(bounds{"vocab", m.Vocab, 4, 1 << 30}, bounds{"pairs", m.Pairs, 1, m.Vocab/2 - 1}, bounds{"passes", m.Passes, 1, 1 << 20},
		bounds{"updates", m.Updates, 0, m.Pairs}); err != nil {
		return err
	}
	if err := oneOf("fill", m.Fill, "random", "free", "zero"); err != nil {
		return err
	}
	if need := m.context() + 2*m.Pairs; need > length {
		return &TooShortError{Length: length, Minimum: need, Set: "fewer pairs"}
	}
	var err error
	m.weights, err = powerLaw((length-m.context())/2, m.Power)
	return err
}

func (m *mqar) context() int { return 2 * (m.Pairs*m.Passes + m.Updates) }

// powerLaw are the weights i^(a−1) of n slots.
func powerLaw(n int, a float64) ([]float64, error) {
	if !(a > 0) || math.IsInf(a, 1) {
		return nil, fmt.Errorf("param power is %g, want above 0", a)
	}
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Pow(float64(i+1), a-1)
	}
	return w, nil
}

// slots draws k of the weighted slots without replacement, in the order of the draws: the smallest −ln(u)/weight of an
// exponential race (Efraimidis and Spirakis, 2006).
func slots(s *draw.Stream, weights []float64, k int) []int {
	type runner struct {
		time float64
		slot int
	}
	all := make([]runner, len(weights))
	for i, w := range weights {
		all[i] = runner{-math.Log(1-s.Unit()) / w, i}
	}
	slices.SortFunc(all, func(a, b runner) int {
		switch {
		case a.time < b.time:
			return -1
		case a.time > b.time:
			return 1
		}
		return a.slot - b.slot
	})
	first := make([]int, k)
	for i := range first {
		first[i] = all[i].slot
	}
	return first
}

func (m *mqar) fill(s *draw.Stream, r *Record) error {
	half := m.Vocab / 2
	keys, values := distinct(s, half-1, m.Pairs), distinct(s, m.Vocab-half, m.Pairs)
	ids := make([]int32, m.length)
	at, bound := 0, make([]int32, m.Pairs)
	put := func(k, v int32) {
		ids[at], ids[at+1] = k, v
		at += 2
	}
	for range m.Passes {
		for i := range keys {
			bound[i] = int32(half + values[i])
			put(int32(1+keys[i]), bound[i])
		}
	}
	if m.Updates > 0 {
		for _, i := range distinct(s, m.Pairs, m.Updates) {
			old := int(bound[i]) - half
			bound[i] = int32(half + (old+1+s.Below(m.Vocab-half-1))%(m.Vocab-half))
			put(int32(1+keys[i]), bound[i])
		}
	}
	labels := map[int]int32{}
	for i, slot := range slots(s, m.weights, m.Pairs) {
		query := m.context() + 2*slot
		ids[query], labels[query] = int32(1+keys[i]), bound[i]
	}
	blanks(s, ids, m.context(), m.Vocab, m.Fill)
	answersAt(r, ids, labels)
	r.Group = fmt.Sprint("pairs ", m.Pairs)
	return nil
}

// blanks replaces the zeros from a position on by random ids.
func blanks(s *draw.Stream, ids []int32, from, vocab int, fill string) {
	if fill == "zero" {
		return
	}
	used := map[int32]bool{}
	if fill == "free" {
		for _, id := range ids {
			used[id] = true
		}
		delete(used, 0)
	}
	for i := from; i < len(ids); i++ {
		for ids[i] == 0 {
			id := int32(s.Below(vocab))
			if fill == "random" || id == 0 {
				ids[i] = id
				break
			}
			if !used[id] {
				ids[i] = id
			}
		}
	}
}

// answersAt fills a record in the order of positions.
func answersAt(r *Record, ids []int32, labels map[int]int32) {
	r.IDs = ids
	for at := range labels {
		r.Positions = append(r.Positions, at)
	}
	slices.Sort(r.Positions)
	for _, at := range r.Positions {
		r.Answers = append(r.Answers, labels[at])
	}
}

func (m *mqar) guess(s *draw.Stream, r *Record) answer {
	return uniform(s, r, m.Vocab/2, m.Vocab-m.Vocab/2)
}
func (m *mqar) chance() float64 { return 1 / float64(m.Vocab-m.Vocab/2) }
func (m *mqar) vocab() int      { return m.Vocab }

// compositional is MQAR with keys of two tokens, all pairs of g first and g second tokens in random order, so that neither
// tells the value alone. A third of the ids each are first tokens, second tokens and values; slots are three tokens wide.
type compositional struct {
	Vocab int     `json:"vocab" about:"ids: a third each are first and second halves of keys, and values"`
	Grid  int     `json:"grid" about:"g: there are g² pairs; 0: as many as fit into length/2"`
	Power float64 `json:"power" about:"a: 1 places queries evenly, 0.01 early"`
	Fill  string  `json:"fill" about:"blanks: random, free (random without tokens of the sequence) or zero"`

	length  int
	weights []float64
}

func (c *compositional) open(length int, _ lexicon) error {
	c.length = length
	if c.Grid == 0 {
		c.Grid = max(min(int(math.Sqrt(float64(length)/12)), 16, c.Vocab/3-1), 1)
	}
	if err := within(bounds{"vocab", c.Vocab, 6, 1 << 30}, bounds{"grid", c.Grid, 1, c.Vocab/3 - 1}, bounds{"grid² (number of values)", c.Grid * c.Grid, 1, c.Vocab - 2*(c.Vocab/3)}); err != nil {
		return err
	}
	if err := oneOf("fill", c.Fill, "random", "free", "zero"); err != nil {
		return err
	}
	if need := 6 * c.Grid * c.Grid; need > length {
		return &TooShortError{Length: length, Minimum: need, Set: "a smaller grid"}
	}
	var err error
	c.weights, err = powerLaw((length-3*c.Grid*c.Grid)/3, c.Power)
	return err
}

func (c *compositional) fill(s *draw.Stream, r *Record) error {
	third, pairs := c.Vocab/3, c.Grid*c.Grid
	first, second := distinct(s, third-1, c.Grid), distinct(s, third, c.Grid)
	order, values := distinct(s, pairs, pairs), distinct(s, c.Vocab-2*third, pairs)
	ids, labels := make([]int32, c.length), map[int]int32{}
	key := func(i int) (int32, int32) {
		return int32(1 + first[order[i]/c.Grid]), int32(third + second[order[i]%c.Grid])
	}
	for i := range pairs {
		ids[3*i], ids[3*i+1] = key(i)
		ids[3*i+2] = int32(2*third + values[i])
	}
	for i, slot := range slots(s, c.weights, pairs) {
		query := 3*pairs + 3*slot
		ids[query], ids[query+1] = key(i)
		labels[query+1] = int32(2*third + values[i])
	}
	blanks(s, ids, 3*pairs, c.Vocab, c.Fill)
	answersAt(r, ids, labels)
	r.Group = fmt.Sprint("pairs ", pairs)
	return nil
}

func (c *compositional) guess(s *draw.Stream, r *Record) answer {
	return uniform(s, r, 2*(c.Vocab/3), c.Vocab-2*(c.Vocab/3))
}
func (c *compositional) chance() float64 { return 1 / float64(c.Vocab-2*(c.Vocab/3)) }
func (c *compositional) vocab() int      { return c.Vocab }
