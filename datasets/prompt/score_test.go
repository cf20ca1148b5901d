package prompt

import (
	"fmt"
	"math"
	"testing"
)

func TestScores(t *testing.T) {
	for _, c := range []struct {
		output                  string
		exact, substring, first bool
		digits                  float64
	}{
		{" 01234. Remember", true, true, true, 1},
		{"01234", true, true, true, 1},
		{" 012345", false, true, false, 1},
		{"It is 01234.", false, true, true, 1},
		{"9 01234", false, true, false, 0},
		{" 01239", false, false, false, 0.8},
		{"", false, false, false, 0},
		{"none", false, false, false, 0},
	} {
		if Exact(c.output, "01234") != c.exact || Substring(c.output, "01234") != c.substring || FirstInteger(c.output, "01234") != c.first ||
			math.Abs(PerDigit(c.output, "01234")-c.digits) > 1e-12 {
			t.Errorf("%q: exact %v substring %v first %v digits %v", c.output, Exact(c.output, "01234"), Substring(c.output, "01234"),
				FirstInteger(c.output, "01234"), PerDigit(c.output, "01234"))
		}
	}
	if got := Contained("The LANTERN and 7", []string{"lantern", "8"}); got != 0.5 {
		t.Error(got)
	}
}

func TestLastTokens(t *testing.T) {
	rows := []float64{0, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1}
	if a, err := LastTokens(rows, 1000, 250); err != nil || math.Abs(a-0.9) > 1e-12 {
		t.Error(a, err)
	}
	for _, r := range []int{0, 99, 1100} {
		if _, err := LastTokens(rows, 1000, r); err == nil {
			t.Error("defined for", r)
		}
	}
}

func TestWilson(t *testing.T) {
	low, high, err := Wilson(190, 200, 1.96)
	if err != nil || math.Abs(low-0.9104) > 5e-4 || math.Abs(high-0.9726) > 5e-4 { // by hand from the closed form
		t.Error(low, high, err)
	}
	if low, high, _ := Wilson(0, 10, 1.96); low != 0 || high < 0.2 || high > 0.35 {
		t.Error(low, high)
	}
	if _, _, err := Wilson(3, 2, 1.96); err == nil {
		t.Error("3 of 2")
	}
}

func TestRecall(t *testing.T) {
	r, err := Recall([]Trials{{4096, 120, 200}, {1024, 200, 200}, {2048, 191, 200}, {8192, 0, 200}}, 0.95, 1.96)
	if err != nil || r != (RecallLength{2048, 1024, 2048, 4096, false}) {
		t.Error(r, err)
	}
	if r, _ := Recall([]Trials{{64, 10, 10}}, 0.95, 1.96); !r.Censored || r.Length != 64 {
		t.Error(r)
	}
	if r, _ := Recall([]Trials{{64, 0, 100}}, 0.95, 1.96); r != (RecallLength{NextFail: 64}) {
		t.Error(r)
	}
	if _, err := Recall(nil, 0.95, 1.96); err == nil {
		t.Error("no lengths")
	}
	if _, err := Recall([]Trials{{64, 1, 1}, {64, 1, 1}}, 0.95, 1.96); err == nil {
		t.Error("twice")
	}
}

func ExampleContained() {
	fmt.Println(Contained(" 01234 and nothing else", []string{"01234", "56789"}))
	// Output: 0.5
}
