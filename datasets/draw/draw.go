// Package draw provides random numbers that are pure functions of a key and a counter: SplitMix64 (Steele, Lea, Flood, 2014) read
// at any position, so that the order of data depends on seed and step and on nothing that ran before.
package draw

import (
	"hash/fnv"
	"math/bits"
)

const golden = 0x9e3779b97f4a7c15

// Mix is the output function of SplitMix64, a bijection of 64 bits.
func Mix(x uint64) uint64 {
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

// Key derives an independent key from a seed, a purpose and any number of indices.
func Key(seed int64, purpose string, indices ...int64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(purpose)) // never fails
	key := Mix(Mix(uint64(seed)+golden) ^ h.Sum64())
	for _, i := range indices {
		key = Mix(key + (uint64(i)+1)*golden)
	}
	return key
}

// At returns draw number counter of a key.
func At(key, counter uint64) uint64 { return Mix(key + (counter+1)*golden) }

// Below maps a draw to 0 … n-1 (multiply and shift; bias below n/2⁶⁴).
func Below(u uint64, n uint64) uint64 {
	high, _ := bits.Mul64(u, n)
	return high
}

// Unit maps a draw to [0, 1).
func Unit(u uint64) float64 { return float64(u>>11) / (1 << 53) }

// Stream hands out the draws of a key in order.
type Stream struct{ key, next uint64 }

// New starts at the first draw of a key.
func New(key uint64) *Stream { return &Stream{key: key} }

// Uint64 returns the next draw.
func (s *Stream) Uint64() uint64 {
	s.next++
	return At(s.key, s.next-1)
}

// Below returns the next draw in 0 … n-1.
func (s *Stream) Below(n int) int { return int(Below(s.Uint64(), uint64(n))) }

// Unit returns the next draw in [0, 1).
func (s *Stream) Unit() float64 { return Unit(s.Uint64()) }

// Permutation returns a uniformly random order of 0 … n-1 (Fisher–Yates).
func Permutation(key uint64, n int) []int {
	order := make([]int, n)
	s := New(key)
	for i := range order {
		j := s.Below(i + 1)
		order[i] = order[j]
		order[j] = i
	}
	return order
}
