package bound

import (
	"math"
	"sort"
)

// Entropy2 is the entropy of a coin in bits, h₂(p).
func Entropy2(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log2(p) - (1-p)*math.Log2(1-p)
}

// Information is the least number of bits from which each of items independent uniform values out of so many can be read
// with a mean error of ε: M·[log₂V − h₂(ε) − ε·log₂(V−1)], 0 from ε = 1 − 1/V on, where guessing is enough. The
// bound is concave in the errors of single items, so that it holds for their mean.
func Information(items, values int, epsilon float64) float64 {
	v := float64(values)
	if epsilon >= 1-1/v {
		return 0
	}
	return float64(items) * max(math.Log2(v)-Entropy2(epsilon)-epsilon*math.Log2(v-1), 0)
}

// Distinct is Information for items whose values all differ, drawn without replacement, which takes less: Σ_{i<M} log₂(V−i) −
// M·[h₂(ε) + ε·log₂(V−1)], at least 0.
func Distinct(items, values int, epsilon float64) float64 {
	v := float64(values)
	if epsilon >= 1-1/v {
		return 0
	}
	a, _ := math.Lgamma(v + 1)
	b, _ := math.Lgamma(v - float64(items) + 1)
	return max((a-b)/math.Ln2-float64(items)*(Entropy2(epsilon)+epsilon*math.Log2(v-1)), 0)
}

// MaxItems is the most items that so many bits hold at an error of ε per item.
func MaxItems(bits float64, values int, epsilon float64) float64 {
	each := Information(1, values, epsilon)
	if each == 0 {
		return math.MaxFloat64
	}
	return bits / each
}

// MinError is the least mean error of items read from so many bits: the ε at which Information is bits.
func MinError(bits float64, items, values int) float64 {
	chance := 1 - 1/float64(values)
	if Information(items, values, 0) <= bits {
		return 0
	}
	low, high := 0.0, chance // Information falls from low to high
	for range 200 {
		if middle := (low + high) / 2; Information(items, values, middle) > bits {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Dictionary is the number of bits that tells all tables of items out of so many keys apart: log₂C(K, M) + M·log₂V.
func Dictionary(items, keys, values int) float64 {
	lg := func(n int) float64 {
		v, _ := math.Lgamma(float64(n + 1))
		return v
	}
	choose := (lg(keys) - lg(items) - lg(keys-items)) / math.Ln2
	return max(choose, 0) + float64(items)*math.Log2(float64(values))
}

// Copying is the least share of uniform strings of length n over so many values that a memory of so many bits gets
// wrong: 1 − 2^b/V^n, and 0 where the memory is large enough.
func Copying(bits float64, n, values int) float64 {
	return max(0, -math.Expm1((bits-float64(n)*math.Log2(float64(values)))*math.Ln2))
}

// LongestCopy is the longest string that so many bits copy with at most an error of ε, in tokens.
func LongestCopy(bits float64, values int, epsilon float64) int {
	most := int(bits/math.Log2(float64(values))) + 64
	return sort.Search(most, func(n int) bool { return Copying(bits, n+1, values) > epsilon })
}
