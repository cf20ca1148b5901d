package paper

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/fit"
	"stuffed/pkg/table"
)

// plant is a model as the tables of a study tell it.
type plant struct {
	n, T, gap, seed  int
	policy           string
	inside, far      float64 // nats, with intervals of ± 1 %
	retained, growth float64 // of the first of four heads; the others neither keep nor grow
	strict           int
	first            string
	along            []float64 // far loss at earlier moments
	base             float64   // loss of all tokens less that of repeated values; 4.5 unless set
}

func plantOf(n, T, seed int, policy string, far float64) plant {
	return plant{n: n, T: T, gap: 32, seed: seed, policy: policy, inside: 0.2, far: far, retained: 0.1, growth: 1.1, first: "neither"}
}

// write makes the tables outcome, loss and heads of a study.
func write(t *testing.T, root, plan string, budget int, models []plant) {
	t.Helper()
	var outcome, loss, heads [][]any
	for i, m := range models {
		row := fmt.Sprintf("row%d", i)
		before := []any{row, 8, m.n, 256, float64(m.n) / 1000, m.T, m.gap, 0, m.policy, m.seed}
		line := func(more ...any) []any { return append(append([]any{}, before...), more...) }
		moments := append(append([]float64{}, m.along...), m.far)
		for k, far := range moments {
			tokens := budget * (k + 1) / len(moments)
			outcome = append(outcome, line(tokens, m.inside, far, 0.9, m.strict, math.NaN(), m.first))
			if k < len(moments)-1 {
				continue
			}
			for _, b := range [][3]float64{{0, float64(m.T) / 2, m.inside}, {float64(m.T) / 2, float64(m.T), m.inside}, {float64(m.T), 32 * float64(m.T), far}, {32 * float64(m.T), 64 * float64(m.T), far}} {
				loss = append(loss, line(tokens, int(b[0]), int(b[1]), b[2], 0.99*b[2], 1.01*b[2], 0.95, 0.94, 0.96, 1000, cmp.Or(m.base, 4.5)+b[2]))
			}
		}
		for h := range 4 {
			retained, growth, onset := m.retained, m.growth, math.NaN()
			if h > 0 {
				retained, growth = 0.01*float64(h), 1+0.01*float64(h)
			}
			if growth > 2 {
				onset = 200
			}
			heads = append(heads, line(0, h, retained, growth, onset))
		}
	}
	names := []string{"row", "heads", "state", "width", "n_s", "train_length", "gap", "replica", "policy", "seed"}
	for name, c := range map[string]struct {
		more []string
		rows [][]any
	}{
		"outcome": {[]string{"tokens", "inside", "far", "inside_accuracy", "strict", "degradation_onset", "first"}, outcome},
		"loss":    {[]string{"tokens", "position", "end", "loss", "loss_low", "loss_high", "accuracy", "accuracy_low", "accuracy_high", "repeats", "loss_all"}, loss},
		"heads":   {[]string{"layer", "head", "retention_window", "ratio", "onset"}, heads},
	} {
		if err := build(append(append([]string{}, names...), c.more...), c.rows).Write(filepath.Join(root, plan, "tables", name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
}

// build makes a table of rows of ints, floats and texts.
func build(names []string, rows [][]any) *table.Table {
	out := table.New()
	for c, name := range names {
		var ints []int64
		var floats []float64
		var texts []string
		for _, r := range rows {
			switch v := r[c].(type) {
			case int64:
				ints = append(ints, v)
			case int:
				ints = append(ints, int64(v))
			case float64:
				floats = append(floats, v)
			case string:
				texts = append(texts, v)
			}
		}
		switch {
		case ints != nil:
			out.AddInt(name, ints)
		case floats != nil:
			out.AddFloat(name, floats)
		default:
			out.AddText(name, texts)
		}
	}
	return out
}

// world writes studies in which the paper is right, or is wrong, on every claim that can come out either way.
func world(t *testing.T, root string, right bool) {
	t.Helper()
	var grid []plant
	for k, n := range []int{16, 32, 64, 128} {
		for _, T := range []int{64, 128, 256, 512} {
			for seed := range 3 {
				fails := T < n+60 == right
				m := plantOf(n, T, seed, "zero", 0.2+0.001*float64(seed))
				if fails {
					m.far = 0.5 + 0.01*float64(seed)
					if right {
						m.far += 0.1 * float64(k)
					} else {
						m.far += 0.1 * float64(4-k)
					}
				}
				if fails == right {
					m.retained, m.growth = 0.9, 30+20*m.far
				}
				if fails && (right || seed < 2) {
					m.strict, m.first = 1, map[bool]string{true: "state", false: "loss"}[right]
				}
				grid = append(grid, m)
			}
		}
		for seed := range 3 {
			far := 0.21 + 0.001*float64(seed)
			if !right {
				far = 2
			}
			grid = append(grid, plantOf(n, 64, seed, "carried", far))
		}
	}
	write(t, root, ForgetPlan, 1000, grid)
	var long []plant
	for _, n := range []int{32, 128} {
		for seed := range 3 {
			m := plantOf(n, 64, seed, "zero", 0.8)
			if right {
				m.retained, m.growth = 0.9, 50
			}
			for k := range 9 {
				far := 0.2 + 0.06*float64(k)
				if !right {
					far = 1.5 - 0.1*float64(k)
				}
				m.along = append(m.along, far*(1+0.01*float64(seed)))
			}
			passed := plantOf(n, 64, seed, "passed", 0.2+0.001*float64(seed))
			if !right {
				passed.far = 3 + 0.1*float64(seed)
			}
			long = append(long, m, passed)
		}
	}
	write(t, root, LongPlan, 2000, long)
	var methods [][]any
	for m, name := range []string{"none", "rri", "state_norm", "window"} {
		for model := range 3 {
			far, near := 1.0+0.1*float64(model), 0.1
			if m > 0 && right {
				far, near = far/2, near+0.05+0.001*float64(model)
			} else if m > 0 {
				far *= 2
			}
			methods = append(methods, []any{fmt.Sprint(model), name, 1, near, 0.9}, []any{fmt.Sprint(model), name, 64, far, 0.9})
		}
	}
	csv(t, root, "mitigations/table.csv", []string{"model", "method", "multiple", "loss", "recall"}, methods)
	var matched [][]any
	for model := range 4 {
		for _, direction := range []string{"lower", "raise"} {
			sign := map[string]float64{"lower": -1, "raise": 1}[direction]
			if !right {
				sign = -sign
			}
			base := 0.5 + 0.1*float64(model)
			name := fmt.Sprint("m", model)
			matched = append(matched, []any{name, direction, "none", 0.0, 0.1, base}, []any{name, direction, "chosen", 0.5, 0.1, base + sign*(0.3+0.01*float64(model))},
				[]any{name, direction, "control", 0.5, 0.1, base + 0.01*float64(model)}, []any{name, direction, "control", 0.5, 0.1, base})
		}
	}
	csv(t, root, "interventions/matched.csv", []string{"model", "direction", "set", "shift", "inside", "excess"}, matched)
	var prompts, parts [][]any
	for model := range 2 {
		for _, p := range []string{"documents", "newlines"} {
			far := map[bool]float64{true: 2, false: 1}[right]
			prompts = append(prompts, []any{fmt.Sprint("text-", model), p, "loss", 4, 1.0, 0.99, 1.01, far, 0.99 * far, 1.01 * far, 1, 1.0, 96.0})
		}
		for h := range 8 {
			for _, q := range []string{"delta", "b_norm", "x_norm", "write_norm"} {
				parts = append(parts, []any{fmt.Sprint("text-", model), q, h, map[bool]float64{true: 2, false: 1}[right], 0.9, 1.1, 100.0})
			}
			parts = append(parts, []any{fmt.Sprint("text-", model), "convolution state of x", -1, map[bool]float64{true: 1, false: 3}[right], 0.9, 1.1, math.NaN()})
		}
	}
	csv(t, root, "probes/prompts.csv", []string{"model", "prompt", "first", "sequences", "inside", "inside_low", "inside_high", "far", "far_low", "far_high", "strict", "growth", "degradation_onset"}, prompts)
	csv(t, root, "probes/components.csv", []string{"model", "quantity", "head", "change", "change_low", "change_high", "onset"}, parts)
}

func csv(t *testing.T, root, name string, columns []string, rows [][]any) {
	t.Helper()
	if err := build(columns, rows).Write(filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
}

func byID(t *testing.T, list []Claim, err error) map[string]Claim {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Claim{}
	for _, c := range list {
		out[c.ID] = c
	}
	return out
}

// quick are the verdicts of claims that need no fit.
func quick(t *testing.T, root string) map[string]Claim {
	t.Helper()
	e, err := evidenceOf(root, 40)
	if err != nil {
		t.Fatal(err)
	}
	list, err := judged(e, slices.DeleteFunc(slices.Clone(registry), func(r test) bool {
		return !slices.Contains([]string{"fails beyond T", "explosion first", "over-training", "mitigations", "over-retention as cause", "newlines", "components", "convolution state"}, r.id)
	}))
	return byID(t, list, err)
}

// Each claim follows the tables, both ways.
func TestClaimsFollowTheTables(t *testing.T) {
	both := map[string][2]string{ // where the paper is right, and where it is wrong
		"larger is worse": {Reproduced, Contradicted}, "forget threshold": {Reproduced, Contradicted}, "explosion": {Reproduced, Contradicted},
		"explosion first": {Reproduced, Contradicted}, "growth means failure": {Reproduced, Contradicted},
		"over-training": {Reproduced, Contradicted}, "longer training": {Reproduced, Contradicted}, "state passing": {Reproduced, Contradicted},
		"carried states": {Reproduced, Contradicted}, "mitigations": {Reproduced, Contradicted}, "over-retention as cause": {Reproduced, Contradicted},
		"newlines": {Reproduced, Contradicted}, "components": {Reproduced, Contradicted}, "convolution state": {Reproduced, Contradicted},
		"forget law, its R²": {Contradicted, Contradicted}, "recall law, its R²": {Reproduced, Reproduced}, "state sizes": {Reproduced, Reproduced},
		"text": {NoResult, NoResult}, "recall law": {NoResult, NoResult},
	}
	for i, right := range []bool{true, false} {
		root := t.TempDir()
		world(t, root, right)
		list, err := claims(root, 40)
		got := byID(t, list, err)
		for id, want := range both {
			if got[id].Verdict != want[i] {
				t.Errorf("right %v: %s is %q, want %q (%s)", right, id, got[id].Verdict, want[i], got[id].Ours)
			}
		}
		for id, c := range got {
			if c.Verdict == "" || c.ID == "" || c.Ours == "" || len(c.Rule) == 0 && c.Verdict != NotTestable {
				t.Errorf("claim %s lacks its rule, its number or its verdict: %+v", id, c)
			}
		}
	}
}

// One changed number in one table changes the verdict that rests on it, and no other.
func TestOneNumberChangesTheVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		claim, file, column string
		row                 func(t *table.Table, i int) bool
		value               float64
		before              string
	}{
		"a run":        {"over-training", "over-training/tables/outcome.parquet", "far", equals("state", "32", "seed", "0", "policy", "zero", "tokens", "1600"), 50, Reproduced},
		"newlines":     {"newlines", "probes/prompts.csv", "far", equals("model", "text-0", "prompt", "newlines"), 1, Reproduced},
		"convolution":  {"convolution state", "probes/components.csv", "change", equals("model", "text-0", "quantity", "convolution state of x"), 9, Reproduced},
		"intervention": {"over-retention as cause", "interventions/matched.csv", "excess", equals("model", "m0", "direction", "lower", "set", "chosen"), 3, Reproduced},
	} {
		root := t.TempDir()
		world(t, root, true)
		before := quick(t, root)
		changeOne(t, filepath.Join(root, c.file), c.column, c.row, c.value)
		after := quick(t, root)
		if before[c.claim].Verdict != c.before || after[c.claim].Verdict == c.before {
			t.Errorf("%s: %q, then %q (%s)", name, before[c.claim].Verdict, after[c.claim].Verdict, after[c.claim].Ours)
		}
		for id := range before {
			if id != c.claim && before[id].Verdict != after[id].Verdict {
				t.Errorf("%s: %s changes too", name, id)
			}
		}
	}
}

func equals(pairs ...string) func(*table.Table, int) bool {
	return func(t *table.Table, row int) bool {
		for k := 0; k < len(pairs); k += 2 {
			v, err := t.Text(pairs[k])
			if err != nil || v[row] != pairs[k+1] {
				return false
			}
		}
		return true
	}
}

func TestVerdictOfSides(t *testing.T) {
	for want, sides := range map[string][]Side{Reproduced: {For, For, Open}, Contradicted: {Against}, Mixed: {For, Against, Open, Open}, Undecided: {For, Open, Open}} {
		if got := Verdict(sides...); got != want {
			t.Errorf("%v: %q, want %q", sides, got, want)
		}
	}
	if Verdict() != Undecided {
		t.Error("nothing decides something")
	}
}

// A law must grow, decidedly, and be of its form.
func TestLawClaims(t *testing.T) {
	for name, c := range map[string]struct {
		at            func(n float64) float64
		verdict, says string
	}{
		"flat":    {func(float64) float64 { return 1.3 }, Contradicted, "no growth"},
		"falling": {func(n float64) float64 { return 40 - 2*n }, Contradicted, "falls"},
		"linear":  {func(n float64) float64 { return 5.172*n - 4.469 }, Reproduced, "best linear"},
		"beyond":  {func(float64) float64 { return 1e3 }, NotTestable, "not reached (18)"},
		"below":   {func(float64) float64 { return 1e-3 }, NotTestable, "passed at once (18)"},
	} {
		var points []fit.Point
		for _, n := range []float64{1, 2, 4, 8, 12, 16} {
			for seed := range 3 {
				p := fit.Point{N: n, Low: math.Inf(-1), High: math.Inf(1)}
				for k := range 41 { // quarter octaves tell the forms apart
					if l := math.Pow(2, float64(k)/4-2) * (1 + 0.05*float64(seed)); l < c.at(n) {
						p.Low = l
					} else {
						p.High = min(p.High, l)
					}
				}
				points = append(points, p)
			}
		}
		got := evidence{resamples: 40}.lawClaim(Claim{}, "forget", points)
		if got.Verdict != c.verdict || !strings.Contains(got.Ours, c.says) {
			t.Errorf("%s: %s (%s), want %s with %q", name, got.Verdict, got.Ours, c.verdict, c.says)
		}
	}
	if b := bendOf(0.008, 0.131); b > 0.02 {
		t.Errorf("over 0.008 … 0.131M scalars the published exponential bends by %g of its rise", b)
	}
	if b := bendOf(0.8, 19.3); b < 0.4 {
		t.Errorf("over the published sizes it bends by %g only", b)
	}
}

func TestClaimsWithoutResults(t *testing.T) {
	list, err := claims(t.TempDir(), 40)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range registry {
		if list[i].ID != r.id {
			t.Errorf("claim %q is registered as %q", list[i].ID, r.id)
		}
	}
	none := 0
	for _, c := range list {
		if c.Verdict == NoResult {
			none++
		}
	}
	if none < 15 {
		t.Errorf("%d claims say that there is no result, want those of all studies", none)
	}
	if rows := ClaimsTable(list).Rows(); rows != len(list) || strings.Count(ClaimsMarkdown(list), "\n| ") != rows {
		t.Error("table and text differ in length")
	}
}
