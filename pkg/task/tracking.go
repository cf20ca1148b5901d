package task

import (
	"fmt"

	"stuffed/datasets/draw"
)

var tracking = []Kind{
	{"parity", "parity-1", "after every bit, whether the ones so far are odd in number", false, func() maker { return &parity{} }},
	{"permutations", "permutations-1", "after every permutation, the product of all so far", false, func() maker { return &permutations{Of: 5} }},
}

// parity is the word problem of Z₂, which a recurrence with positive real eigenvalues cannot track (arXiv 2411.12537):
// bits 0 and 1; after each the parity of all so far, as 0 or 1, is to be said, though the next bit follows.
type parity struct{ length int }

func (p *parity) open(length int, _ lexicon) error { p.length = length; return nil }

func (p *parity) fill(s *draw.Stream, r *Record) error {
	r.IDs = make([]int32, p.length)
	sum := int32(0)
	for i := range r.IDs {
		r.IDs[i] = int32(s.Below(2))
		sum ^= r.IDs[i]
		r.Positions, r.Answers = append(r.Positions, i), append(r.Answers, sum)
	}
	r.Group = fmt.Sprint("length ", p.length)
	return nil
}

func (p *parity) guess(s *draw.Stream, r *Record) answer { return uniform(s, r, 0, 2) }
func (p *parity) chance() float64                        { return 0.5 }
func (p *parity) vocab() int                             { return 2 }

// permutations is the word problem of the symmetric group S_n (arXiv 2404.08819): ids are permutations in lexicographic
// order; after each the product of all so far is to be said, the first applied first.
type permutations struct {
	Of int `json:"of" about:"n: permutations of n things"`

	length   int
	products [][]int32 // [first, then]
}

func (p *permutations) open(length int, _ lexicon) error {
	p.length = length
	if err := within(bounds{"of", p.Of, 2, 6}); err != nil {
		return err
	}
	elements, rank := orders(p.Of), map[string]int32{}
	for i, e := range elements {
		rank[fmt.Sprint(e)] = int32(i)
	}
	p.products = make([][]int32, len(elements))
	next := make([]int, p.Of)
	for i, first := range elements {
		p.products[i] = make([]int32, len(elements))
		for j, then := range elements {
			for k := range next {
				next[k] = then[first[k]]
			}
			p.products[i][j] = rank[fmt.Sprint(next)]
		}
	}
	return nil
}

// orders lists the permutations of 0 … n−1 in lexicographic order.
func orders(n int) (all [][]int) {
	if n == 0 {
		return [][]int{{}}
	}
	for first := range n {
		for _, rest := range orders(n - 1) {
			p := []int{first}
			for _, v := range rest {
				if v >= first {
					v++
				}
				p = append(p, v)
			}
			all = append(all, p)
		}
	}
	return all
}

func (p *permutations) fill(s *draw.Stream, r *Record) error {
	r.IDs = make([]int32, p.length)
	state := int32(0) // the identity is the first
	for i := range r.IDs {
		r.IDs[i] = int32(s.Below(len(p.products)))
		state = p.products[state][r.IDs[i]]
		r.Positions, r.Answers = append(r.Positions, i), append(r.Answers, state)
	}
	r.Group = fmt.Sprint("length ", p.length)
	return nil
}

func (p *permutations) guess(s *draw.Stream, r *Record) answer {
	return uniform(s, r, 0, len(p.products))
}
func (p *permutations) chance() float64 { return 1 / float64(len(p.products)) }
func (p *permutations) vocab() int      { return len(p.products) }
