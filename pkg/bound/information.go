package bound

import (
	"math"
	"sort"
)

// Entropy2 is the binary entropy in bits, h₂(p) = −p log₂p − (1−p) log₂(1−p).
func Entropy2(p float64) float64 {
	if p <= 0 || p >= 1 {
		return 0
	}
	return -p*math.Log2(p) - (1-p)*math.Log2(1-p)
}

// Information is the least number of bits needed to recall items independent values, uniform over a set of size values, with mean error
// ε: M·[log₂V − h₂(ε) − ε·log₂(V−1)], and 0 from ε = 1 − 1/V on, where guessing suffices. The entropy term is concave in the errors of
// single items, so the bound holds for their mean.
func Information(items, values int, epsilon float64) float64 {
	v := float64(values)
	if epsilon >= 1-1/v {
		return 0
	}
	return float64(items) * max(math.Log2(v)-Entropy2(epsilon)-epsilon*math.Log2(v-1), 0)
}

// Distinct is Information for values drawn without replacement, which need fewer bits: Σ_{i<M} log₂(V−i) − M·[h₂(ε) + ε·log₂(V−1)],
// at least 0.
func Distinct(items, values int, epsilon float64) float64 {
	v := float64(values)
	if epsilon >= 1-1/v {
		return 0
	}
	a, _ := math.Lgamma(v + 1)
	b, _ := math.Lgamma(v - float64(items) + 1)
	return max((a-b)/math.Ln2-float64(items)*(Entropy2(epsilon)+epsilon*math.Log2(v-1)), 0)
}

// MaxItems is the largest number of items that fit into the given bits at error ε per item.
func MaxItems(bits float64, values int, epsilon float64) float64 {
	each := Information(1, values, epsilon)
	if each == 0 {
		return math.MaxFloat64
	}
	return bits / each
}

// MinError is the smallest mean error at which items can be recalled from the given bits: the ε that makes Information equal to bits.
func MinError(bits float64, items, values int) float64 {
	chance := 1 - 1/float64(values)
	if Information(items, values, 0) <= bits {
		return 0
	}
	low, high := 0.0, chance // Information decreases from low to high
	for range 200 {
		if middle := (low + high) / 2; Information(items, values, middle) > bits {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Dictionary is the number of bits needed to distinguish all tables of items entries with the given numbers of keys and values:
// log₂C(K, M) + M·log₂V.
func Dictionary(items, keys, values int) float64 {
	lg := func(n int) float64 {
		v, _ := math.Lgamma(float64(n + 1))
		return v
	}
	choose := (lg(keys) - lg(items) - lg(keys-items)) / math.Ln2
	return max(choose, 0) + float64(items)*math.Log2(float64(values))
}

// Copying is the smallest share of uniform strings of length n that a memory of the given bits must get wrong: 1 − 2^b/V^n, or 0 if the
// memory is large enough.
func Copying(bits float64, n, values int) float64 {
	return max(0, -math.Expm1((bits-float64(n)*math.Log2(float64(values)))*math.Ln2))
}

// LongestCopy is the length, in tokens, of the longest string that the given bits can copy with error at most ε.
func LongestCopy(bits float64, values int, epsilon float64) int {
	most := int(bits/math.Log2(float64(values))) + 64
	return sort.Search(most, func(n int) bool { return Copying(bits, n+1, values) > epsilon })
}
