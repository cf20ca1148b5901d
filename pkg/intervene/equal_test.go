package intervene_test

import (
	"math"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/arch/llama"
	"stuffed/pkg/intervene"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
)

// The window is that of the same number of numbers, counted by hand; one that holds the whole sequence has the loss of the whole cache,
// a narrower one another.
func TestEqualMemory(t *testing.T) {
	probes, err := prompt.Texts{Kind: "random", Vocab: 32, Length: 40, Count: 3}.Make(nil)
	if err != nil {
		t.Fatal(err)
	}
	small := llama.Default(16, 1, 32)
	small.Heads, small.Head = 2, 8
	m, err := small.New()
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	recurrent, transformer := intervene.Named{Name: "mamba2", Bench: initial(t)}, intervene.Named{Name: "llama", Bench: bench(t, w)}
	e := intervene.Equal{Probes: probes, Inside: 16, Bytes: 4}
	rows, err := e.Run(t.Context(), []intervene.Named{recurrent}, transformer)
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) []float64 {
		v, err := rows.Float(name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// Two layers of four heads of 8 × 6, and three inputs of the convolution over 32 + 2 · 6 channels each; a token of the cache: 2 · 2 · 8.
	const carried = 2*4*8*6 + 2*3*(32+2*6)
	numbers, windows, far := column("numbers"), column("window"), column("far")
	if len(far) != 3 || numbers[0] != carried || windows[1] != carried/32 || numbers[1] != carried/32*32 || numbers[2] != 40*32 {
		t.Errorf("numbers %v, windows %v, want %d numbers, a window of %d", numbers, windows, carried, carried/32)
	}
	if math.Abs(far[1]-far[2]) < 1e-7 {
		t.Errorf("far loss %g with a window of %g and with the whole cache", far[1], windows[1])
	}
	wide := initialNamed(t, 64)
	if rows, err = e.Run(t.Context(), []intervene.Named{wide}, transformer); err != nil {
		t.Fatal(err)
	}
	if all := column("far"); column("window")[1] != 40 || math.Abs(all[1]-far[2]) > 1e-6 {
		t.Errorf("a window of the whole sequence: far loss %g, of the whole cache %g", all[1], far[2])
	}
	former, err := table.Rows[intervene.EqualRow](rows.Take([]int{0, 2}))
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	count := func(intervene.EqualRow) error { made++; return nil }
	if err := e.Each(t.Context(), []intervene.Named{wide}, transformer, former, count); err != nil || made != 1 {
		t.Errorf("%d rows were made anew, want the one that is missing (%v)", made, err)
	}
	if _, err := e.Run(t.Context(), nil, recurrent); err == nil {
		t.Error("a recurrent model stood for the transformer")
	}
}

// initialNamed is a model with states of so many keys.
func initialNamed(t *testing.T, state int) intervene.Named {
	t.Helper()
	c := config()
	c.State = state
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	return intervene.Named{Name: "wide", Bench: bench(t, w)}
}
