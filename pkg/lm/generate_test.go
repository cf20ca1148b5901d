package lm_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

// small is an untrained model of two layers, with two groups and limits of Δ.
func small(t testing.TB, backend string) *lm.Runner {
	t.Helper()
	d, err := xla.Open(backend)
	if err != nil {
		t.Skip(err)
	}
	c := mamba2.Default(16, 2, 40)
	c.HeadDim, c.State, c.Groups, c.DeltaMin, c.DeltaMax = 8, 4, 2, 1e-3, 2
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float32, error) { // sharper choices, by the state more than by the token
		v := m.Initial(5)[s.Name]
		scale := map[string]float32{"backbone.embeddings.weight": 40, "mixer.out_proj.weight": 40, "mixer.in_proj.weight": 3}[s.Name]
		for i := range v {
			v[i] *= max(scale, 1)
		}
		return v, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lm.NewRunner(d, w)
}

func prompts(batch, n int) [][]int32 {
	r := rand.New(rand.NewPCG(1, 2))
	rows := make([][]int32, batch)
	for b := range rows {
		for range n {
			rows[b] = append(rows[b], r.Int32N(40))
		}
	}
	return rows
}

// lastLogits are those after the last token, from one run over everything.
func lastLogits(t testing.TB, r *lm.Runner, row []int32) []float32 {
	t.Helper()
	var last []float32
	_, err := r.Run(context.Background(), [][]int32{row}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		last = p.Logits[len(p.Logits)-40:]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func argMax(v []float32) int32 {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	return int32(best)
}

func TestGreedyEqualsRepeatedPrefillAndSteps(t *testing.T) {
	for _, backend := range []string{"go", "cpu"} {
		r := small(t, backend)
		r.Piece = 8
		ctx, rows, n := context.Background(), prompts(2, 11), 13
		got, err := r.Generate(ctx, rows, n, lm.Sampling{Chunk: 4}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for b, row := range rows {
			var again []int32
			for range n { // a full prefill for every token
				again = append(again, argMax(lastLogits(t, r, slices.Concat(row, again))))
			}
			if !slices.Equal(got[b], again) {
				t.Errorf("%s: decoding gives %v, repeated prefill %v", backend, got[b], again)
			}
			state, err := r.Run(ctx, [][]int32{row[:len(row)-1]}, nil, lm.Request{}, nil)
			token, steps := row[len(row)-1], []int32(nil)
			for range n { // one token at a time, the state carried by hand
				if err != nil {
					t.Fatal(err)
				}
				state, err = r.Run(ctx, [][]int32{{token}}, state, lm.Request{Logits: true}, func(p lm.Piece) error {
					token = argMax(p.Logits)
					return nil
				})
				steps = append(steps, token)
			}
			if !slices.Equal(got[b], steps) {
				t.Errorf("%s: decoding gives %v, steps %v", backend, got[b], steps)
			}
		}
	}
}

// nucleusOnHost keeps the fewest most likely tokens of at least topP together, by sorting.
func nucleusOnHost(p []float64, topP float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return p[order[i]] > p[order[j]] })
	out, sum := make([]float64, len(p)), 0.0
	for _, i := range order {
		out[i] = p[i]
		if sum += p[i]; sum >= topP {
			break
		}
	}
	return out
}

func TestNucleusEqualsSorting(t *testing.T) {
	for _, backend := range []string{"go", "cpu"} {
		d := small(t, backend).Device
		r := rand.New(rand.NewPCG(3, 4))
		const rows, vocab = 6, 300
		p := make([]float64, rows*vocab)
		for b := range rows {
			sum := 0.0
			for i := range vocab {
				p[b*vocab+i] = math.Exp(r.NormFloat64() * float64(b+1) / 2)
				sum += p[b*vocab+i]
			}
			for i := range vocab {
				p[b*vocab+i] /= sum
			}
		}
		e := graph.MustNewExec(d.Backend, func(p, topP *graph.Node) *graph.Node { return lm.Nucleus(p, topP) })
		for _, topP := range []float64{1e-9, 0.1, 0.5, 0.9, 0.999} {
			got := tensors.MustCopyFlatData[float64](e.MustCall(tensors.FromFlatDataAndDimensions(p, rows, vocab), topP)[0])
			for b := range rows {
				want := nucleusOnHost(p[b*vocab:][:vocab], topP)
				if !slices.Equal(got[b*vocab:][:vocab], want) {
					t.Errorf("%s, row %d, top-p %g: another set of tokens than by sorting", backend, b, topP)
				}
			}
		}
	}
}

func TestDrawFollowsTheWeights(t *testing.T) {
	d := small(t, "go").Device
	weights := []float64{0, 3, 0, 1, 4, 0}
	e := graph.MustNewExec(d.Backend, func(p, u *graph.Node) *graph.Node { return lm.Draw(p, u) })
	const n = 4000
	p, u := make([]float64, 0, n*6), make([]float64, n)
	for i := range n {
		p, u[i] = append(p, weights...), float64(i)/n
	}
	count := make([]int, 6)
	for _, i := range tensors.MustCopyFlatData[int32](e.MustCall(tensors.FromFlatDataAndDimensions(p, n, 6), u)[0]) {
		count[i]++
	}
	for i, w := range weights {
		if math.Abs(float64(count[i])/n-w/8) > 2.0/n {
			t.Errorf("index %d was drawn %d times of %d, its weight is %g of 8", i, count[i], n, w)
		}
	}
}

func TestSamplesFollowTheModel(t *testing.T) {
	r := small(t, "go")
	row := prompts(1, 7)[0]
	const n = 3000
	rows := make([][]int32, n)
	for i := range rows {
		rows[i] = row
	}
	for _, s := range []lm.Sampling{{Temperature: 0.7, Seed: 3}, {Temperature: 1, TopP: 0.6, Seed: 4}} {
		got, err := r.Generate(context.Background(), rows, 1, s, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		logits := lastLogits(t, r, row)
		p, sum := make([]float64, len(logits)), 0.0
		for i, l := range logits {
			p[i] = math.Exp(float64(l-logits[argMax(logits)]) / s.Temperature)
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		if s.TopP > 0 {
			p = nucleusOnHost(p, s.TopP)
		}
		sum = 0
		for i := range p {
			sum += p[i]
		}
		count := make([]float64, len(p))
		for _, ids := range got {
			count[ids[0]]++
		}
		for i := range p {
			want := p[i] / sum
			if math.Abs(count[i]/n-want) > 5*math.Sqrt(want*(1-want)/n)+1e-9 {
				t.Errorf("%+v: token %d came %g of the time, its probability is %g", s, i, count[i]/n, want)
			}
		}
	}
}

func TestSamplingDependsOnSeedAndRowAlone(t *testing.T) {
	r := small(t, "go")
	ctx, rows, n := context.Background(), prompts(3, 5), 12
	s := lm.Sampling{Temperature: 1.3, TopP: 0.9, Seed: 11, Chunk: 3}
	want, err := r.Generate(ctx, rows, n, s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Chunk = 8
	streamed := make([][]int32, 3)
	got, err := r.Generate(ctx, rows, n, s, nil, func(chunk [][]int32) error {
		for b := range chunk {
			streamed[b] = append(streamed[b], chunk[b]...)
		}
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(streamed) != fmt.Sprint(want) {
		t.Errorf("chunks of 8: %v, streamed %v, chunks of 3: %v, %v", got, streamed, want, err)
	}
	alone, err := r.Generate(ctx, rows[:1], n, s, nil, nil)
	if err != nil || !slices.Equal(alone[0], want[0]) {
		t.Errorf("alone: %v, in a batch: %v, %v", alone, want[0], err)
	}
	s.Seed++
	other, err := r.Generate(ctx, rows, n, s, nil, nil)
	if err != nil || fmt.Sprint(other) == fmt.Sprint(want) {
		t.Errorf("another seed gives the same %v, %v", other, err)
	}
	s.Seed, s.Stop = 11, []int32{want[1][4]}
	stopped, err := r.Generate(ctx, rows, n, s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for b, ids := range stopped {
		end := slices.Index(want[b], s.Stop[0])
		if end < 0 {
			end = n - 1
		}
		if !slices.Equal(ids, want[b][:end+1]) {
			t.Errorf("row %d with stop %v: %v, without %v", b, s.Stop, ids, want[b])
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	r := small(t, "go")
	ctx := context.Background()
	for _, c := range []struct {
		rows  [][]int32
		n     int
		s     lm.Sampling
		wants string
	}{
		{nil, 1, lm.Sampling{}, "no sequence"},
		{[][]int32{{}}, 1, lm.Sampling{}, "needs at least 1"},
		{[][]int32{{1}, {1, 2}}, 1, lm.Sampling{}, "sequence 1 has 2 tokens"},
		{[][]int32{{40}}, 1, lm.Sampling{}, "outside 0 … 39"},
		{[][]int32{{1}}, -1, lm.Sampling{}, "tokens = -1"},
		{[][]int32{{1}}, 1, lm.Sampling{Temperature: -1}, "temperature = -1"},
		{[][]int32{{1}}, 1, lm.Sampling{Temperature: math.NaN()}, "temperature = NaN"},
		{[][]int32{{1}}, 1, lm.Sampling{TopP: 1.5}, "top-p = 1.5"},
	} {
		if _, err := r.Generate(ctx, c.rows, c.n, c.s, nil, nil); err == nil || !strings.Contains(err.Error(), c.wants) {
			t.Errorf("error %v, want one with %q", err, c.wants)
		}
	}
	if got, err := r.Generate(ctx, [][]int32{{1}}, 0, lm.Sampling{}, nil, nil); err != nil || len(got[0]) != 0 {
		t.Errorf("no tokens: %v, %v", got, err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Generate(stopped, [][]int32{{1, 2}}, 5, lm.Sampling{}, nil, nil); err == nil {
		t.Error("an ended context is no error")
	}
}
