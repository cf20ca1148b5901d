package datasets

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestRecallStream(t *testing.T) {
	for _, r := range []RecallStream{NewRecallStream(32, 1), {40, 10, 16, 2}, {5, 3, 100, 3}} {
		const length = 40000
		tokens, repeat, age := r.Sequence(9, length)
		last, repeats := map[int32]int{}, 0
		for i := 0; i < length; i += 2 {
			k, v := tokens[i], tokens[i+1]
			if k < 0 || int(k) >= r.Keys || int(v) < r.Keys || int(v) >= r.Vocab() {
				t.Fatalf("pair %d %d is outside the alphabets", k, v)
			}
			if repeat[i] || age[i] != 0 {
				t.Fatal("only values are marked")
			}
			if repeat[i+1] {
				repeats++
				j, ok := last[k]
				if !ok || tokens[2*j+1] != v || int(age[i+1]) != i/2-j || i/2-j > r.Gap || i/2-j < 1 {
					t.Fatalf("pair %d: a reader that remembers the latest value of each key is wrong", i/2)
				}
			} else if age[i+1] != 0 {
				t.Fatal("an age without a repeat")
			}
			last[k] = i / 2
		}
		if share := float64(repeats) / (length / 2); math.Abs(share-0.5) > 0.015 {
			t.Errorf("%.3f of pairs repeat", share)
		}
	}
}

func TestRecallStreamStatistics(t *testing.T) {
	r := NewRecallStream(32, 4)
	const length = 200000
	tokens, repeat, age := r.Sequence(0, length)
	var values [256]float64
	var keys [16]float64
	fresh, guessed := 0.0, 0
	gaps := make([]float64, 33)
	for i := 1; i < length; i += 2 {
		if repeat[i] {
			gaps[age[i]]++
			if int(tokens[i]) == r.Keys+i%256 { // a reader that knows nothing
				guessed++
			}
			continue
		}
		fresh++
		values[int(tokens[i])-r.Keys]++
		keys[int(tokens[i-1])*16/r.Keys]++
	}
	chi := func(counts []float64) (sum float64) {
		expected := fresh / float64(len(counts))
		for _, c := range counts {
			sum += (c - expected) * (c - expected) / expected
		}
		return sum
	}
	if c := chi(values[:]); c > 330.5 { // χ²(255), p 0.001
		t.Errorf("values: χ² = %.1f", c)
	}
	if c := chi(keys[:]); c > 37.7 { // χ²(15)
		t.Errorf("keys: χ² = %.1f", c)
	}
	repeats := length/2 - fresh
	if p := float64(guessed) / repeats; p > 0.008 {
		t.Errorf("a guess is right in %.4f of repeats, chance is 0.0039", p)
	}
	// The pair copied lies ⌊exp(U ln 32)⌋ back; the age is that of its key's latest place, so it is never larger and often smaller.
	if gaps[0] != 0 || gaps[32] != 0 || gaps[1] < repeats*math.Log(2)/math.Log(32) || gaps[31] == 0 || gaps[31] > repeats*math.Log(32./31)/math.Log(32) {
		t.Errorf("ages: %v", gaps)
	}
}

func TestRecallSequencesAreIndependentOfLengthAndOrder(t *testing.T) {
	r := RecallStream{100, 20, 32, 5}
	long, _, longAge := r.Sequence(3, 1001)
	r.Sequence(4, 64)
	NewRecallStream(32, 1).Sequence(0, 64)
	for _, n := range []int{0, 1, 2, 63, 64, 1000} {
		short, repeat, age := r.Sequence(3, n)
		if !slices.Equal(short, long[:n]) || !slices.Equal(age, longAge[:n]) || len(repeat) != n {
			t.Fatalf("length %d is not the beginning of length 1001", n)
		}
	}
	tokens, repeat, age := make([]int32, 1001), make([]bool, 1001), make([]int32, 1001)
	for i := range tokens {
		tokens[i], repeat[i], age[i] = 7, true, 7
	}
	r.Fill(3, tokens, repeat, age)
	if _, want, _ := r.Sequence(3, 1001); !slices.Equal(tokens, long) || !slices.Equal(repeat, want) || !slices.Equal(age, longAge) {
		t.Error("what stood in the slices before shows")
	}
	other, _, _ := r.Sequence(4, 1001)
	if slices.Equal(other, long) {
		t.Error("sequences are alike")
	}
}

func TestRecallChain(t *testing.T) {
	r := RecallBatches{RecallStream{40, 10, 8, 1}, 2, 15, 3}
	for group := range int64(2) {
		var got [2][]int32
		for segment := range int64(3) {
			b := must(r.Batch(group*3 + segment))
			for row := range 2 {
				got[row] = append(got[row], b.Inputs[row*15:(row+1)*15]...)
				if b.Reset[row] != (segment == 0) {
					t.Error("reset")
				}
			}
		}
		for row := range 2 {
			want, _, _ := r.Stream.Sequence(group*2+int64(row), 45)
			if !slices.Equal(got[row], want) {
				t.Fatal("segments of a chain are not one sequence")
			}
		}
	}
}

func BenchmarkRecallStream(b *testing.B) {
	for _, length := range []int{65, 4097} {
		b.Run(fmt.Sprint(length), func(b *testing.B) {
			r := NewRecallStream(32, 1)
			tokens := make([]int32, length)
			for i := range b.N {
				r.Fill(int64(i), tokens, nil, nil)
			}
			b.ReportMetric(float64(b.N*length)/b.Elapsed().Seconds()/1e6, "Mtokens/s")
		})
	}
}

func ExampleRecallStream_Sequence() {
	tokens, repeat, age := RecallStream{Keys: 8, Values: 4, Gap: 4, Seed: 1}.Sequence(0, 12)
	for i := 0; i < len(tokens); i += 2 {
		fmt.Println(tokens[i], tokens[i+1], repeat[i+1], age[i+1])
	}
	// Output:
	// 3 9 false 0
	// 4 8 false 0
	// 4 8 true 1
	// 0 9 false 0
	// 0 9 false 0
	// 2 9 false 0
}
