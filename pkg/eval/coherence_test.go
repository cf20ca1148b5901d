package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

// toyRunner returns a small untrained Mamba-2 on the Go backend and sequences of random tokens.
func toyRunner(t *testing.T, layers, sequences, length int) (*lm.Runner, [][]int32) {
	t.Helper()
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba2.Default(16, layers, 12)
	c.HeadDim, c.State, c.Chunk = 8, 4, 4
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 2)
	if err != nil {
		t.Fatal(err)
	}
	random, rows := rand.New(rand.NewPCG(1, 1)), make([][]int32, sequences)
	for i := range rows {
		for range length {
			rows[i] = append(rows[i], int32(random.IntN(12)))
		}
	}
	return lm.NewRunner(d, w), rows
}

// The coherence equals the weighted mean cosine over all pairs of explicitly formed writes.
func TestCoherenceIsThatOfPairs(t *testing.T) {
	runner, rows := toyRunner(t, 2, 5, 40)
	const T, length = 8, 40
	got, err := Coherence{T}.Run(context.Background(), runner, rows)
	if err != nil {
		t.Fatal(err)
	}
	m := runner.Weights.Model
	heads, values, keys := lm.Matrices(m)
	type token struct{ delta, logAlpha, x, b []float64 }
	seen := make([][]token, m.Layers()*len(rows)*heads)
	names := []string{lm.LogAlpha, lm.Delta, lm.Values, lm.Keys}
	_, err = runner.Run(context.Background(), rows, nil, lm.Request{Probes: names}, func(p lm.Piece) error {
		all := map[string][]float64{}
		for _, name := range names {
			var err error
			if all[name], err = lm.Float64s(p.Probes[name]); err != nil {
				return err
			}
		}
		for l := range m.Layers() {
			for i := range rows {
				for s := range p.Tokens {
					at := (l*len(rows)+i)*p.Padded + s
					for h := range heads {
						k := (l*len(rows)+i)*heads + h
						seen[k] = append(seen[k], token{all[lm.Delta][at*heads+h:][:1], all[lm.LogAlpha][at*heads+h:][:1],
							all[lm.Values][(at*heads+h)*values:][:values], all[lm.Keys][at*keys:][:keys]})
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func(k token) (w []float64) {
		for _, x := range k.x {
			for _, b := range k.b {
				w = append(w, k.delta[0]*x*b)
			}
		}
		return w
	}
	within, _ := got.Float("coherence")
	far, _ := got.Float("coherence_far")
	growth, _ := got.Float("growth")
	for l := range m.Layers() {
		for h := range heads {
			var pairs, norms, squares, tokens [2]float64
			for i := range rows {
				all := seen[(l*len(rows)+i)*heads+h]
				for now := range length {
					where := placeOf(now, T, length)
					if where < 0 {
						continue
					}
					sum := make([]float64, values*keys)
					for a := 0; a <= now; a++ {
						for b := 0; b <= now; b++ {
							left, right := write(all[a]), write(all[b])
							scale, dot := math.Exp(since(all[a+1:now+1], func(k token) float64 { return k.logAlpha[0] })+since(all[b+1:now+1], func(k token) float64 { return k.logAlpha[0] })), 0.0
							for k := range left {
								dot += left[k] * right[k]
							}
							if a != b {
								pairs[where], norms[where] = pairs[where]+scale*dot, norms[where]+scale*euclid(left)*euclid(right)
							}
						}
						for k, v := range write(all[a]) {
							sum[k] += v * math.Exp(since(all[a+1:now+1], func(k token) float64 { return k.logAlpha[0] }))
						}
					}
					squares[where], tokens[where] = squares[where]+euclid(sum)*euclid(sum), tokens[where]+1
				}
			}
			k := l*heads + h
			for name, v := range map[string][2]float64{"coherence": {within[k], pairs[0] / norms[0]}, "coherence_far": {far[k], pairs[1] / norms[1]},
				"growth": {growth[k], math.Sqrt(squares[1] / tokens[1] / (squares[0] / tokens[0]))}} {
				if math.Abs(v[0]-v[1]) > 2e-5 {
					t.Errorf("head %d.%d: %s is %g, want %g", l, h, name, v[0], v[1])
				}
			}
		}
	}
	if _, err := (Coherence{T: 64}).Run(context.Background(), runner, rows); err == nil {
		t.Error("rows shorter than 2 T pass")
	}
}

func since[T any](of []T, value func(T) float64) (sum float64) {
	for _, k := range of {
		sum += value(k)
	}
	return sum
}

// The energy coefficient agrees with its definition over pairs of different rows, and has the known values for known clouds.
func TestEnergyCoefficient(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	make := func(shift, scale float64) *cloud {
		c := &cloud{}
		for row := range 12 {
			for range 3 {
				c.add(row, []float64{shift + scale*r.NormFloat64(), r.NormFloat64(), r.NormFloat64()})
			}
		}
		return c
	}
	x, y, z := make(0, 1), make(0, 1), make(8, 1)
	mean := func(a, b *cloud) float64 {
		sum, n := 0.0, 0.0
		for i, s := range a.states {
			for j, u := range b.states {
				if a.row[i] != b.row[j] {
					sum, n = sum+math.Hypot(math.Hypot(s[0]-u[0], s[1]-u[1]), s[2]-u[2]), n+1
				}
			}
		}
		return sum / n
	}
	for name, other := range map[string]*cloud{"alike": y, "apart": z} {
		got, deviation := energy(x, other, 12)
		want := (2*mean(x, other) - mean(x, x) - mean(other, other)) / (2 * mean(x, other))
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
		if (math.Abs(got) > 1.96*deviation+0.02) != (name == "apart") {
			t.Errorf("%s: distance %g ± %g", name, got, deviation)
		}
	}
	if x.beyond(y) > 0.35 || x.beyond(z) != 1 {
		t.Errorf("outside: %g alike, %g apart", x.beyond(y), x.beyond(z))
	}
}

// Coverage uses the states at the requested positions, octave by octave.
func TestCoverageReadsStates(t *testing.T) {
	runner, rows := toyRunner(t, 2, 5, 40)
	got, err := Coverage{T: 8}.Run(context.Background(), runner, rows)
	if err != nil {
		t.Fatal(err)
	}
	position, _ := got.Int("position")
	distance, _ := got.Float("distance")
	spec, err := lm.StateOf(runner.Weights.Model, "")
	if err != nil {
		t.Fatal(err)
	}
	heads, values, keys := spec.Matrices()
	size, window, later := values*keys, &cloud{}, &cloud{}
	for i, row := range rows {
		for _, n := range []int{4, 6, 8, 20, 24, 32} { // the octave starting at 16, head 1 of layer 1
			state, err := runner.Run(context.Background(), [][]int32{row[:n]}, nil, lm.Request{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			v, err := spec.OnHost(state[spec.Name])
			if err != nil {
				t.Fatal(err)
			}
			c := window
			if n > 8 {
				c = later
			}
			c.add(i, v[(heads+1)*size:][:size])
		}
	}
	want, _ := energy(window, later, len(rows))
	per := len(position) / 3
	if k := 2*per + heads + 1; position[k] != 16 || math.Abs(distance[k]-want) > 1e-5 {
		t.Errorf("position %d: distance %g, want %g", position[k], distance[k], want)
	}
	if _, err := (Coverage{T: 8}).Run(context.Background(), runner, rows[:2]); err == nil {
		t.Error("two rows pass")
	}
}
