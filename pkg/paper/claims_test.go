package paper

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/fit"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// planted writes the tables of studies in which every claim holds: failing below T = 4·N + 100 tokens.
func planted(t *testing.T, root string, holds bool) {
	t.Helper()
	write := func(plan, name string, tab *table.Table) {
		if err := tab.Write(filepath.Join(root, plan, "tables", name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
	outcome := func(rows [][]any) *table.Table {
		names := []string{"row", "heads", "state", "n_s", "train_length", "replica", "policy", "seed", "tokens", "inside", "far", "ratio", "inside_accuracy", "fails", "explosion", "paper", "strict", "first"}
		return build(names, rows)
	}
	var laws, age [][]any
	for _, n := range []int{8, 16, 32, 64, 128, 256} {
		for _, length := range []int{16, 32, 64, 128, 256, 512, 1024, 2048} {
			for seed := range 3 {
				fails := 0
				if length < 4*n+100 == holds {
					fails = 1
				}
				row := "n" + strings.Repeat("x", n/8) + "t" + strings.Repeat("y", length/16)
				first := []string{"neither", "state"}[fails]
				laws = append(laws, []any{row, 8, n, float64(n) / 100, length, seed, "zero", seed, 100, 0.1, 0.1 + float64(fails), 1 + 10*float64(fails), 1.0, fails, fails, fails, fails, first})
				if length != 2048 {
					continue
				}
				for a := 1; a <= 1024; a *= 2 {
					acc := 0.0
					if float64(a) < 2*math.Pow(1.03, float64(n)) == holds {
						acc = 1
					}
					age = append(age, []any{row, n, float64(n) / 100, length, "zero", seed, 1024, 2048, a, 2 * a, acc, 50})
				}
			}
		}
	}
	write(ForgetPlan, "outcome", outcome(laws))
	write(CapacityPlan, "age", build([]string{"row", "state", "n_s", "train_length", "policy", "seed", "position", "end", "age", "age_end", "accuracy", "repeats"}, age))

	var moments, heads, losses [][]any
	for _, length := range []int{64, 256} {
		for _, policy := range []string{"zero", "passed"} {
			for seed := range 3 {
				row := policy + "-" + string(rune('a'+length%7))
				for share := 1; share <= 4; share++ {
					ratio := 1.1
					if holds && length == 64 && policy == "zero" {
						ratio = 2 * float64(share)
					}
					moments = append(moments, []any{row, 8, 128, 0.1, length, seed, policy, seed, 100 * share, 0.1, 0.1 * ratio, ratio, 1.0, oneIf(ratio > 2), oneIf(ratio > 2), 0, 0, "neither"})
				}
				for h := range 4 {
					heads = append(heads, []any{row, length, seed, policy, seed, 0, h, map[bool]float64{true: 0.9 + 0.01*float64(h), false: 0.2}[holds]})
				}
				losses = append(losses, []any{row, length, seed, policy, seed, 100, 0, 64, map[bool]float64{true: float64(length), false: 1}[holds]})
			}
		}
	}
	for _, plan := range []string{RecallPlan, LongPlan} {
		write(plan, "outcome", outcome(moments))
	}
	write(RecallPlan, "heads", build([]string{"row", "train_length", "replica", "policy", "seed", "layer", "head", "retention_window"}, heads))
	write(RecallPlan, "loss", build([]string{"row", "train_length", "replica", "policy", "seed", "tokens", "position", "end", "loss"}, losses))
	var methods [][]any
	for m, method := range []string{"none", "rri", "state_norm", "window"} {
		for model := range 3 {
			far := 1.0 + 0.1*float64(model) // the methods help, or do not
			if m > 0 && holds {
				far /= 2
			}
			methods = append(methods, []any{string(rune('a' + model)), method, 1, 0.1 + 0.01*float64(m)}, []any{string(rune('a' + model)), method, 64, far})
		}
	}
	if err := build([]string{"model", "method", "multiple", "loss"}, methods).Write(filepath.Join(root, "mitigations", "table.csv")); err != nil {
		t.Fatal(err)
	}
	ratio, strict := 3.0, 1
	if !holds {
		ratio, strict = 1, 0
	}
	write(TextPlan, "outcome", outcome([][]any{{"r", 8, 16, 0.1, 64, 0, "zero", 0, 100, 1.0, ratio, ratio, 1.0, strict, strict, strict, strict, "loss"}}))
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

func TestClaimsFollowTheTables(t *testing.T) {
	for _, holds := range []bool{true, false} {
		root := t.TempDir()
		planted(t, root, holds)
		claims, err := evidence{root, 40}.claims()
		if err != nil {
			t.Fatal(err)
		}
		want := Not
		if holds {
			want = Reproduced
		}
		for _, c := range claims {
			switch c.ID {
			case "longer training", "state passing":
				if holds && c.Verdict != want || !holds && c.Verdict != NotTestable {
					t.Errorf("holds %v: %s is %q (%s)", holds, c.ID, c.Verdict, c.Ours)
				}
			case "fails beyond T", "over-training", "retention", "text", "mitigations":
				if c.Verdict != want {
					t.Errorf("holds %v: %s is %q (%s), want %q", holds, c.ID, c.Verdict, c.Ours, want)
				}
			case "price in short contexts", "forget threshold", "larger is worse", "forget law", "recall law", "explosion", "explosion first":
				if holds && c.Verdict != want {
					t.Errorf("%s is %q (%s), want %q", c.ID, c.Verdict, c.Ours, want)
				}
				if !holds && c.Verdict == Reproduced && c.ID != "explosion" && c.ID != "explosion first" {
					t.Errorf("%s is %q (%s) although it was planted the other way", c.ID, c.Verdict, c.Ours)
				}
			}
			t.Logf("%-24s %-32s %s", c.ID, c.Verdict, c.Ours)
		}
	}
}

// A law must grow, decidedly, and be of its form.
func TestLawClaims(t *testing.T) {
	for name, c := range map[string]struct {
		at            func(n float64) float64
		verdict, says string
	}{
		"flat":    {func(float64) float64 { return 1.3 }, Not, "no growth"},
		"falling": {func(n float64) float64 { return 40 - 2*n }, Not, "falls"},
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
}

func TestClaimsWithoutResults(t *testing.T) {
	claims, err := evidence{t.TempDir(), 40}.claims()
	if err != nil {
		t.Fatal(err)
	}
	none := 0
	for _, c := range claims {
		if c.Verdict == NoResult {
			none++
		}
		if c.ID == "forget law, its R²" && !strings.HasPrefix(c.Ours, "0.985") {
			t.Errorf("published R²: %s", c.Ours)
		}
	}
	if none < 10 {
		t.Errorf("%d claims say that there is no result, want those of all studies", none)
	}
	if _, err := study.Read(t.TempDir(), "forget", "outcome"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "stuffed study run forget") {
		t.Errorf("missing results: %v", err)
	}
	if rows := ClaimsTable(claims).Rows(); rows != len(claims) || strings.Count(ClaimsMarkdown(claims), "\n") != rows+2 {
		t.Error("table and text differ in length")
	}
}

func TestResultTables(t *testing.T) {
	tab := build([]string{"row", "train_length", "replica", "policy", "seed", "tokens", "position", "end", "loss"}, [][]any{
		{"a", 64, 0, "zero", 0, 50, 0, 16, 9.0}, {"a", 64, 0, "zero", 0, 100, 0, 16, 1.0}, {"a", 64, 1, "zero", 1, 100, 0, 16, 3.0},
		{"a", 64, 0, "zero", 0, 100, 64, 256, math.NaN()}, {"a", 64, 1, "zero", 1, 100, 64, 256, 5.0}})
	last, err := Last(tab)
	if err != nil || last.Rows() != 4 {
		t.Fatal(last.Rows(), err)
	}
	mean, err := OverSeeds(last, []string{"train_length", "position", "end"}, "loss")
	if err != nil {
		t.Fatal(err)
	}
	if mean, err = Times(mean); err != nil {
		t.Fatal(err)
	}
	loss, _ := mean.Float("loss")
	low, _ := mean.Float("loss_low")
	n, _ := mean.Int("n")
	times, _ := mean.Float("times")
	if len(loss) != 2 || loss[0] != 2 || low[0] != 1 || loss[1] != 5 || n[1] != 2 || times[0] != 0.25 || times[1] != 2 {
		t.Errorf("loss %v low %v n %v times %v", loss, low, n, times)
	}
	if _, err := Where(tab, "policy", "carried"); err == nil {
		t.Error("an empty choice passes")
	}
	points := []fit.Point{{N: 1, Low: 2, High: 4}, {N: 2, Low: 4, High: 8}, {N: 4, Low: 8, High: math.Inf(1)}, {N: 0.5, Low: math.Inf(-1), High: 2}}
	r, err := fit.Fit(points, fit.Options{Law: "forget", Resamples: 40})
	if err != nil {
		t.Fatal(err)
	}
	data, err := LawData(points, r, "linear", "exponential")
	if err != nil || data.Rows() < 4+121 {
		t.Error(data.Rows(), err)
	}
	if rows := Comparison([]string{"ours"}, []*fit.Result{r}).Rows(); rows != len(r.Forms) {
		t.Errorf("%d rows, want %d", rows, len(r.Forms))
	}
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}
