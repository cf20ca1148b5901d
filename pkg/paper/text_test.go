package paper

import (
	"fmt"
	"math"
	"math/bits"
	"path/filepath"
	"slices"
	"testing"

	"stuffed/pkg/collapse"
	"stuffed/pkg/table"
)

func arrangements(v []float64, visit func([]float64)) {
	var turn func(k int)
	turn = func(k int) {
		if k == len(v) {
			visit(v)
			return
		}
		for i := k; i < len(v); i++ {
			v[k], v[i] = v[i], v[k]
			turn(k + 1)
			v[k], v[i] = v[i], v[k]
		}
	}
	turn(0)
}

// Kendall's τ and its p-value are those of all arrangements.
func TestKendall(t *testing.T) {
	x, y := []float64{1, 1, 2, 3, 4, 5}, []float64{0, 0, 1, 3, 2, 3}
	score := func(y []float64) int {
		s := 0
		for i := range x {
			for j := range x {
				if x[i] > x[j] && y[i] != y[j] {
					s += map[bool]int{true: 1, false: -1}[y[i] > y[j]]
				}
			}
		}
		return s
	}
	seen, all, reached := score(y), 0.0, 0.0
	arrangements(append([]float64{}, y...), func(v []float64) {
		all++
		if s := score(v); s >= seen || -s >= seen {
			reached++
		}
	})
	tau, p := kendall(x, y)
	if tau != float64(seen)/15 || math.Abs(p-reached/all) > 0.02 {
		t.Errorf("τ %g, p %g; want %g, %g", tau, p, float64(seen)/15, reached/all)
	}
}

// Two-sided coincidence is that of all arrangements within strata.
func TestCoincidence(t *testing.T) {
	pairs := []pair{{"a", true, true}, {"a", true, true}, {"a", false, false}, {"a", false, false}, {"b", true, false}, {"b", false, true}, {"b", true, true}}
	chance, all := map[int]float64{}, 0.0
	for set := range 1 << len(pairs) { // which of them fail: two of a, two of b
		if bits.OnesCount(uint(set&15)) != 2 || bits.OnesCount(uint(set>>4)) != 2 {
			continue
		}
		n := 0
		for i, q := range pairs {
			if q.a && set>>i&1 == 1 {
				n++
			}
		}
		chance[n]++
		all++
	}
	want := 0.0
	for _, c := range chance {
		if c <= chance[3] {
			want += c / all
		}
	}
	if seen, _, p := coincide(pairs); seen != 3 || math.Abs(p-want) > 1e-12 {
		t.Errorf("%g coincide, p %g; want 3, %g", seen, p, want)
	}
}

// Cochran's Q of two treatments is McNemar's (b − c)² / (b + c), and p that of all swaps.
func TestCochran(t *testing.T) {
	rows := [][]bool{{true, false}, {true, false}, {true, false}, {false, true}, {true, true}, {false, false}, {true, false}, {true, false}}
	q, p := cochran(rows)
	if want := 16.0 / 6; math.Abs(q-want) > 1e-12 {
		t.Errorf("Q %g, want %g", q, want)
	}
	reached := 0.0
	for set := range 1 << 6 { // which discordant blocks are swapped
		if b := 2*bits.OnesCount(uint(set)) - 6; b*b >= 16 {
			reached++
		}
	}
	if math.Abs(p-reached/64) > 0.02 {
		t.Errorf("p %g, want %g", p, reached/64)
	}
}

// textTables writes a study in which excess decides who fails on newlines.
func textTables(t *testing.T, excess func(n, T, seed int) float64) evidence {
	t.Helper()
	root := t.TempDir()
	textTablesIn(t, root, excess)
	return evidence{root: root, resamples: 50}
}

func textTablesIn(t *testing.T, root string, excess func(n, T, seed int) float64) {
	t.Helper()
	var row, kind, policy, group []string
	columns := map[string][]float64{}
	names := []string{"replica", "seed", "state", "heads", "n_s", "train_length", "sequence", "position", "end", "loss"}
	for _, n := range []int{16, 64, 256} {
		for _, T := range []int{256, 512, 1024} {
			for seed := range 3 {
				for _, k := range TextPrompts {
					for q := range 4 {
						far := 1.0
						if k == "newlines" {
							far += excess(n, T, seed) + 0.001*float64(q)
						}
						for _, b := range [][3]float64{{0, float64(T), 1}, {float64(T), farFrom, 1}, {farFrom, 2 * farFrom, far}} {
							row, kind, policy, group = append(row, fmt.Sprint(n, "-", T)), append(kind, k), append(policy, "zero"), append(group, "grid")
							for i, v := range []float64{float64(seed), float64(seed), float64(n), 8, float64(n) / 1000, float64(T), float64(q), b[0], b[1], b[2]} {
								columns[names[i]] = append(columns[names[i]], v)
							}
						}
					}
				}
			}
		}
	}
	loss := table.New().AddText("row", row).AddText("kind", kind).AddText("policy", policy).AddText("group", group)
	for _, name := range names {
		loss.AddFloat(name, columns[name])
	}
	heads := table.New().AddText("row", []string{"16-256"}).AddText("kind", []string{"newlines"})
	for _, name := range []string{"replica", "layer", "head", "retention_window", "ratio", "onset"} {
		heads.AddFloat(name, []float64{0})
	}
	for name, tab := range map[string]*table.Table{"prompt_loss": loss, "prompt_heads": heads} {
		if err := tab.Write(filepath.Join(root, TextLawPlan, "tables", name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
}

// The verdict on the law follows the tables: growth, its opposite, and neither.
func TestTextLawFollowsItsTable(t *testing.T) {
	for name, c := range map[string]struct {
		excess func(n, T, seed int) float64
		want   string
	}{
		"grows": {func(n, T, seed int) float64 {
			return map[bool]float64{true: 0.5}[T < map[int]int{16: 300, 64: 600, 256: 1100}[n]]
		}, Reproduced},
		"falls": {func(n, T, seed int) float64 {
			return map[bool]float64{true: 0.5}[T < map[int]int{256: 300, 64: 600, 16: 1100}[n]]
		}, Contradicted},
		"flat":  {func(n, T, seed int) float64 { return map[bool]float64{true: 0.5}[T == 256 || seed == 1] }, Undecided},
		"never": {func(n, T, seed int) float64 { return 0 }, NotTestable},
		"small": {func(n, T, seed int) float64 { return 0.09 }, NotTestable},
	} {
		e := textTables(t, c.excess)
		got, err := e.textLaw()
		if err != nil || got.Verdict != c.want {
			t.Errorf("%s: %s, want %s: %v\n%s", name, got.Verdict, c.want, err, got.Ours)
		}
		documents, err := e.textDocuments()
		if err != nil || documents.Verdict != Undecided { // none of 27 leaves room for 5 %
			t.Errorf("%s, documents: %s: %v", name, documents.Verdict, err)
		}
	}
}

// A training length with a single N has no slope, and one with two has, though half of the samples have none.
func TestSlopesOfFewSizes(t *testing.T) {
	model := func(n, T int, excess float64) TextModel {
		return TextModel{State: n, T: T, Failure: collapse.Failure{Excess: collapse.Estimate{Mean: excess}}}
	}
	got := slopes([]TextModel{model(16, 4096, 0.1), model(16, 4096, 0.3), model(16, 4096, 0.2), model(16, 256, 0), model(32, 256, 1), model(16, 512, 0.4)})
	if want := "T 256 1 [1, 1] nat, T 512 a single N, T 4096 a single N"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// One model decides a coincidence that is on the edge, none one that is far beyond it.
func TestWithoutOne(t *testing.T) {
	far := slices.Repeat([]pair{{"a", true, true}, {"a", false, false}}, 20)
	edge := append(slices.Repeat([]pair{{"a", true, true}}, 2), slices.Repeat([]pair{{"a", false, false}}, 6)...)
	if n := withoutOne(far); n != 0 {
		t.Errorf("without any of %d models p is 0.05 or more, want 0", n)
	}
	_, _, p := coincide(edge)
	if n := withoutOne(edge); math.Abs(p-1.0/28) > 1e-9 || n != 2 { // one in seven without a model that does both, one in 21 without another
		t.Errorf("p %g; without any of %d models p is 0.05 or more, want 1/28 and 2", p, n)
	}
}
