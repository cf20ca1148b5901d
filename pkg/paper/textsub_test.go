package paper

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// planted is what the tables say of a model of a row of the plan.
type planted struct{ excess, documents float64 }

// plantStudy writes the tables of text-law with all rows of the plan but those left out: losses by the given function.
func plantStudy(t *testing.T, leave func(r study.Row) bool, model func(r study.Row, seed int) planted) evidence {
	t.Helper()
	return plantPlan(t, TextLawPlan, 3, leave, func(r study.Row, seed int) (planted, float64) { return model(r, seed), 1 })
}

// plantPlan writes the tables of a plan with so many seeds a row; model gives the loss on newlines within the window too.
func plantPlan(t *testing.T, plan string, seeds int, leave func(r study.Row) bool, model func(r study.Row, seed int) (planted, float64)) evidence {
	t.Helper()
	root := t.TempDir()
	p, err := study.ReadPlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	texts, numbers := map[string][]string{}, map[string][]float64{}
	add := func(r study.Row, kind string, values map[string]float64) {
		for name, v := range map[string]string{"row": r.Hash, "kind": kind, "policy": r.Config.Train.Policy[0], "group": strings.Join(r.Groups, " ")} {
			texts[name] = append(texts[name], v)
		}
		sizes := r.Config.Train.Model.Sizes()
		values["state"], values["heads"], values["n_s"], values["train_length"] = float64(sizes.State), float64(sizes.Heads), float64(sizes.Recurrent)/1e6, float64(r.Config.Train.TrainLength)
		for name, v := range values {
			numbers[name] = append(numbers[name], v)
		}
	}
	write := func(name string) {
		out := table.New()
		for _, k := range []string{"row", "kind", "policy", "group"} {
			out.AddText(k, texts[k])
		}
		for k, v := range numbers {
			out.AddFloat(k, v)
		}
		if err := out.Write(filepath.Join(root, plan, "tables", name+".parquet")); err != nil {
			t.Fatal(err)
		}
		texts, numbers = map[string][]string{}, map[string][]float64{}
	}
	rows = slices.DeleteFunc(rows, leave)
	each := func(visit func(r study.Row, seed int)) {
		for _, r := range rows {
			for seed := range seeds {
				visit(r, seed)
			}
		}
	}
	each(func(r study.Row, seed int) {
		T := float64(r.Config.Train.TrainLength)
		m, within := model(r, seed)
		for kind, far := range map[string]float64{"newlines": within + m.excess, "documents": 1 + m.documents} {
			inside := map[string]float64{"newlines": within, "documents": 1 + m.documents}[kind]
			for q := range 2 {
				for _, b := range [][3]float64{{0, T, inside}, {T, farFrom, 1}, {farFrom, 2 * farFrom, far + 0.001*float64(q)}} {
					add(r, kind, map[string]float64{"replica": float64(seed), "seed": float64(seed), "sequence": float64(q), "position": b[0], "end": b[1], "loss": b[2]})
				}
			}
		}
	})
	write("prompt_loss")
	each(func(r study.Row, seed int) {
		for i := range 50 {
			add(r, "", map[string]float64{"replica": float64(seed), "seed": float64(seed), "tokens": float64(r.Config.Train.Steps) * float64(r.Config.Train.BatchTokens) * float64(i+1) / 50, "loss": 1 - 0.001*float64(i)})
		}
	})
	write("training")
	add(rows[0], "newlines", map[string]float64{"replica": 0, "layer": 0, "head": 0, "retention_window": 0, "ratio": 0, "onset": 0})
	write("prompt_heads")
	return evidence{root: root, resamples: 20}
}

func isIn(group string) func(study.Row) bool {
	return func(r study.Row) bool { return slices.Contains(r.Groups, group) }
}

func none(study.Row) bool { return false }

// noise of a seed that is not that of another row.
func noise(r study.Row, seed int, size float64) float64 {
	return size * math.Sin(float64(17*seed)+float64(r.Config.Train.TrainLength)+3*float64(r.Config.Train.Model.Sizes().State)+float64(len(r.Hash[0:1])+int(r.Hash[1])))
}

// Question 2: agreement within a tenth of a nat, a difference in one cell, intervals too wide to say, a row that is missing.
func TestSecondWayToAState(t *testing.T) {
	for name, c := range map[string]struct {
		excess func(r study.Row, seed int) float64
		leave  func(study.Row) bool
		want   string
		says   string
	}{
		"agree": {func(r study.Row, seed int) float64 { return 0.5 + 0.01*float64(seed) }, none, Reproduced, "they agree"},
		"one cell": {func(r study.Row, seed int) float64 {
			if isIn("heads")(r) && r.Config.Train.TrainLength == 512 && r.Config.Train.Model.Sizes().Heads == 16 {
				return 1.5 + 0.01*float64(seed)
			}
			return 0.5 + 0.01*float64(seed)
		}, none, Contradicted, "T 512, 16 heads less N 64: 1.00"},
		"wide":    {func(r study.Row, seed int) float64 { return float64(seed) }, none, Undecided, "they agree"},
		"missing": {func(r study.Row, seed int) float64 { return 0.5 + 0.01*float64(seed) }, func(r study.Row) bool { return isIn("heads")(r) && r.Config.Train.TrainLength == 1024 }, Undecided, "missing: N 32 T 1K 16 heads, N 32 T 1K 4 heads"},
		"none":    {func(r study.Row, seed int) float64 { return 0 }, isIn("heads"), NoResult, "none of its rows has run: N 32 T 256 16 heads"},
	} {
		got, err := plantStudy(t, c.leave, func(r study.Row, seed int) planted { return planted{c.excess(r, seed), 0} }).textHeadsClaim()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
	}
}

// The interval of a difference is that of all pairs of samples.
func TestApart(t *testing.T) {
	a, b := []float64{1, 2, 6}, []float64{0, 5, 3}
	var all []float64
	for s := range 27 {
		for r := range 27 {
			x := a[s%3] + a[s/3%3] + a[s/9]
			y := b[r%3] + b[r/3%3] + b[r/9]
			all = append(all, (x-y)/3)
		}
	}
	slices.Sort(all)
	got := apart(a, b, apartSource())
	if math.Abs(got.Mean-(9.0-8)/3) > 1e-12 || math.Abs(got.Low-all[len(all)/40]) > 0.34 || math.Abs(got.High-all[len(all)-1-len(all)/40]) > 0.34 {
		t.Errorf("%+v, want %g [%g, %g]", got, 1.0/3, all[len(all)/40], all[len(all)-1-len(all)/40])
	}
}

// Question 6: states that cure, that harm, that do nothing; a policy that does each; a partner that is missing.
func TestStatesOnText(t *testing.T) {
	effect := func(carried, passed float64) func(r study.Row, seed int) planted {
		return func(r study.Row, seed int) planted {
			m := planted{0.5 + noise(r, seed, 0.05), 0.01 * float64(seed)}
			switch r.Config.Train.Policy[0] {
			case "carried":
				m.excess += carried
			case "passed":
				m.excess, m.documents = m.excess+passed, m.documents+0.2
			}
			return m
		}
	}
	for name, c := range map[string]struct {
		model func(r study.Row, seed int) planted
		leave func(study.Row) bool
		want  string
		says  string
	}{
		"cure":    {effect(-0.4, -0.4), none, Reproduced, "carried, 12 pairs"},
		"harm":    {effect(0.4, 0.4), none, Contradicted, "passed, 12 pairs"},
		"either":  {effect(-0.4, 0.4), none, Mixed, "far +0.200 (p 0.00049)"},
		"nothing": {effect(0, 0), none, Undecided, "12 pairs"},
		"partner": {effect(-0.4, -0.4), func(r study.Row) bool {
			return r.Config.Train.Policy[0] == "zero" && r.Config.Train.TrainLength == 1024 && r.Config.Train.Model.Sizes().State == 16
		}, Reproduced, "without a partner and left out: N 16 T 1024 seed 0 carried"},
		"missing": {effect(-0.4, -0.4), isIn("passed"), Reproduced, "missing: N 128 T 256 passed"},
		"none":    {effect(-0.4, -0.4), func(r study.Row) bool { return r.Config.Train.Policy[0] != "zero" }, NoResult, "N 16 T 1K carried"},
	} {
		got, err := plantStudy(t, c.leave, c.model).textStatesClaim()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
	}
}

// The p-value is that of all flips, written out.
func TestSignFlip(t *testing.T) {
	v := []float64{-3, -1, -2, 0.5}
	reached, all := 0, 0
	for _, a := range []float64{-1, 1} {
		for _, b := range []float64{-1, 1} {
			for _, c := range []float64{-1, 1} {
				for _, d := range []float64{-1, 1} {
					all++
					if math.Abs(a*v[0]+b*v[1]+c*v[2]+d*v[3]) >= 5.5 {
						reached++
					}
				}
			}
		}
	}
	mean, p := signFlip(v)
	if mean != -5.5/4 || p != float64(reached)/float64(all) {
		t.Errorf("mean %g, p %g; want %g, %g", mean, p, -5.5/4, float64(reached)/float64(all))
	}
	if _, p := signFlip([]float64{1, 1, 1, 1, 1, 1}); p != 2.0/64 {
		t.Errorf("six of one sign: p %g", p)
	}
	many := make([]float64, 30)
	for i := range many {
		many[i] = 1
	}
	if _, p := signFlip(many); p > 1e-4 {
		t.Errorf("thirty of one sign: p %g", p)
	}
}

// Question 7: excess that grows with training, falls, or does neither; amounts that are missing.
func TestOverTrainingOnText(t *testing.T) {
	slopeOf := func(s float64) func(r study.Row, seed int) planted {
		return func(r study.Row, seed int) planted {
			tokens := float64(r.Config.Train.Steps) * float64(r.Config.Train.BatchTokens)
			return planted{s*math.Log2(tokens/65.536e6) + 0.02*float64(seed)*math.Log2(tokens/65.536e6), 0}
		}
	}
	for name, c := range map[string]struct {
		model func(r study.Row, seed int) planted
		leave func(study.Row) bool
		want  string
		says  string
	}{
		"grows":   {slopeOf(0.3), none, Reproduced, "0.32 [0.30, 0.34] nat per doubling"},
		"falls":   {slopeOf(-0.3), none, Contradicted, "-0.28"},
		"neither": {slopeOf(-0.02), none, Undecided, "524M tokens"},
		"missing": {slopeOf(0.3), func(r study.Row) bool { return isIn("longer")(r) && r.Config.Train.Steps > 4000 }, Reproduced, "missing: N 128 T 256 524M tokens"},
		"few":     {slopeOf(0.3), func(r study.Row) bool { return isIn("longer")(r) && r.Config.Train.Steps != 1000 }, NotTestable, "2 amounts"},
		"none":    {slopeOf(0.3), isIn("longer"), NoResult, "N 128 T 256 66M tokens"},
	} {
		got, err := plantStudy(t, c.leave, c.model).textLongerClaim()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
	}
}

// Question 5, second half: bounds that cure in the chosen heads only, in others only, alike; too few models, one size; the dose.
func TestBoundsOnText(t *testing.T) {
	for name, c := range map[string]struct {
		failing, holding int
		sizes            int
		chosen, control  float64
		cost             float64 // of dose 3
		want, says       string
	}{
		"carried":       {6, 4, 2, -0.5, -0.1, 0, Reproduced, "lowered by 3"},
		"others":        {6, 4, 2, -0.1, -0.5, 0, Contradicted, "those that fail decide"},
		"alike":         {6, 4, 2, -0.3, -0.3, 0, Undecided, "6 models that fail of 2 sizes"},
		"dear":          {6, 4, 2, -0.5, -0.1, 0.2, Reproduced, "lowered by 1"},
		"few that fail": {3, 4, 2, -0.5, -0.1, 0, Reproduced, "all decide"},
		"few":           {3, 1, 2, -0.5, -0.1, 0, NotTestable, "five models of two sizes"},
		"one size":      {6, 0, 1, -0.5, -0.1, 0, NotTestable, "five models of two sizes"},
	} {
		root := t.TempDir()
		out := table.New().AddText("model", nil).AddText("set", nil)
		for _, n := range []string{"n_s", "dose", "excess", "excess_low", "excess_high", "documents"} {
			out.AddFloat(n, nil)
		}
		for i := range c.failing + c.holding {
			model, ns, base := "m"+string(rune('a'+i)), float64(i%c.sizes+1), 0.6
			if i >= c.failing {
				base = 0.02
			}
			add := func(set string, dose, excess, documents float64) {
				out.Columns[0].Texts, out.Columns[1].Texts = append(out.Columns[0].Texts, model), append(out.Columns[1].Texts, set)
				for k, v := range []float64{ns, dose, excess, excess - 0.05, excess + 0.05, documents} {
					out.Columns[2+k].Floats = append(out.Columns[2+k].Floats, v)
				}
			}
			add("none", 0, base, 1)
			for _, dose := range []float64{0.3, 1, 3} {
				wobble, cost := 0.02*float64(1-2*(i%2)), 0.01
				if dose == 3 {
					cost = c.cost
				}
				add("chosen", dose, base+c.chosen+wobble, 1+cost)
				add("control", dose, base+c.control-0.1, 1)
				add("control", dose, base+c.control+0.1, 1)
			}
		}
		first, second := []int(nil), []int(nil) // two runs of the command, each with a table
		for i := range out.Rows() {
			if i < out.Rows()/2 {
				first = append(first, i)
			} else {
				second = append(second, i)
			}
		}
		for name, rows := range map[string][]int{"bounded.csv": first, "bounded_more.csv": second} {
			if err := out.Take(rows).Write(filepath.Join(root, "interventions", name)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := evidence{root: root}.textBoundsClaim()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
		effects, err := boundEffects(root)
		if err != nil || math.Abs(effects[0].Control-c.control) > 1e-9 || effects[0].Controls != 2 {
			t.Errorf("%s: %+v, %v", name, effects[0], err)
		}
	}
}

// A loss that falls by a given part over the last third at constant rate, and over the decay.
func TestFlatness(t *testing.T) {
	for name, c := range map[string]struct {
		fall, decay float64
		flat        bool
	}{"flat": {0, 0.1, true}, "falls slowly": {0.015, 0.1, true}, "falls": {0.05, 0.1, false}, "no decay": {0.05, 0.01, true}} {
		var curve [][2]float64
		for i := range 50 {
			share := float64(i+1) / 50
			loss := 1.0
			if share > thirdFrom {
				loss -= c.fall * (min(share, decayFrom) - thirdFrom) / (decayFrom - thirdFrom)
			}
			if share > 0.9 {
				loss -= c.decay
			}
			curve = append(curve, [2]float64{1000 * share, loss})
		}
		f := flatness(curve)
		if name == "no decay" { // nothing but the decay is asked there
			f.Decay = -0.01
		}
		if f.Flat() != c.flat || math.Abs(-f.Fitted-c.fall/(1-c.fall/2)) > 0.003 {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A model trained again: the same, another verdict on newlines, documents beyond the noise of seeds, no row in common.
func TestAgain(t *testing.T) {
	only := func(r study.Row) bool {
		return !(isIn("pilot-fail")(r) && r.Config.Train.Model.Sizes().State == 128)
	}
	made := func(excess, documents float64) string {
		return plantStudy(t, only, func(_ study.Row, seed int) planted { return planted{0.5 + excess, 0.01*float64(seed) + documents} }).root
	}
	for name, c := range map[string]struct {
		excess, documents float64
		newlines, within  bool
	}{"same": {0.1, 0.015, true, true}, "verdict": {-0.5, 0, false, true}, "documents": {0, 0.025, true, false}} {
		all, err := Again(made(0, 0), made(c.excess, c.documents))
		if err != nil || len(all) != 3 {
			t.Fatalf("%s: %d models, %v", name, len(all), err)
		}
		for _, r := range all {
			if r.Newlines != c.newlines || r.Within != c.within || math.Abs(r.Noise-0.02) > 1e-9 {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if text := AgainMarkdown(all); !strings.Contains(text, "of 3 models keep their verdict") {
			t.Error(text)
		}
	}
	if _, err := Again(made(0, 0), plantStudy(t, func(r study.Row) bool { return !only(r) }, func(study.Row, int) planted { return planted{} }).root); err == nil {
		t.Error("roots without a common row pass")
	}
}

// The claim on trainings that repeat themselves follows both sets of tables.
func TestAgainClaim(t *testing.T) {
	once := func(r study.Row) bool {
		return !(isIn("pilot-fail")(r) && r.Config.Train.Model.Sizes().State == 128)
	}
	for name, c := range map[string]struct {
		excess, documents float64
		want, says        string
	}{
		"same":      {0.1, 0, Reproduced, "3 of 3 keep their verdict"},
		"verdict":   {-0.5, 0, Contradicted, "fails → holds, excess 0.50 → 0.00 nat"},
		"documents": {0, 0.025, Undecided, "documents of 0 within"},
	} {
		spread := func(r study.Row, seed int) float64 { // the row that is trained again is noisier than the others
			if once(r) {
				return 0.5
			}
			return 0.5 + 0.2*float64(seed)
		}
		e := plantStudy(t, none, func(r study.Row, seed int) planted { return planted{spread(r, seed), 0.01 * float64(seed)} })
		second := plantStudy(t, once, func(r study.Row, seed int) planted {
			return planted{spread(r, seed) + c.excess, 0.01*float64(seed) + c.documents}
		})
		if err := os.Mkdir(filepath.Join(e.root, AgainFolder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(second.root, TextLawPlan), filepath.Join(e.root, AgainFolder, TextLawPlan)); err != nil {
			t.Fatal(err)
		}
		got, err := e.textAgainClaim()
		if err != nil || got.Verdict != c.want || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s, want %s with %q: %v\n%s", name, got.Verdict, c.want, c.says, err, got.Ours)
		}
		r, err := retrainingOf(e.root)
		if err != nil || math.Abs(r.one-math.Abs(c.excess)/math.Sqrt2) > 1e-6 || len(r.replaced) != len(r.before) {
			t.Errorf("%s: deviation %g over trainings, want %g: %v", name, r.one, math.Abs(c.excess)/math.Sqrt2, err)
		}
		if !strings.Contains(got.Ours, "0.20 over the seeds of the same row, 0.04 over those of a cell") {
			t.Errorf("%s: the noise of trainings is not set beside that of the same row's seeds: %s", name, got.Ours)
		}
	}
}

// The deviation over seeds is that within cells, whatever lies between them.
func TestOverSeeds(t *testing.T) {
	e := plantStudy(t, none, func(r study.Row, seed int) planted {
		return planted{10*float64(r.Config.Train.Model.Sizes().State) + 0.3*float64(seed), 0}
	})
	all, err := textModels(e.root)
	if got := overSeeds(all, TextModel.grid); err != nil || math.Abs(got-0.3) > 1e-3 {
		t.Errorf("%g, want 0.3: %v", got, err)
	}
}
