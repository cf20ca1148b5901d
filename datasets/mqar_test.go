package datasets

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMQAR(t *testing.T) {
	updated := NewMQAR(64, 8, 64, 1)
	updated.Updates = 6
	for _, m := range []MQAR{NewMQAR(8192, 16, 256, 1), NewMQAR(64, 16, 64, 2), updated, MQAROf(RecallStream{40, 3, 8, 1}, 10, 81)} {
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		for index := range int64(50) {
			tokens, labels := m.Sequence(index)
			last, asked, bindings := map[int32]int32{}, map[int32]bool{}, 0
			for i := 0; i < 2*(m.Pairs+m.Updates); i += 2 {
				k, v := tokens[i], tokens[i+1]
				if old, known := last[k]; known != (i >= 2*m.Pairs) || known && old == v {
					t.Fatalf("pair %d binds %d to %d, before to %d", i/2, k, v, old)
				}
				if int(k) < m.FirstKey || int(k) >= m.FirstKey+m.Keys || int(v) < m.FirstValue || int(v) >= m.FirstValue+m.Values {
					t.Fatalf("pair %d %d outside the alphabets", k, v)
				}
				last[k] = v
				bindings++
			}
			for i, label := range labels {
				if label < 0 {
					if i >= 2*bindings && m.Filler >= 0 && int(tokens[i]) != m.Filler {
						t.Fatalf("position %d holds %d, want the filler", i, tokens[i])
					}
					if _, known := last[tokens[i]]; known && i >= 2*bindings {
						t.Fatalf("key %d stands at position %d without a label", tokens[i], i)
					}
					continue
				}
				if i < 2*bindings || i%2 != 0 || last[tokens[i]] != label || asked[tokens[i]] {
					t.Fatalf("position %d asks for %d, label %d, last value %d", i, tokens[i], label, last[tokens[i]])
				}
				if m.Filler < 0 && tokens[i+1] != label {
					t.Fatalf("the value does not stand after the query at %d", i)
				}
				asked[tokens[i]] = true
			}
			if len(asked) != m.Pairs {
				t.Fatalf("%d of %d keys are asked", len(asked), m.Pairs)
			}
			again, _ := m.Sequence(index)
			other, _ := m.Sequence(index + 1)
			if !slices.Equal(again, tokens) || slices.Equal(other, tokens) {
				t.Fatal("not a function of the index")
			}
		}
	}
	for want, bad := range map[string]MQAR{
		"pairs is 0":        NewMQAR(64, 0, 64, 1),
		"pairs is 40":       NewMQAR(64, 40, 640, 1),
		"length is 63":      NewMQAR(64, 16, 63, 1),
		"power is 0":        {1, 4, 5, 4, 0, 2, 0, 8, 0, 1},
		"values is 1":       {1, 4, 5, 1, 0, 2, 0, 8, 1, 1},
		"want 1 to 39":      MQAROf(RecallStream{40, 3, 8, 1}, 40, 400),
		"updates is -1":     {1, 4, 5, 4, 0, 2, -1, 16, 1, 1},
		"filler is -2":      {1, 4, 5, 4, -2, 2, 0, 8, 1, 1},
		"length is 8, want": {1, 4, 5, 4, 0, 2, 1, 8, 1, 1},
	} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestMQARPlaces compares the share of queries in the first quarter of the slots with drawing them one after the other.
func TestMQARPlaces(t *testing.T) {
	for _, power := range []float64{1, 0.01} {
		m := NewMQAR(64, 4, 72, 3) // 32 slots
		m.Power = power
		early, naive := 0.0, 0.0
		random := rand.New(rand.NewPCG(1, 2))
		for index := range int64(5000) {
			_, labels := m.Sequence(index)
			for i, l := range labels {
				if l >= 0 && i < 8+16 {
					early += 1. / 20000
				}
			}
			weights := make([]float64, 32)
			for i := range weights {
				weights[i] = math.Pow(float64(i+1), power-1)
			}
			for range 4 {
				sum := 0.0
				for _, w := range weights {
					sum += w
				}
				at, u := -1, random.Float64()*sum
				for u >= 0 && at < 31 {
					at++
					u -= weights[at]
				}
				weights[at] = 0
				if at < 8 {
					naive += 1. / 20000
				}
			}
		}
		if math.Abs(early-naive) > 0.02 {
			t.Errorf("a = %g: %.3f of the queries stand in the first quarter, drawn one by one %.3f", power, early, naive)
		}
	}
}

func ExampleMQAR_Sequence() {
	tokens, labels := NewMQAR(16, 2, 12, 1).Sequence(0)
	fmt.Println(tokens)
	fmt.Println(labels)
	// Output:
	// [2 8 7 10 2 0 0 0 0 0 7 0]
	// [-1 -1 -1 -1 8 -1 -1 -1 -1 -1 10 -1]
}
