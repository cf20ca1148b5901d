package mamba2_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

// small is a model with random weights whose gates differ between heads.
func small(t testing.TB) (mamba2.Model, *lm.Weights) {
	t.Helper()
	c := mamba2.Default(16, 2, 32)
	c.HeadDim, c.State, c.Chunk = 8, 6, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 3)
	if err != nil {
		t.Fatal(err)
	}
	return m, w
}

func tokens(n, vocab int) []int32 {
	r := rand.New(rand.NewPCG(5, 6))
	row := make([]int32, n)
	for i := range row {
		row[i] = int32(r.IntN(vocab))
	}
	return row
}

// neutral gives every control its neutral value, with positions from which and until which it acts if asked for.
func neutral(m mamba2.Model, positions bool) map[string]*tensors.Tensor {
	controls := map[string]*tensors.Tensor{}
	for _, c := range m.Controls() {
		dims := append([]int{m.Layers()}, c.Dims...)
		size := 1
		for _, d := range dims {
			size *= d
		}
		if c.Integer {
			v := make([]int32, size)
			for i := range v {
				v[i] = int32(c.Neutral)
				if c.Neutral == lm.Itself {
					v[i] = int32(i % c.Dims[0])
				}
			}
			controls[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
		} else {
			v := make([]float32, size)
			for i := range v {
				v[i] = float32(c.Neutral)
			}
			controls[c.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
		}
		if positions {
			from, until := make([]int32, m.Layers()*c.Dims[0]), make([]int32, m.Layers()*c.Dims[0])
			for i := range from {
				from[i], until[i] = int32(i%5), int32(10+i%3)
			}
			controls[c.Name+lm.From] = tensors.FromFlatDataAndDimensions(from, m.Layers(), c.Dims[0])
			controls[c.Name+lm.Until] = tensors.FromFlatDataAndDimensions(until, m.Layers(), c.Dims[0])
		}
	}
	return controls
}

// outcome runs a row in pieces and returns all logits and the last state.
func outcome(t testing.TB, d *xla.Device, w *lm.Weights, row []int32, piece int, controls map[string]*tensors.Tensor) (all []float32) {
	t.Helper()
	r := lm.NewRunner(d, w)
	r.Piece = piece
	state, err := r.Run(context.Background(), [][]int32{row}, nil, lm.Request{Logits: true, Controls: controls}, func(p lm.Piece) error {
		all = append(all, p.Logits...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range lm.InOrder(w.Model.State(1), state) {
		v, err := lm.Floats(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v...)
	}
	return all
}

// On XLA the graph with controls is another program, whose fusions round x and y otherwise on some processors: there no value
// may differ by more than a unit in the last place of the largest.
func TestNeutralControlsChangeNoBit(t *testing.T) {
	m, _ := small(t)
	row := tokens(19, m.Vocab())
	for _, name := range []string{"go", "cpu"} {
		d, err := xla.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		_, w := small(t) // tensors belong to one device
		for _, piece := range []int{16, 1} {
			row := row
			if name == "cpu" {
				row = row[:16] // fewer graphs to compile
			}
			want := outcome(t, d, w, row, piece, nil)
			for _, positions := range []bool{false, true} {
				if name == "cpu" && positions == (piece == 1) {
					continue
				}
				got := outcome(t, d, w, row, piece, neutral(m, positions))
				bad, worst, largest := 0, 0.0, 0.0
				for _, v := range want {
					largest = max(largest, math.Abs(float64(v)))
				}
				for i := range want {
					if name == "cpu" && math.Abs(float64(got[i]-want[i])) <= largest*0x1p-23 {
						continue
					}
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
						bad++
						worst = max(worst, math.Abs(float64(got[i]-want[i])))
					}
				}
				if bad > 0 {
					t.Errorf("%s, pieces of %d, positions %v: %d of %d values differ, by up to %g", name, piece, positions, bad, len(want), worst)
				}
			}
		}
	}
}

// The controls that only a variant of the model has, and the variants on XLA.
func TestVariantsAreNeutralAndRunEverywhere(t *testing.T) {
	m, _ := small(t)
	limited, err := m.WithNormLimit(1)
	if err != nil {
		t.Fatal(err)
	}
	decimated, err := m.WithDecimation()
	if err != nil {
		t.Fatal(err)
	}
	windowed, err := m.WithWindow(5)
	if err != nil {
		t.Fatal(err)
	}
	row := tokens(16, m.Vocab())
	for _, v := range []mamba2.Model{limited, decimated, windowed} {
		for _, piece := range []int{16, 1} {
			var first []float32
			for _, name := range []string{"go", "cpu"} {
				d, err := xla.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				_, w := small(t)
				got := outcome(t, d, variant(w, v), row, piece, nil)
				if first == nil {
					first = got
					with := outcome(t, d, variant(w, v), row, piece, neutral(v, v.NormEvery > 0))
					for i := range got {
						if math.Float32bits(got[i]) != math.Float32bits(with[i]) {
							t.Fatalf("%+v: neutral controls change value %d from %g to %g", v, i, got[i], with[i])
						}
					}
				} else if piece == 16 || v.Window > 0 {
					for i := range got {
						if math.Abs(float64(got[i]-first[i])) > 1e-5 {
							t.Fatalf("%+v, pieces of %d: value %d is %g on XLA, %g in Go", v, piece, i, got[i], first[i])
						}
					}
				}
				if v.Window == 0 && piece == 1 {
					break
				}
			}
		}
	}
}

func TestControlsOfWrongNameOrShapeAreRefused(t *testing.T) {
	m, w := small(t)
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, dims := range map[string][]int{"delta_size": {2, 4}, "delta_scale": {2, 5}, "a_of": {2, 4}} {
		v := tensors.FromFlatDataAndDimensions(make([]float32, dims[0]*dims[1]), dims...)
		_, err := lm.NewRunner(d, w).Run(context.Background(), [][]int32{tokens(3, m.Vocab())}, nil,
			lm.Request{Controls: map[string]*tensors.Tensor{name: v}}, nil)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("%s of %v: %v", name, dims, err)
		}
	}
}
