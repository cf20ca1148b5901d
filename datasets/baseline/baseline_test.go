package baseline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"stuffed/datasets"
)

func texts(t testing.TB, domain, split string) (all []string) {
	t.Helper()
	c, err := datasets.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Each(func(d datasets.Document) error {
		if d.Domain == domain && d.Split == split {
			all = append(all, d.Text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestProbabilitiesSumToOne(t *testing.T) {
	train := []string{"abracadabra", strings.Repeat("the cat sat on the mat. ", 20), "\x00\xff\xff"}
	r := rand.New(rand.NewPCG(1, 2))
	for order := 1; order <= maxOrder; order++ {
		m, err := NewNGram(order, train)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []string{"", "a", "th", "the cat s", "never seen", "\x00\xff", "zzzzzzzzz", string(rune(r.IntN(1000)))} {
			sum := 0.0
			for b := range 256 {
				p := m.Probability([]byte(c), byte(b))
				if p <= 0 {
					t.Fatalf("order %d after %q: probability %g", order, c, p)
				}
				sum += p
			}
			if math.Abs(sum-1) > 1e-9 {
				t.Errorf("order %d after %q: probabilities sum to %g", order, c, sum)
			}
		}
	}
}

// TestBigramByHand: after a come b, b and c. N(ab)=2, N(ac)=1; n₁ and n₂ give D; the lower order counts left neighbours.
func TestBigramByHand(t *testing.T) {
	m, err := Bigram([]string{"ab", "ab", "ac"})
	if err != nil {
		t.Fatal(err)
	}
	// bigrams: ^a 3, ab 2, ac 1: one of count 1, one of count 2: D₂ = 1/3
	// left neighbours: a: {^}, b: {a}, c: {a}: three of count 1, none of count 2: D₁ = ½
	p1 := func(n float64) float64 { return (n-0.5)/3 + 0.5*3/3/256 }
	want := (2-1./3)/3 + 1./3*2/3*p1(1)
	if got := m.Probability([]byte("a"), 'b'); math.Abs(got-want) > 1e-12 {
		t.Errorf("p(b|a) = %g, by hand %g", got, want)
	}
}

func TestCountsDoNotDependOnPieces(t *testing.T) {
	text := []string{strings.Repeat("abcab", 30), "cabbage"}
	whole := sortedGrams(3, text, 1000)
	total := uint32(0)
	for _, g := range whole {
		total += g.count
	}
	if total != 157 || !slices.Equal(whole, sortedGrams(3, text, 7)) {
		t.Errorf("%d n-grams of 157 places, or other counts in pieces", total)
	}
}

func TestMoreContextPredictsBetter(t *testing.T) {
	train, valid := texts(t, "code", "train")[:20], texts(t, "code", "valid")[:1]
	last := 8.0
	for _, order := range []int{1, 2, 3, 5} {
		m, err := NewNGram(order, train)
		if err != nil {
			t.Fatal(err)
		}
		bits, err := BitsPerByte(m, valid)
		if err != nil {
			t.Fatal(err)
		}
		if bits >= last || bits < 1 {
			t.Errorf("%s: %.3f bits per byte, the order below %.3f", m.Name(), bits, last)
		}
		last = bits
	}
}

func TestRandomBytesCostEightBits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	noise := func() string {
		b := make([]byte, 200_000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return string(b)
	}
	train, valid := []string{noise()}, []string{noise()}
	m, err := NewNGram(1, train)
	if err != nil {
		t.Fatal(err)
	}
	if bits, err := BitsPerByte(m, valid); err != nil || math.Abs(bits-8) > 0.01 {
		t.Error(bits, err)
	}
	for _, compress := range []func(train, text []string) (Compressed, error){LZMA,
		func(train, text []string) (Compressed, error) { return XZ(t.Context(), train, text) }} {
		c, err := compress(train, valid)
		if err != nil || math.Abs(c.Alone-8) > 0.05 || math.Abs(c.AfterTrain-8) > 0.05 {
			t.Error(c, err)
		}
		if c, err = compress(train, train); err != nil || c.AfterTrain > 0.05 {
			t.Error("a text after itself costs", c.AfterTrain, err)
		}
	}
}

func TestCompressionPerByte(t *testing.T) {
	text := []string{strings.Repeat("a", 1000), strings.Repeat("b", 1000)}
	c, err := LZMA(nil, text)
	if err != nil || c.Alone != c.AfterTrain+8.0/2000*float64(emptySize(t)) || c.Alone > 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// emptySize is that of an xz file of nothing, which is in both sizes that AfterTrain compares.
func emptySize(t *testing.T) int64 {
	var size counter
	w, err := xz.NewWriter(&size)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return int64(size)
}

func TestErrors(t *testing.T) {
	if _, err := NewNGram(8, []string{"a"}); err == nil || !strings.Contains(err.Error(), "1 to 7") {
		t.Error(err)
	}
	if _, err := Bigram([]string{""}); err == nil {
		t.Error("no text")
	}
	if _, err := LZMA([]string{"a"}, nil); err == nil {
		t.Error("no text")
	}
	m, _ := Bigram([]string{"a"})
	if _, err := BitsPerByte(m, nil); err == nil {
		t.Error("no text")
	}
}

func BenchmarkEmbeddedProse(b *testing.B) {
	train, valid := texts(b, "prose", "train"), texts(b, "prose", "valid")
	for _, order := range []int{2, 5, 6, 7} {
		b.Run(fmt.Sprint("order", order), func(b *testing.B) {
			for b.Loop() {
				m, err := NewNGram(order, train)
				if err != nil {
					b.Fatal(err)
				}
				bits, err := BitsPerByte(m, valid)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(bits, "bits/byte")
			}
		})
	}
	b.Run("xz", func(b *testing.B) {
		for b.Loop() {
			c, err := XZ(b.Context(), train, valid)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(c.Alone, "alone-bits/byte")
			b.ReportMetric(c.AfterTrain, "bits/byte")
		}
	})
}

func ExampleNewNGram() {
	m, err := NewNGram(3, []string{"abababab"})
	if err != nil {
		panic(err)
	}
	fmt.Println(m.Probability([]byte("aba"), 'b') > 0.5)
	// Output: true
}
