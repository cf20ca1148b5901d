package intervene

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/xla"
)

// The bound is the one that bisection finds.
func TestBound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 7, 1000} {
		v := make([]float64, n)
		for i := range v {
			v[i] = -math.Exp(3 * r.NormFloat64())
			if i > 0 && i%3 == 0 {
				v[i] = v[i-1] // constant prompts repeat values
			}
		}
		for _, fall := range []float64{1e-4, 0.01, 1, 50} {
			low, high := -1e6, 0.0
			for range 200 {
				middle, fell := (low+high)/2, 0.0
				for _, x := range v {
					fell += max(0, x-middle) / float64(n)
				}
				if fell > fall {
					low = middle
				} else {
					high = middle
				}
			}
			if got := bound(v, fall); math.Abs(got-low) > 1e-9*math.Max(1, math.Abs(low)) {
				t.Errorf("%d values, fall %g: bound %g, by bisection %g", n, fall, got, low)
			}
		}
	}
}

// toyBench is a small untrained Mamba-2 on the Go backend.
func toyBench(t *testing.T) *Bench {
	t.Helper()
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := mamba2.Default(16, 2, 24)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 3)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBench(lm.NewRunner(d, w))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// boundedTexts are a bare constant prompt, one after a beginning, and documents.
func boundedTexts(length int) (texts Texts) {
	for i := range 2 {
		prompt, document := make([]int32, length), make([]int32, length)
		for k := range prompt {
			prompt[k], document[k] = 5, int32((k*k+7*i)%24)
			if k < 4*i {
				prompt[k] = document[k]
			}
		}
		texts.Prompts, texts.Documents = append(texts.Prompts, prompt), append(texts.Documents, document)
	}
	return texts
}

// Every set's Σ log α over T tokens falls by the dose, only chosen and control heads of the same layers are bounded, the losses are
// those of the plan run by itself, and a second call adds nothing.
func TestBoundedMatchesItsControls(t *testing.T) {
	m, texts, path := Named{"m", toyBench(t)}, boundedTexts(64), filepath.Join(t.TempDir(), "b.csv")
	q := Bounded{TrainLength: 16, Doses: []float64{0.05}, Heads: 1, Controls: 2, Seed: 1}
	for range 2 {
		if err := q.Write(context.Background(), m, texts, path, nil); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := table.Read(path)
	if err != nil || rows.Rows() != 4 {
		t.Fatalf("%v: %d rows, want 4", err, rows.Rows())
	}
	set, _ := rows.Text("set")
	named, _ := rows.Text("heads")
	float := func(name string) []float64 { v, _ := rows.Float(name); return v }
	var layer string
	for i := range set {
		if i == 0 {
			layer = named[i][:2]
		} else if named[i][:2] != layer || (set[i] == "control") == (named[i] == named[0]) {
			t.Errorf("row %d (%s) bounds %s; chosen is %s", i, set[i], named[i], named[0])
		}
		if want := map[bool]float64{true: 0, false: -0.05}[set[i] == "none"]; math.Abs(float("achieved")[i]-want) > 1e-3*0.05 {
			t.Errorf("row %d (%s) changes Σ log α by %g, want %g", i, set[i], float("achieved")[i], want)
		}
		heads, _, err := ParseHeads(named[i])
		if err != nil {
			t.Fatal(err)
		}
		var plan Plan
		if set[i] != "none" { // α of a layer's own head does not move before the state does: bound by the model as it is
			base, err := q.read(context.Background(), m.Bench, nil, texts)
			if err != nil {
				t.Fatal(err)
			}
			high := math.Exp(bound(base.logAlpha[heads[0].Layer][heads[0].Head], 0.05/16))
			plan = Clamp(high, heads...)
		}
		inside, far, documents := alone(t, m.Bench, plan, texts, 16)
		for name, want := range map[string]float64{"inside": inside, "far": far, "documents": documents} {
			if got := float(name)[i]; math.Abs(got-want) > 1e-5 {
				t.Errorf("row %d: %s %g, alone %g", i, name, got, want)
			}
		}
		if got := float("excess")[i]; math.Abs(got-(far-inside)) > 1e-5 || float("excess_low")[i] > got || float("excess_high")[i] < got {
			t.Errorf("row %d: excess %g [%g, %g], alone %g", i, got, float("excess_low")[i], float("excess_high")[i], far-inside)
		}
	}
	for _, bad := range []Bounded{{TrainLength: 16, Heads: 1}, {TrainLength: 32, Heads: 1, Controls: 1}, {TrainLength: 16, Heads: 1, Controls: 1, Doses: []float64{-1}}} {
		if bad.Validate(texts) == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

// alone runs a plan sequence by sequence.
func alone(t *testing.T, b *Bench, plan Plan, texts Texts, T int) (inside, far, documents float64) {
	t.Helper()
	runner, controls, err := b.Apply(Method{Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	mean := func(row []int32, from, until int) float64 {
		sum := 0.0
		_, err := runner.Run(context.Background(), [][]int32{row}, nil, lm.Request{Loss: true, Controls: controls}, func(p lm.Piece) error {
			for t, x := range p.Loss {
				if at := p.Start + t; at >= from && at < until {
					sum += float64(x) / float64(until-from)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	for i := range texts.Prompts {
		n, length := float64(len(texts.Prompts)), len(texts.Prompts[i])
		inside, far = inside+mean(texts.Prompts[i], T/2, T)/n, far+mean(texts.Prompts[i], length/2, length-1)/n
		documents += mean(texts.Documents[i], T/2, T) / n
	}
	return inside, far, documents
}
