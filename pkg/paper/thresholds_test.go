package paper

import (
	"testing"

	"stuffed/pkg/table"
)

// A reach is judged over positions ½T … T alone: a bucket that begins at T and ends before 1.5 T is already beyond the window.
func TestReachIsOfTheWindowAlone(t *testing.T) {
	age := table.New()
	var n, length, seed, position, end, from, accuracy, repeats []float64
	var policy []string
	add := func(at, to, oldest, share float64) {
		n, length, seed = append(n, 0.5), append(length, 64), append(seed, 0)
		position, end, from = append(position, at), append(end, to), append(from, oldest)
		accuracy, repeats, policy = append(accuracy, share), append(repeats, 100), append(policy, "zero")
	}
	for _, a := range []float64{1, 2, 4} {
		add(0, 32, a, 0)      // before ½T
		add(32, 64, a, 0.96)  // the window
		add(64, 91, a, 0.5)   // beyond, below 1.5 T
		add(91, 128, a, 0.25) // beyond
	}
	add(32, 64, 8, 0.9)
	add(64, 91, 8, 1)
	for name, values := range map[string][]float64{"n_s": n, "train_length": length, "seed": seed, "position": position, "end": end, "age": from, "accuracy": accuracy, "repeats": repeats} {
		age.AddFloat(name, values)
	}
	age.AddFloat("age_end", make([]float64, len(n))).AddText("policy", policy)
	points, err := Capacity(age, "zero", 0.95)
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != 1 || points[0].Low != 8./1024 || points[0].High != 16./1024 {
		t.Errorf("reach %v K tokens, want from 8 to 16 tokens", points)
	}
}
