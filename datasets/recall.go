package datasets

import (
	"fmt"
	"math"
	"sync"

	"stuffed/datasets/draw"
)

// RecallStream generates text made to be remembered: pairs of a key and a value. With probability one half a pair repeats the
// pair ⌊exp(U·ln Gap)⌋ pairs back (U uniform on [0, 1), clamped to what exists); otherwise key and value are fresh and uniform.
// Everything useful is at most Gap pairs old. A key drawn again by chance is rebound: a repeat always gives the latest value of
// its key.
//
// Keys are the ids 0 … Keys-1, values Keys … Keys+Values-1.
type RecallStream struct {
	Keys, Values int
	Gap          int // pairs
	Seed         int64
}

// NewRecallStream is the stream of 3,840 keys, 256 values and the given gap in pairs.
func NewRecallStream(gap int, seed int64) RecallStream { return RecallStream{3840, 256, gap, seed} }

// Validate names the field that is out of range.
func (r RecallStream) Validate() error {
	for _, f := range []struct {
		name  string
		value int
		low   int
	}{{"keys", r.Keys, 2}, {"values", r.Values, 2}, {"gap", r.Gap, 1}} {
		if f.value < f.low || f.value > 1<<30 {
			return fmt.Errorf("recall stream: %s is %d, want %d to %d", f.name, f.value, f.low, 1<<30)
		}
	}
	return nil
}

// Vocab is the number of token ids.
func (r RecallStream) Vocab() int { return r.Keys + r.Values }

// Sequence returns the first length tokens of sequence index, a pure function of the stream and the index: shorter sequences are
// prefixes of longer ones. repeat is true at the value positions of repeated pairs, the only tokens that can be known; there age
// says how many pairs ago the key last occurred, and it is 0 elsewhere.
func (r RecallStream) Sequence(index int64, length int) (tokens []int32, repeat []bool, age []int32) {
	tokens, repeat, age = make([]int32, length), make([]bool, length), make([]int32, length)
	r.Fill(index, tokens, repeat, age)
	return tokens, repeat, age
}

// lastSeen pools slices holding the pair at which each key last occurred. They are never cleared: only keys of the sequence
// itself are looked up.
var lastSeen = sync.Pool{New: func() any { return new([]int32) }}

// Fill is Sequence into slices of the caller; repeat and age may be nil.
func (r RecallStream) Fill(index int64, tokens []int32, repeat []bool, age []int32) {
	held := lastSeen.Get().(*[]int32)
	defer lastSeen.Put(held)
	if len(*held) < r.Keys {
		*held = make([]int32, r.Keys)
	}
	last := *held
	clear(repeat)
	clear(age)
	key, logGap := draw.Key(r.Seed, "recall", index), math.Log(float64(r.Gap))
	for at := 0; at < len(tokens); at += 2 {
		pair := at / 2
		coin := draw.At(key, 2*uint64(pair))
		var k, v int32
		again := coin>>63 == 1 && pair > 0
		if again {
			gap := min(int(math.Exp(draw.Unit(coin<<1)*logGap)), pair)
			k = tokens[2*(pair-gap)]
			v = tokens[2*last[k]+1]
		} else {
			fresh := draw.At(key, 2*uint64(pair)+1)
			k = int32(fresh >> 32 * uint64(r.Keys) >> 32)
			v = int32(r.Keys) + int32(fresh&math.MaxUint32*uint64(r.Values)>>32)
		}
		tokens[at] = k
		if at+1 < len(tokens) {
			tokens[at+1] = v
			if again && repeat != nil {
				repeat[at+1] = true
			}
			if again && age != nil {
				age[at+1] = int32(pair) - last[k]
			}
		}
		last[k] = int32(pair)
	}
}

// RecallBatches serves sequences of a recall stream as batches. Sequence chain·B + r is read by row r in Chain steps, one segment
// of T tokens each; with Chain 1 every step has fresh sequences.
type RecallBatches struct {
	Stream RecallStream
	B      int
	T      int
	Chain  int // steps before a row begins a new sequence; 0 means 1
}

// Batch generates the sequences of a step.
func (r RecallBatches) Batch(step int64) (Batch, error) {
	if err := r.Stream.Validate(); err != nil {
		return Batch{}, err
	}
	if r.B < 1 || r.T < 1 || r.Chain < 0 {
		return Batch{}, fmt.Errorf("recall batch: %d rows of %d tokens, chain %d; rows and tokens must be 1 or more, chain 0 or more", r.B, r.T, r.Chain)
	}
	if err := checkStep(step); err != nil {
		return Batch{}, err
	}
	chain := int64(max(r.Chain, 1))
	group, segment := step/chain, int(step%chain)
	batch := newBatch(r.B, r.T)
	tokens := make([]int32, (segment+1)*r.T+1)
	for row := range r.B {
		r.Stream.Fill(group*int64(r.B)+int64(row), tokens, nil, nil)
		copy(batch.Inputs[row*r.T:], tokens[segment*r.T:(segment+1)*r.T])
		copy(batch.Targets[row*r.T:(row+1)*r.T], tokens[segment*r.T+1:])
		batch.Reset[row] = segment == 0
	}
	return batch, nil
}

// Shape returns rows and tokens per row.
func (r RecallBatches) Shape() (b, t int) { return r.B, r.T }

// Vocab returns the number of token ids.
func (r RecallBatches) Vocab() int { return r.Stream.Vocab() }

// Tokens returns 0: the stream has no end.
func (r RecallBatches) Tokens() int64 { return 0 }
