package datasets

import (
	"fmt"
	"math"

	"stuffed/datasets/draw"
)

// MQAR is multi-query associative recall (Zoology, arXiv 2312.04927, appendix E): Pairs pairs of a key and a value, keys
// all different, then each key once more at a place of its own, where its value is to be said. Places are drawn without
// replacement with weights ∝ a·i^(a−1), so that most keys come back soon.
//
// With Updates, as many keys are bound anew after the pairs (each time another value than before), and the last value is
// right: a test of forgetting.
type MQAR struct {
	FirstKey, Keys     int // ids
	FirstValue, Values int
	Filler             int // id of the positions without a query; −1: pairs of other keys and values, and the value stands after a query
	Pairs, Updates     int
	Length             int     // tokens
	Power              float64 // a
	Seed               int64
}

// NewMQAR has the task's own vocabulary: filler 0, keys and values half of the ids each.
func NewMQAR(vocab, pairs, length int, seed int64) MQAR {
	return MQAR{1, vocab/2 - 1, vocab / 2, vocab / 2, 0, pairs, 0, length, 0.01, seed}
}

// MQAROf asks the same of a model that was trained on a recall stream: its keys, its values, and other pairs as filler.
func MQAROf(s RecallStream, pairs, length int) MQAR {
	return MQAR{0, s.Keys, s.Keys, s.Values, -1, pairs, 0, length, 1, s.Seed}
}

// Validate names the field that is out of range.
func (m MQAR) Validate() error {
	shown := 2 * (m.Pairs + m.Updates)
	most := m.Keys
	if m.Filler < 0 {
		most = m.Keys - 1
	}
	for _, f := range []struct {
		name            string
		value, low, top int
	}{{"keys", m.Keys, 2, 1 << 30}, {"values", m.Values, 2, 1 << 30}, {"first_key", m.FirstKey, 0, 1 << 30}, {"first_value", m.FirstValue, 0, 1 << 30},
		{"filler", m.Filler, -1, 1 << 30}, {"pairs", m.Pairs, 1, most}, {"updates", m.Updates, 0, 1 << 30},
		{"length", m.Length, shown + 2*m.Pairs, 1 << 30}} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("mqar: %s is %d, want %d to %d", f.name, f.value, f.low, f.top)
		}
	}
	if !(m.Power > 0) || math.IsInf(m.Power, 1) {
		return fmt.Errorf("mqar: power is %g, want above 0", m.Power)
	}
	return nil
}

// Vocab is the number of ids.
func (m MQAR) Vocab() int { return max(m.FirstKey+m.Keys, m.FirstValue+m.Values, m.Filler+1) }

// Sequence is sequence index: tokens, and at the positions of queries the value to be said next, −1 elsewhere.
func (m MQAR) Sequence(index int64) (tokens, labels []int32) {
	s := draw.New(draw.Key(m.Seed, "mqar", index, int64(m.Pairs), int64(m.Updates), int64(m.Length)))
	tokens, labels = make([]int32, m.Length), make([]int32, m.Length)
	for i := range labels {
		tokens[i], labels[i] = int32(max(m.Filler, 0)), -1
	}
	fresh := func() int32 { return int32(m.FirstValue + s.Below(m.Values)) }
	bound, keys := map[int32]int32{}, make([]int32, 0, m.Pairs)
	at := 0
	put := func(k, v int32) {
		tokens[at], tokens[at+1] = k, v
		at += 2
	}
	for len(keys) < m.Pairs {
		k := int32(m.FirstKey + s.Below(m.Keys))
		if _, used := bound[k]; used {
			continue
		}
		bound[k] = fresh()
		keys = append(keys, k)
		put(k, bound[k])
	}
	for range m.Updates {
		k, v := keys[s.Below(len(keys))], fresh()
		for v == bound[k] {
			v = fresh()
		}
		bound[k] = v
		put(k, v)
	}
	for i, slot := range m.places(s, (m.Length-at)/2) {
		query := at + 2*slot
		tokens[query], labels[query] = keys[i], bound[keys[i]]
		if m.Filler < 0 {
			tokens[query+1] = bound[keys[i]]
		}
	}
	for ; m.Filler < 0 && at < m.Length; at += 2 {
		if labels[at] >= 0 {
			continue
		}
		k := int32(m.FirstKey + s.Below(m.Keys))
		for _, used := bound[k]; used; _, used = bound[k] {
			k = int32(m.FirstKey + s.Below(m.Keys))
		}
		tokens[at] = k
		if at+1 < m.Length {
			tokens[at+1] = fresh()
		}
	}
	return tokens, labels
}

// places draws one of n slots for each key, without replacement, slot i ≥ 1 with weight i^(a−1): the keys −ln(u)/weight of
// an exponential race, smallest first (Efraimidis and Spirakis, 2006).
func (m MQAR) places(s *draw.Stream, n int) []int {
	type runner struct {
		time float64
		slot int
	}
	first := make([]runner, 0, m.Pairs+1) // ascending
	for i := range n {
		r := runner{-math.Log(1-s.Unit()) / math.Pow(float64(i+1), m.Power-1), i}
		if len(first) == m.Pairs && r.time >= first[len(first)-1].time {
			continue
		}
		at := len(first)
		for at > 0 && first[at-1].time > r.time {
			at--
		}
		first = append(first, r)
		copy(first[at+1:], first[at:])
		first[at] = r
		first = first[:min(len(first), m.Pairs)]
	}
	slots := make([]int, len(first))
	for i, r := range first {
		slots[i] = r.slot
	}
	return slots
}
