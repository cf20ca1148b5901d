package intervene_test

import (
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/pkg/collapse"
	"stuffed/pkg/intervene"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/table"
	"stuffed/xla"
)

func config() mamba2.Config {
	c := mamba2.Default(16, 2, 32)
	c.HeadDim, c.State, c.Chunk = 8, 6, 16
	return c
}

func bench(t testing.TB, w *lm.Weights) *intervene.Bench {
	t.Helper()
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	r := lm.NewRunner(d, w)
	r.Piece = 32
	b, err := intervene.NewBench(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func initial(t testing.TB) *intervene.Bench {
	t.Helper()
	m, err := mamba2.New(config())
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	return bench(t, w)
}

func suite() intervene.Suite {
	return intervene.Suite{Stream: datasets.RecallStream{Keys: 24, Values: 8, Gap: 4, Seed: 1}, TrainLength: 8, Multiples: []int{1, 2, 8}, Sequences: 3, Split: "test"}
}

func TestPlansAreChecked(t *testing.T) {
	m, _ := mamba2.New(config())
	one := []intervene.Head{{Layer: 1, Head: 2}}
	half, low := 0.5, 0.9
	for want, plan := range map[string]intervene.Plan{
		"unknown kind":                   {{Kind: "forget"}},
		"head 1.7 does not exist":        {{Kind: "ablate", Heads: []intervene.Head{{Layer: 1, Head: 7}}}},
		"layer 2 does not exist":         {{Kind: "a_scale", Layers: []int{2}, Value: 1}},
		"head 1.2 is named twice":        {{Kind: "ablate", Heads: append(one, one...)}},
		"outside":                        {{Kind: "alpha_scale", Value: 1.5}},
		"above high":                     {{Kind: "alpha_clamp", Low: &low, High: &half}},
		"neither low nor high":           {{Kind: "alpha_clamp"}},
		"name layers":                    {{Kind: "b_norm", Heads: one, Value: 1}},
		"want 0 ≤ from < until":          {{Kind: "ablate", From: 9, Until: 4}},
		"name one partner":               {{Kind: "a_swap", Heads: one}},
		"two exchanges":                  {{Kind: "a_swap", Heads: one, With: one}},
		"norm_every":                     {{Kind: "norm_limit", Value: 1}},
		"ablated head has no output":     {{Kind: "ablate", Heads: one}, {Kind: "delta_scale", Value: 0.5}},
		"held by one":                    {{Kind: "delta_freeze", Value: 1}, {Kind: "dt_scale", Heads: one, Value: 2}},
		"different positions":            {{Kind: "a_scale", Value: 2}, {Kind: "a_scale", Heads: one, Value: 2, From: 3}},
		"only one of a kind":             {{Kind: "delta_filter", Value: 1}, {Kind: "delta_filter", Heads: one, Value: 2}},
		"interventions 1 (ablate) and 2": {{Kind: "ablate"}, {Kind: "ablate", Heads: one}},
	} {
		err := plan.Validate(m)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", plan, err, want)
		}
	}
	fine := intervene.Plan{{Kind: "delta_scale", Value: 0.5}, {Kind: "delta_scale", Heads: one, Value: 0.5}, {Kind: "ablate", Heads: one, From: 9},
		{Kind: "alpha_clamp", High: &half}}
	fine = append(fine[:2], fine[3])
	if err := fine.Validate(m); err != nil {
		t.Error(err)
	}
	c, err := fine.Compile(m)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.Tensors(dtypes.Float32)
	if err != nil {
		t.Fatal(err)
	}
	if v := tensors.MustCopyFlatData[float32](list["delta_scale"]); v[0] != 0.5 || v[4+2] != 0.25 {
		t.Errorf("factors %v do not multiply", v)
	}
	if v := tensors.MustCopyFlatData[float32](list["log_alpha_max"]); v[0] != float32(math.Log(0.5)) {
		t.Errorf("bounds %v", v)
	}
	raw, err := json.Marshal(fine)
	var back intervene.Plan
	if err != nil || json.Unmarshal(raw, &back) != nil || len(back) != 3 || *back[2].High != 0.5 {
		t.Errorf("JSON %s comes back as %v", raw, back)
	}
}

func TestRandomHeadsAreOthersOfTheSameLayers(t *testing.T) {
	m, _ := mamba2.New(config())
	avoid := []intervene.Head{{Layer: 0, Head: 1}, {Layer: 1, Head: 0}}
	for seed := range uint64(20) {
		heads, err := intervene.Random(m, avoid, 2, seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(heads) != 2 || heads[0].Layer != 0 || heads[1].Layer != 1 || heads[0] == avoid[0] || heads[1] == avoid[1] {
			t.Fatalf("%v", heads)
		}
	}
	if _, err := intervene.Random(m, avoid, 7, 0); err == nil {
		t.Error("7 of 6 heads drawn")
	}
}

// Every family runs, gives one score per multiple, and its parameters are chosen.
func TestEveryMethodRuns(t *testing.T) {
	b := initial(t)
	c := intervene.Compare{Suite: suite(), Methods: intervene.FamilyNames(), Choosing: 1}
	c.Suite.Wide = true
	if err := c.Validate(b.Model.Vocab()); err != nil {
		t.Fatal(err)
	}
	var all []intervene.Result
	for _, name := range c.Methods {
		results, sweep, err := c.Run(context.Background(), b, "small", name, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := intervene.FindFamily(name)
		if n := len(f.Grid(8)); n > 1 && len(sweep) != n*len(c.Suite.Multiples) {
			t.Errorf("%s: %d rows of its sweep", name, len(sweep))
		}
		for _, r := range results {
			if !(r.Loss > 0 && r.Loss < 20) {
				t.Errorf("%s: loss %g", name, r.Loss)
			}
		}
		all = append(all, results...)
		cells, err := intervene.SweepMap(table.Of(sweep), name)
		if two := len(f.Parameters) == 2; two != (err == nil) || two && cells.Rows() != len(f.Grid(8)) {
			t.Errorf("%s: map of its sweep: %v", name, err)
		}
	}
	s, err := intervene.Summary(table.Of(all))
	if err != nil || s.Rows() != len(c.Methods)*3 {
		t.Fatalf("%v rows, %v", s.Rows(), err)
	}
	if ages, err := intervene.RecallByAge(table.Of(all)); err != nil || ages.Rows() != 2*(len(c.Methods)-1) { // decimation has none
		t.Errorf("%d rows by age, %v", ages.Rows(), err)
	}
	if cost, _ := s.Float("cost"); cost[0] != 0 {
		t.Errorf("the model as it is costs %g", cost[0])
	}
}

// In the constructed model the instruments see exactly what is there: which heads never forget, how large their states
// grow, that the loss does not mind, and that an upper bound of α in these heads, not in others, ends it.
func TestConstructedModelIsSeenAsItIs(t *testing.T) {
	never := []intervene.Head{{Layer: 0, Head: 2}, {Layer: 1, Head: 0}}
	c := intervene.Constructed{Config: config(), Never: never, Delta: 0.05, A: 4, Seed: 2}
	w, err := c.Weights()
	if err != nil {
		t.Fatal(err)
	}
	b := bench(t, w)
	const length, trained = 512, 64
	rows := [][]int32{make([]int32, length)}
	stats, err := intervene.InWindow(context.Background(), b.Runner, [][]int32{rows[0][:trained]})
	if err != nil {
		t.Fatal(err)
	}
	for l, row := range stats.Retention(trained) {
		for h, v := range row {
			want := math.Exp(-0.05 * 4 * trained)
			if l == never[l].Layer && h == never[l].Head {
				want = 1
			}
			if math.Abs(v-want) > 3e-6*want { // log α · 64 = 12.8 of float32 weights
				t.Errorf("retention of head %d.%d is %g, want %g", l, h, v, want)
			}
		}
	}
	if top := intervene.Top(stats.Retention(trained), 2); !(top[0] == never[0] && top[1] == never[1]) {
		t.Errorf("heads of the largest retention: %v", top)
	}
	norms := states(t, b, rows, nil)
	judged := collapse.DefaultRule(trained)
	verdict, err := collapse.Judge(norms, flat(length), judged)
	if err != nil {
		t.Fatal(err)
	}
	if !verdict.Explosion || verdict.Strict || len(verdict.Heads) != 2 {
		t.Errorf("verdict %+v", verdict)
	}
	for i, h := range verdict.Heads {
		if h.Layer != never[i].Layer || h.Head != never[i].Head {
			t.Errorf("head %d.%d explodes", h.Layer, h.Head)
		}
	}
	norm, _ := norms.Float("norm")
	heads := b.Model.Configuration().Sizes().Heads
	at := func(t int, h intervene.Head) float64 { return norm[(t*2+h.Layer)*heads+h.Head] }
	for l := range b.Model.Layers() {
		for h := range heads {
			head := intervene.Head{Layer: l, Head: h}
			grown, want := at(length-1, head)-at(length-2, head), written(t, b, rows, head)
			if !slices.Contains(never, head) { // settled at ‖u‖/(1 − α)
				grown = at(length-1, head) * -math.Expm1(-0.05*4)
			}
			if math.Abs(grown-want) > 1e-4*want {
				t.Errorf("head %s writes %g, seen as %g", head, want, grown)
			}
		}
	}
	bound := 0.8
	ended := states(t, b, rows, intervene.Plan{{Kind: "alpha_clamp", Heads: never, High: &bound}})
	verdict, err = collapse.Judge(ended, flat(length), judged)
	if err != nil || verdict.Explosion {
		t.Errorf("with α at most 0.8: %+v, %v", verdict, err)
	}
}

// states are the norms of all heads by position.
func states(t testing.TB, b *intervene.Bench, rows [][]int32, plan intervene.Plan) *table.Table {
	t.Helper()
	r, controls, err := b.Apply(intervene.Method{Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	var prompt, position, layer, head []int64
	var norm []float64
	_, err = r.Run(context.Background(), rows, nil, lm.Request{Controls: controls, Probes: []string{"squares"}}, func(p lm.Piece) error {
		v := tensors.MustCopyFlatData[float64](p.Probes["squares"])
		for at := range p.Tokens {
			for l := range b.Model.Layers() {
				for h := range b.Model.Configuration().Sizes().Heads {
					prompt, position = append(prompt, 0), append(position, int64(p.Start+at))
					layer, head = append(layer, int64(l)), append(head, int64(h))
					norm = append(norm, math.Sqrt(v[(l*p.Padded+at)*b.Model.Configuration().Sizes().Heads+h]))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return table.New().AddInt("prompt", prompt).AddInt("position", position).AddInt("layer", layer).AddInt("head", head).AddFloat("norm", norm)
}

// written is ‖Δ x Bᵀ‖ of the last token.
func written(t testing.TB, b *intervene.Bench, rows [][]int32, h intervene.Head) (size float64) {
	t.Helper()
	_, err := b.Runner.Run(context.Background(), rows, nil, lm.Request{Probes: []string{"x", "B"}}, func(p lm.Piece) error {
		size = 0.05
		for name, width := range map[string]int{"x": config().HeadDim, "B": config().State} {
			v := tensors.MustCopyFlatData[float32](p.Probes[name])
			units, at := len(v)/b.Model.Layers()/p.Padded, h.Head*width
			if name == "B" {
				at = 0
			}
			sum := 0.0
			for _, x := range v[(h.Layer*p.Padded+p.Tokens-1)*units+at:][:width] {
				sum += float64(x) * float64(x)
			}
			size *= math.Sqrt(sum)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func flat(length int) *table.Table {
	position, loss := make([]int64, length), make([]float64, length)
	for i := range position {
		position[i], loss[i] = int64(i), 2+0.01*math.Sin(float64(i))
	}
	return table.New().AddInt("prompt", make([]int64, length)).AddInt("position", position).AddFloat("loss", loss)
}

func TestConstructedCheckStandsBesideTheTruth(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := intervene.Constructed{Config: config(), Never: []intervene.Head{{Layer: 1, Head: 3}}, Delta: 0.05, A: 4, Seed: 2}
	seen, err := c.Check(context.Background(), d, 32, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"retention", "norm"} {
		want, _ := seen.Float(name)
		got, _ := seen.Float(name + "_seen")
		for i := range want {
			if math.Abs(got[i]-want[i]) > 0.005*want[i] { // the first tokens, of 1,024, write differently
				t.Errorf("%s of head %d is %g, seen as %g", name, i, want[i], got[i])
			}
		}
	}
	if _, err := c.Check(context.Background(), d, 32, 16); err == nil {
		t.Error("a prompt below the training length was accepted")
	}
}

func TestCausesRun(t *testing.T) {
	b := initial(t)
	s := suite()
	of := func(n intervene.Named) ([]intervene.Method, error) {
		return intervene.Causes(context.Background(), n.Bench, s, 1, 0)
	}
	path := filepath.Join(t.TempDir(), "causes.csv")
	if err := intervene.WriteMethods(context.Background(), []intervene.Named{{Name: "small", Bench: b}}, s, of, path, nil); err != nil {
		t.Fatal(err)
	}
	rows, err := table.Read(path)
	if err != nil || rows.Rows() != 10*3 {
		t.Errorf("%d rows, %v", rows.Rows(), err)
	}
}

func TestDoseResponseRuns(t *testing.T) {
	b := initial(t)
	d := intervene.Dose{Kind: "alpha_clamp_high", Doses: []float64{0.5, 1}, Heads: []intervene.Head{{Layer: 0, Head: 1}}, Random: 2}
	steps, err := d.Steps(b)
	if err != nil || len(steps) != 1+2*3 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	var losses []float64
	var all []intervene.Response
	for _, step := range steps {
		rows, err := d.Run(context.Background(), b, suite(), "small", step)
		if err != nil {
			t.Fatal(err)
		}
		losses, all = append(losses, rows[2].Loss), append(all, rows...)
	}
	means, err := intervene.MeanResponses(table.Of(all), 8, 8)
	if err != nil || means.Rows() != 4 {
		t.Errorf("%d means, %v", means.Rows(), err)
	}
	if losses[2] != losses[0] || losses[1] == losses[0] { // a bound of 1 is none
		t.Errorf("losses %v", losses)
	}
}

func TestFreezeTakesInWindowMeans(t *testing.T) {
	b := initial(t)
	stats, err := intervene.InWindow(context.Background(), b.Runner, suite().Rows(8))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"delta", "b", "x", "b_norm", "x_norm"} {
		v, err := stats.Freeze(b.Model, q, nil, 8)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (intervene.Plan{v}).Compile(b.Model); err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
	if _, err := stats.Freeze(b.Model, "z", nil, 0); err == nil {
		t.Error("z was frozen")
	}
	r, controls, err := b.Apply(intervene.Method{Plan: intervene.Plan{{Kind: "delta_freeze", Values: append(stats.Delta[0], stats.Delta[1]...), From: 4}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Run(context.Background(), suite().Rows(16), nil, lm.Request{Controls: controls, Probes: []string{"delta"}}, func(p lm.Piece) error {
		v := tensors.MustCopyFlatData[float32](p.Probes["delta"])
		for h := range 4 {
			if got, want := v[9*4+h], float32(stats.Delta[0][h]); got != want {
				t.Errorf("Δ of head %d is %g at token 9, want %g", h, got, want)
			}
			if v[3*4+h] == float32(stats.Delta[0][h]) {
				t.Errorf("Δ of head %d is held before token 4", h)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Both ways of calibrating lower the loss; on XLA the gradient goes through the loop over layers.
func TestCalibrationLowersTheLoss(t *testing.T) {
	b := initial(t)
	rows := suite().Rows(33)
	var byGradient []float64
	for _, c := range []intervene.Calibration{{Control: "delta_scale", Steps: 12, Rate: 0.1}, {Control: "a_scale", Steps: 12, Rate: 0.1},
		{Control: "delta_scale", Steps: 12, Rate: 0.1, Zeroth: true, Probe: 0.05}} {
		factors, losses, err := c.Run(context.Background(), b, rows)
		if err != nil {
			t.Fatal(err)
		}
		if len(factors) != 2 || !(slices.Min(losses) < losses[0]) {
			t.Errorf("%+v: factors %v, losses %v", c, factors, losses)
		}
		if byGradient == nil {
			byGradient = losses
		}
	}
	d, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := mamba2.New(config())
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	onXLA, err := intervene.NewBench(lm.NewRunner(d, w))
	if err != nil {
		t.Fatal(err)
	}
	_, losses, err := intervene.Calibration{Control: "delta_scale", Steps: 3, Rate: 0.1}.Run(context.Background(), onXLA, rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range losses {
		if math.Abs(v-byGradient[i]) > 1e-5 {
			t.Errorf("step %d: loss %g on XLA, %g in Go", i, v, byGradient[i])
		}
	}
	if _, _, err := (intervene.Calibration{Control: "b_scale", Steps: 1, Rate: 1}).Run(context.Background(), b, rows); err == nil {
		t.Error("b_scale was calibrated")
	}
}
