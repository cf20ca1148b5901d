package bound

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// encoders enumerates all maps from the strings of n values to a number of states and reports for each the smallest share of wrong tokens
// and of wrong strings that any decoder can reach.
func encoders(n, values, states int, each func(tokens, strings float64)) {
	inputs := int(math.Pow(float64(values), float64(n)))
	code := make([]int, inputs)
	for {
		tokens, whole := 0, 0
		for s := range states {
			members := 0
			counts := make([][]int, n)
			for i := range counts {
				counts[i] = make([]int, values)
			}
			for x, state := range code {
				if state != s {
					continue
				}
				members++
				for i := range n {
					counts[i][x/int(math.Pow(float64(values), float64(i)))%values]++
				}
			}
			for i := range n {
				best := 0
				for _, c := range counts[i] {
					best = max(best, c)
				}
				tokens += best
			}
			whole += min(members, 1)
		}
		each(1-float64(tokens)/float64(n*inputs), 1-float64(whole)/float64(inputs))
		at := 0
		for ; at < inputs; at++ {
			if code[at]++; code[at] < states {
				break
			}
			code[at] = 0
		}
		if at == inputs {
			return
		}
	}
}

func TestBitsAgainstAllEncoders(t *testing.T) {
	for _, c := range []struct{ n, values, states int }{{1, 4, 2}, {2, 3, 2}, {3, 2, 2}, {3, 2, 4}, {2, 2, 3}, {1, 5, 4}} {
		bits := math.Log2(float64(c.states))
		leastToken, leastString := 1.0, 1.0
		encoders(c.n, c.values, c.states, func(tokens, strings float64) {
			leastToken, leastString = min(leastToken, tokens), min(leastString, strings)
		})
		low := MinError(bits, c.n, c.values)
		if low > leastToken+1e-12 || low <= 0 {
			t.Errorf("%+v: the best encoder has error %g, the bound is %g", c, leastToken, low)
		}
		if back := Information(c.n, c.values, low); math.Abs(back-bits) > 1e-6 {
			t.Errorf("%+v: at error %g the bound needs %g bits, not %g", c, low, back, bits)
		}
		if want := Copying(bits, c.n, c.values); math.Abs(want-leastString) > 1e-12 {
			t.Errorf("%+v: the best encoder gets %g of the strings wrong, the bound is %g", c, leastString, want)
		}
	}
}

// TestDistinctAgainstAllEncoders enumerates all maps from strings without repetition to states.
func TestDistinctAgainstAllEncoders(t *testing.T) {
	for _, c := range []struct{ n, values, states int }{{2, 3, 2}, {2, 3, 3}, {3, 3, 2}, {2, 4, 2}} {
		var inputs [][]int
		for x := range int(math.Pow(float64(c.values), float64(c.n))) {
			var string []int
			for range c.n {
				if v := x % c.values; !slices.Contains(string, v) {
					string = append(string, v)
				}
				x /= c.values
			}
			if len(string) == c.n {
				inputs = append(inputs, string)
			}
		}
		least := 1.0
		for code := range int(math.Pow(float64(c.states), float64(len(inputs)))) {
			right := 0
			for s := range c.states {
				counts := make([]int, c.n*c.values)
				for i, rest := 0, code; i < len(inputs); i, rest = i+1, rest/c.states {
					if rest%c.states == s {
						for k, v := range inputs[i] {
							counts[k*c.values+v]++
						}
					}
				}
				for one := range slices.Chunk(counts, c.values) {
					right += slices.Max(one)
				}
			}
			least = min(least, 1-float64(right)/float64(c.n*len(inputs)))
		}
		if need := Distinct(c.n, c.values, least); need > math.Log2(float64(c.states))+1e-12 {
			t.Errorf("%+v: the best encoder has error %g, for which the bound asks %g bits", c, least, need)
		}
		if got, want := Distinct(c.n, c.values, 0), math.Log2(float64(len(inputs))); math.Abs(got-want) > 1e-9 {
			t.Errorf("%+v: %g bits without error, want %g for %d strings", c, got, want, len(inputs))
		}
	}
}

func TestInformationAtItsEnds(t *testing.T) {
	if got := Information(8, 16, 0); got != 32 {
		t.Error(got)
	}
	if got := Information(8, 16, 1-1.0/16); got != 0 {
		t.Error(got)
	}
	if got := MinError(32, 8, 16); got != 0 {
		t.Error(got)
	}
	if got := MinError(0, 8, 16); math.Abs(got-15.0/16) > 1e-6 || got > 15.0/16 {
		t.Error(got)
	}
	if got := MaxItems(64, 16, 0); got != 16 {
		t.Error(got)
	}
	if n := LongestCopy(20, 2, 0.5); n != 21 || Copying(20, n, 2) > 0.5 || Copying(20, n+1, 2) <= 0.5 {
		t.Error(n)
	}
}

func TestDictionaryCountsTables(t *testing.T) {
	for _, c := range []struct{ items, keys, values int }{{2, 4, 2}, {3, 5, 3}, {1, 6, 2}} {
		tables := 0
		for code := range int(math.Pow(float64(c.values+1), float64(c.keys))) { // digit 0: the key is unbound
			bound := 0
			for rest := code; rest > 0; rest /= c.values + 1 {
				bound += min(rest%(c.values+1), 1)
			}
			if bound == c.items {
				tables++
			}
		}
		if got := Dictionary(c.items, c.keys, c.values); math.Abs(got-math.Log2(float64(tables))) > 1e-9 {
			t.Errorf("%+v: %g bits for %d tables", c, got, tables)
		}
	}
}

// TestRankAgainstLeastSquares solves for a state that maps random keys to random values.
func TestRankAgainstLeastSquares(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n, p = 6, 3
	for _, m := range []int{1, n - 1, n, n + 1, n + 4} {
		keys, values := mat.NewDense(m, n, nil), mat.NewDense(m, p, nil)
		keys.Apply(func(_, _ int, _ float64) float64 { return random.NormFloat64() }, keys)
		values.Apply(func(_, _ int, _ float64) float64 { return random.NormFloat64() }, values)
		var svd mat.SVD
		if !svd.Factorize(keys, mat.SVDThin) {
			t.Fatal("no singular values")
		}
		var state, read, left mat.Dense
		svd.SolveTo(&state, values, svd.Rank(1e-12))
		read.Mul(keys, &state)
		left.Sub(&read, values)
		exact := mat.Norm(&left, 2) < 1e-9
		if exact != (m <= Rank(n*p, 1, p)) {
			t.Errorf("%d keys in %d dimensions: exact is %v, the bound is %d", m, n, exact, Rank(n*p, 1, p))
		}
	}
}

// TestInterferenceAgainstTrials writes random keys and values into a matrix and reads them back.
func TestInterferenceAgainstTrials(t *testing.T) {
	for _, c := range []struct {
		items, n, p, values int
		decay               float64
	}{{8, 32, 32, 16, 1}, {24, 32, 32, 64, 1}, {24, 32, 32, 64, 0.95}, {4, 64, 16, 8, 0.8}} {
		random := rand.New(rand.NewPCG(3, uint64(c.items)))
		right, total := 0, 0
		for range 80 {
			codes, keys, state := make([][]float64, c.values), make([][]float64, c.items), make([]float64, c.p*c.n)
			for i := range codes {
				codes[i] = make([]float64, c.p)
				for k := range codes[i] {
					codes[i][k] = float64(2*random.IntN(2) - 1)
				}
			}
			answers := make([]int, c.items)
			for i := range keys {
				keys[i], answers[i] = make([]float64, c.n), random.IntN(c.values)
				norm := 0.0
				for k := range keys[i] {
					keys[i][k] = random.NormFloat64()
					norm += keys[i][k] * keys[i][k]
				}
				for p := range c.p {
					for k := range c.n {
						keys[i][k] /= [2]float64{1, math.Sqrt(norm)}[b2i(p == 0)]
						state[p*c.n+k] = c.decay*state[p*c.n+k] + codes[answers[i]][p]*keys[i][k]
					}
				}
			}
			for i, key := range keys {
				best, at := math.Inf(-1), 0
				for v, code := range codes {
					score := 0.0
					for p := range c.p {
						for k := range c.n {
							score += code[p] * state[p*c.n+k] * key[k]
						}
					}
					if score > best {
						best, at = score, v
					}
				}
				right += b2i(at == answers[i])
				total++
			}
		}
		measured, want := float64(right)/float64(total), Interference(c.items, c.n, c.p, c.values, c.decay)
		if math.Abs(measured-want) > 0.03 {
			t.Errorf("%+v: %g of the trials are right, expected %g", c, measured, want)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCache(t *testing.T) {
	window := Cache(4096, 2, 64, 4) // a token takes 2·2·64·4 = 1,024 bytes
	if window != 4 {
		t.Fatal(window)
	}
	random := rand.New(rand.NewPCG(5, 6))
	right := 0
	const trials, items, values = 20000, 10, 4
	for range trials {
		item := random.IntN(items)
		if item >= items-window || random.IntN(values) == 0 {
			right++
		}
	}
	if got := CacheAccuracy(window, items, values); math.Abs(got-float64(right)/trials) > 0.02 || CacheAccuracy(10, 10, 4) != 1 {
		t.Error(got, float64(right)/trials)
	}
}

func TestAll(t *testing.T) {
	q := Query{Items: 64, Keys: 4096, Values: 4096, Error: 0.01, Scalars: 2048, Bits: 4, Heads: 2, HeadDim: 64, Decay: 1, Width: 64, Layers: 2}
	all, err := All(q)
	if err != nil || len(all) != 6 {
		t.Fatal(all, err)
	}
	if _, err := json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if b.Name == "" || b.Formula == "" || b.Source == "" || b.Possible == nil {
			t.Errorf("%+v", b)
		}
	}
	for want, spoil := range map[string]func(*Query){
		"items is 0": func(q *Query) { q.Items = 0 }, "at most keys": func(q *Query) { q.Keys = 10 }, "values is 1": func(q *Query) { q.Values = 1 },
		"error is 1": func(q *Query) { q.Error = 1 }, "error is NaN": func(q *Query) { q.Error = math.NaN() }, "bits is 0": func(q *Query) { q.Bits = 0 },
		"scalars is -1": func(q *Query) { q.Scalars = -1 }, "decay is 2": func(q *Query) { q.Decay = 2 },
	} {
		bad := q
		spoil(&bad)
		if _, err := All(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func ExampleInformation() {
	fmt.Printf("%.0f bits for 64 values out of 4,096, %.0f if one in ten may be wrong\n", Information(64, 4096, 0), Information(64, 4096, 0.1))
	// Output: 768 bits for 64 values out of 4,096, 661 if one in ten may be wrong
}
