package task

import (
	"fmt"

	"stuffed/datasets/draw"
)

var flipFlops = []Kind{
	{"flip-flop", "flip-flop-1", "a bit that is written, kept while others pass, and read", false, func() maker { return &flipFlop{Ignore: 0.8} }},
}

// flipFlop is flip-flop language modelling (arXiv 2306.00946): pairs of an instruction and a bit. Write sets the memory, ignore leaves it
// unchanged, and read asks for the stored bit. The first pair is a write and the last a read; in between, a pair is an ignore with
// probability ignore, and otherwise a write or a read with equal probability. Ids 0 and 1 are the bits.
type flipFlop struct {
	Ignore float64 `json:"ignore" about:"probability that a pair is to be ignored, 0 up to below 1"`

	length int
}

// Ids of the instructions, after the bits; start is prepended if the length is odd.
const (
	write = iota + 2
	ignore
	read
	start
	flipFlopVocab
)

func (f *flipFlop) open(length int, _ lexicon) error {
	f.length = length
	if !(f.Ignore >= 0 && f.Ignore < 1) {
		return fmt.Errorf("ignore = %g is outside 0 up to below 1", f.Ignore)
	}
	if length < 4 {
		return &TooShortError{Length: length, Minimum: 4}
	}
	return nil
}

func (f *flipFlop) fill(s *draw.Stream, r *Record) error {
	if f.length%2 == 1 {
		r.IDs = append(r.IDs, start)
	}
	pairs, memory := f.length/2, int32(0)
	for i := range pairs {
		instruction, u := int32(ignore), s.Unit()
		switch {
		case i == 0 || i < pairs-1 && u >= f.Ignore && u < (1+f.Ignore)/2:
			instruction = write
		case i == pairs-1 || u >= f.Ignore:
			instruction = read
		}
		bit := int32(s.Below(2))
		switch instruction {
		case write:
			memory = bit
		case read:
			bit = memory
			r.Positions, r.Answers = append(r.Positions, len(r.IDs)), append(r.Answers, bit)
		}
		r.IDs = append(r.IDs, instruction, bit)
	}
	r.Group = fmt.Sprint("length ", f.length)
	return nil
}

func (f *flipFlop) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, 0, 2) }
func (f *flipFlop) chance() float64                        { return 0.5 }
func (f *flipFlop) vocab() int                             { return flipFlopVocab }
