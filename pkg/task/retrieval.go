package task

import (
	"fmt"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// retrieval is RULER's retrieval without words (arXiv 2404.06654, needle in a haystack): Keys keys have Values values each;
// the pairs of key and value stand in random order, with blanks of id 0 between them, before Queries keys, each
// followed by all its values in the order in which they stood. One query of one value among many keys is multi-key
// retrieval, several values multi-value, several queries multi-query. Keys are ids below V/2, values those from V/2 on.
type retrieval struct {
	Vocab   int `json:"vocab" about:"ids: 0 is blank, the lower half are keys, the upper half values"`
	Keys    int `json:"keys" about:"keys that have values; 0: half of the room"`
	Values  int `json:"values" about:"values of each key"`
	Queries int `json:"queries" about:"keys that are asked for"`

	length int
}

func (t *retrieval) open(length int, _ lexicon) error {
	t.length = length
	if err := within(bounds{"vocab", t.Vocab, 4, 1 << 30}, bounds{"values", t.Values, 1, 1 << 20}, bounds{"queries", t.Queries, 1, 1 << 20}); err != nil {
		return err
	}
	if t.Keys == 0 {
		room := (length - t.Queries*(1+t.Values)) / 2 / t.Values
		t.Keys = min(max(room/2, t.Queries), t.Vocab/2-1, (t.Vocab-t.Vocab/2)/t.Values)
	}
	if err := within(bounds{"keys", t.Keys, t.Queries, t.Vocab/2 - 1}, bounds{"keys × values", t.Keys * t.Values, 1, t.Vocab - t.Vocab/2}); err != nil {
		return err
	}
	if need := 2*t.Keys*t.Values + t.Queries*(1+t.Values); need > length {
		return &TooShortError{Length: length, Minimum: need, Set: "fewer keys, values or queries"}
	}
	return nil
}

func (t *retrieval) fill(s *draw.Stream, r *Record) error {
	half, pairs := t.Vocab/2, t.Keys*t.Values
	keys, values := distinct(s, half-1, t.Keys), distinct(s, t.Vocab-half, pairs)
	context := t.length - t.Queries*(1+t.Values)
	places := distinct(s, context/2, pairs)
	ids := make([]int32, t.length)
	order := make([]int, context/2) // pair at each slot, from 1
	for pair, slot := range places {
		order[slot] = pair + 1
	}
	of := make([][]int32, t.Keys) // values in the order in which they stand
	for slot, pair := range order {
		if pair > 0 {
			k, v := (pair-1)/t.Values, int32(half+values[pair-1])
			ids[2*slot], ids[2*slot+1] = int32(1+keys[k]), v
			of[k] = append(of[k], v)
		}
	}
	at := context
	for q := range t.Queries {
		ids[at] = int32(1 + keys[q])
		for i, v := range of[q] {
			ids[at+1+i] = v
			r.Positions, r.Answers = append(r.Positions, at+i), append(r.Answers, v)
		}
		at += 1 + t.Values
	}
	r.IDs = ids
	r.Group = fmt.Sprint("pairs ", pairs)
	return nil
}

func (t *retrieval) guess(s *draw.Stream, r *Record) answer {
	return uniform(s, r, t.Vocab/2, t.Vocab-t.Vocab/2)
}
func (t *retrieval) chance() float64 { return 1 / float64(t.Vocab-t.Vocab/2) }
func (t *retrieval) vocab() int      { return t.Vocab }

// recall is the recall stream (datasets.RecallStream) as a task: the values of pairs that repeat are asked for.
type recall struct {
	Keys   int `json:"keys" about:"keys that there are"`
	Values int `json:"values" about:"values that there are"`
	Gap    int `json:"gap" about:"pairs after which a pair comes back at most"`

	length int
}

func (t *recall) stream(seed int64) datasets.RecallStream {
	return datasets.RecallStream{Keys: t.Keys, Values: t.Values, Gap: t.Gap, Seed: seed}
}

func (t *recall) open(length int, _ lexicon) error {
	t.length = length
	if length < 16 {
		return &TooShortError{Length: length, Minimum: 16}
	}
	return t.stream(0).Validate()
}

func (t *recall) fill(s *draw.Stream, r *Record) error {
	index := r.Index
	for range 64 { // a sequence without any repeat is left out
		tokens, repeat, _ := t.stream(r.Seed).Sequence(index, t.length)
		for at, again := range repeat {
			if again {
				r.Positions, r.Answers = append(r.Positions, at-1), append(r.Answers, tokens[at])
			}
		}
		if r.IDs = tokens; len(r.Answers) > 0 {
			break
		}
		index = int64(s.Uint64() >> 2)
	}
	r.Group = fmt.Sprint("gap ", t.Gap)
	return nil
}

func (t *recall) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, t.Keys, t.Values) }
func (t *recall) chance() float64                        { return 1 / float64(t.Values) }
func (t *recall) vocab() int                             { return t.Keys + t.Values }

// recallList asks a model that was trained on the recall stream how many pairs it holds: Pairs pairs of different keys, then
// each key once more, its value behind it, in random order among pairs of other keys. Values are drawn with replacement,
// as in the stream.
type recallList struct {
	Keys   int `json:"keys" about:"keys that there are"`
	Values int `json:"values" about:"values that there are"`
	Pairs  int `json:"pairs" about:"pairs of the list; 0: a quarter of those that fit"`

	length int
}

func (t *recallList) open(length int, _ lexicon) error {
	t.length = length
	if t.Pairs == 0 {
		t.Pairs = min(max(length/8, 1), t.Keys-1)
	}
	if err := within(bounds{"keys", t.Keys, 2, 1 << 30}, bounds{"values", t.Values, 2, 1 << 30}, bounds{"pairs", t.Pairs, 1, t.Keys - 1}); err != nil {
		return err
	}
	if need := 4 * t.Pairs; need > length {
		return &TooShortError{Length: length, Minimum: need, Set: "fewer pairs"}
	}
	return nil
}

func (t *recallList) fill(s *draw.Stream, r *Record) error {
	order := distinct(s, t.Keys, t.Pairs)
	value := func() int32 { return int32(t.Keys + s.Below(t.Values)) }
	bound := map[int32]int32{}
	for _, k := range order {
		bound[int32(k)] = value()
		r.IDs = append(r.IDs, int32(k), bound[int32(k)])
	}
	asked := map[int]int32{} // slot → key
	for i, slot := range distinct(s, (t.length-2*t.Pairs)/2, t.Pairs) {
		asked[slot] = int32(order[i])
	}
	for slot := 0; len(r.IDs) < t.length; slot++ {
		k, again := asked[slot]
		v := bound[k]
		if again {
			r.Positions, r.Answers = append(r.Positions, len(r.IDs)), append(r.Answers, v)
		} else {
			for k, again = int32(s.Below(t.Keys)), true; again; _, again = bound[k] {
				k = int32(s.Below(t.Keys))
			}
			v = value()
		}
		r.IDs = append(r.IDs, k, v)
	}
	r.IDs = r.IDs[:t.length]
	r.Group = fmt.Sprint("pairs ", t.Pairs)
	return nil
}

func (t *recallList) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, t.Keys, t.Values) }
func (t *recallList) chance() float64                        { return 1 / float64(t.Values) }
func (t *recallList) vocab() int                             { return t.Keys + t.Values }
