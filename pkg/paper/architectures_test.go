package paper

import (
	"fmt"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/report"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// The p-value of labels is that of all ways to divide the values.
func TestLabels(t *testing.T) {
	a, b := []float64{0.4, 0.3, 0.5, 0.2}, []float64{0.1, 0.35, 0}
	all := append(append([]float64{}, a...), b...)
	difference := func(set uint) float64 {
		var sums [2]float64
		var n [2]float64
		for i, v := range all {
			k := set >> i & 1
			sums[k], n[k] = sums[k]+v, n[k]+1
		}
		return sums[1]/n[1] - sums[0]/n[0]
	}
	seen, reached, ways := difference(0b1111), 0.0, 0.0
	for set := range uint(1 << len(all)) {
		if bits.OnesCount(set) != len(a) {
			continue
		}
		ways++
		if math.Abs(difference(set)) >= math.Abs(seen)-1e-12 {
			reached++
		}
	}
	got, p := labels(a, b)
	if ways != 35 || math.Abs(got-seen) > 1e-12 || math.Abs(p-reached/ways) > 1e-12 {
		t.Errorf("%g (p %g), want %g (p %g) of %g ways", got, p, seen, reached/ways, ways)
	}
}

// The p-value of rank sums is that of all ways to divide the values.
func TestRankSum(t *testing.T) {
	a, b := []float64{1.5, 4, 5, 9}, []float64{1, 2, 2, 3, 4}
	all := append(append([]float64{}, a...), b...)
	rank := func(x float64) (r float64) { // one half for a tie, and it itself
		for _, y := range all {
			switch {
			case y < x:
				r++
			case y == x:
				r += 0.5
			}
		}
		return r + 0.5
	}
	away := func(set uint) float64 {
		sum := -float64(len(a)*(len(all)+1)) / 2
		for i, v := range all {
			if set>>i&1 == 1 {
				sum += rank(v)
			}
		}
		return math.Abs(sum)
	}
	reached, ways := 0.0, 0.0
	for set := range uint(1 << len(all)) {
		if bits.OnesCount(set) != len(a) {
			continue
		}
		if ways++; away(set) >= away(0b1111)-1e-9 {
			reached++
		}
	}
	if p := rankSum(a, b); math.Abs(p-reached/ways) > 0.02 {
		t.Errorf("p %g, want %g", p, reached/ways)
	}
}

// comparedTables plants the study: excess and accuracy within the window by architecture, on the stream and on newlines.
func comparedTables(t *testing.T, excess, accuracy func(architecture string, seed int) float64) evidence {
	t.Helper()
	root := t.TempDir()
	comparedTablesIn(t, root, excess, accuracy)
	return evidence{root: root, resamples: 50}
}

func comparedTablesIn(t *testing.T, root string, excess, accuracy func(architecture string, seed int) float64) {
	t.Helper()
	var outcome, loss, heads, prompts [][]any
	for k, a := range Architectures {
		row := "row-" + a
		for seed := range 3 {
			before := []any{row, "recall", a, "recall", seed, "zero", seed, 64}
			line := func(more ...any) []any { return append(append([]any{}, before...), more...) }
			outcome = append(outcome, line(1000, accuracy(a, seed)))
			far := 0.2 + excess(a, seed)
			for _, b := range [][3]float64{{0, 32, 0.2}, {32, 64, 0.2}, {64, 2048, far}, {2048, 4096, far}} {
				loss = append(loss, line(1000, int(b[0]), int(b[1]), b[2], b[2]-0.01, b[2]+0.01, 0.9, 0.89, 0.91, 1000, b[2]))
			}
			if a != "llama" {
				heads = append(heads, line(0, 0, 0.1, 1+float64(k), math.NaN()), line(0, 1, 0.1, 3+float64(k), math.NaN()))
			}
			for _, kind := range []string{"newlines", "documents"} {
				for q := range 4 {
					for _, b := range [][3]float64{{0, 512, 1}, {512, 16384, 1}, {16384, 32768, 1 + excess(a, seed)}} {
						prompts = append(prompts, []any{"text-" + a, a, "text", seed, seed, 512, kind, q, int(b[0]), int(b[1]), b[2] + 0.001*float64(q)*(b[2]-1)})
					}
				}
			}
		}
	}
	names := []string{"row", "group", "architecture", "data", "replica", "policy", "seed", "train_length"}
	with := func(more ...string) []string { return append(append([]string{}, names...), more...) }
	for name, made := range map[string]*table.Table{
		"outcome":     build(with("tokens", "inside_accuracy"), outcome),
		"loss":        build(with("tokens", "position", "end", "loss", "loss_low", "loss_high", "accuracy", "accuracy_low", "accuracy_high", "repeats", "loss_all"), loss),
		"heads":       build(with("layer", "head", "retention_window", "ratio", "onset"), heads),
		"prompt_loss": build([]string{"row", "architecture", "group", "replica", "seed", "train_length", "kind", "sequence", "position", "end", "loss"}, prompts),
	} {
		if err := made.Write(filepath.Join(root, ArchitecturesPlan, "tables", name+".parquet")); err != nil {
			t.Fatal(err)
		}
	}
}

// Both verdicts follow the tables.
func TestArchitecturesFollowTheirTable(t *testing.T) {
	adds := func(a string) bool { return FamilyOf(a) == "only adding" }
	known := func(string, int) float64 { return 0.9 }
	for name, c := range map[string]struct {
		excess, accuracy func(a string, seed int) float64
		erasing, others  string
	}{
		"only adding fails": {func(a string, seed int) float64 {
			return map[bool]float64{true: 0.4, false: 0.01}[adds(a)] + 0.001*float64(seed)
		}, known, Reproduced, Undecided}, // as badly as Mamba-2: open
		"milder": {func(a string, seed int) float64 {
			return map[bool]float64{true: 0.2, false: 0}[adds(a)] + map[bool]float64{true: 0.3}[a == "mamba2"]
		}, known, Reproduced, Reproduced},
		"milder, but intervals meet": {func(a string, seed int) float64 {
			return map[bool]float64{true: 0.15 * float64(seed+1)}[adds(a)] + map[bool]float64{true: 0.15}[a == "mamba2"]
		}, known, Reproduced, Undecided},
		"the three hold": {func(a string, seed int) float64 {
			return map[bool]float64{true: 0.5}[strings.Contains("mamba2 gla retnet", a)]
		}, known, Undecided, Contradicted},
		"all fail":   {func(a string, seed int) float64 { return 0.4 }, known, Contradicted, Undecided},
		"none fails": {func(a string, seed int) float64 { return 0.02 }, known, NotTestable, NotTestable},
		"erasing fails": {func(a string, seed int) float64 {
			return map[bool]float64{true: 0.15, false: 0.6}[adds(a)]
		}, known, Contradicted, Undecided},
		"two delta models not learned": {func(a string, seed int) float64 { return map[bool]float64{true: 0.4}[adds(a)] },
			func(a string, seed int) float64 {
				return map[bool]float64{true: 0.2, false: 0.9}[a == "kda" || a == "rwkv7"]
			}, NotTestable, Undecided},
	} {
		e := comparedTables(t, c.excess, c.accuracy)
		got, err := e.erasingHelps()
		if err != nil || got.Verdict != c.erasing {
			t.Errorf("%s, erasing: %s, want %s: %v\n%s", name, got.Verdict, c.erasing, err, got.Ours)
		}
		others, err := e.othersFail()
		if err != nil || others.Verdict != c.others {
			t.Errorf("%s, others: %s, want %s: %v\n%s", name, others.Verdict, c.others, err, others.Ours)
		}
	}
	e := comparedTables(t, func(a string, seed int) float64 { return 0.4 }, known)
	models, err := ComparedModels(e.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Summaries(models) {
		grown := s.Kind == streamKind && s.Architecture != "llama"
		if s.Learned != 3 || s.Failing != 3 || math.Abs(s.Excess.Mean-0.4) > 2e-3 || grown == math.IsNaN(s.Growth) {
			t.Errorf("%+v", s)
		}
	}
	for id, draw := range map[string]func(string) (report.Figure, error){"18_architectures": architecturesFigure, "18_text": architecturesTextFigure, "18_loss": architecturesLossFigure} {
		if f, err := draw(e.root); err != nil || f.Table.Rows() < len(Architectures) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// What has not been shown follows from the rows that ship: every architecture of the plan has run on the stream that decides, or is
// named as missing.
func TestArchitecturesUnshown(t *testing.T) {
	root := filepath.Join("..", "..", study.Shipped)
	rows, err := planRows(ArchitecturesPlan)
	if err != nil {
		t.Fatal(err)
	}
	text, err := architecturesUnshown(root)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, r := range rows {
		if train := r.Config.Train; train.Data.Kind != "recall" || train.TrainLength != 64 {
			continue
		}
		_, err := os.Stat(filepath.Join(root, ArchitecturesPlan, "rows", r.Hash, "outcome.parquet"))
		name := ArchitectureNames[r.Config.Train.Model.Architecture()]
		if err == nil {
			ran++
		}
		if _, missing, _ := strings.Cut(text, "Missing are "); (err != nil) != slices.Contains(strings.Split(strings.Split(missing, ";")[0], ", "), name) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	if want := fmt.Sprintf(" %d of 13 architectures", ran); !strings.Contains(text, want) {
		t.Errorf("%q is not in %s", want, text)
	}
}
