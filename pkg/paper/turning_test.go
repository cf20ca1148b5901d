package paper

import (
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// turning is a world in which one number decides a claim.
type turning struct {
	world         func(t *testing.T, root string)
	file, column  string
	row           func(*table.Table, int) bool
	value         float64
	before, after string
}

// far is the cell of the far loss of a planted model, by its place in the list.
func farOf(row string, T int) func(*table.Table, int) bool {
	return func(t *table.Table, i int) bool {
		rows, err := t.Text("row")
		if err != nil {
			return false
		}
		from, err := t.Int("position")
		return err == nil && rows[i] == row && from[i] == int64(32*T)
	}
}

// plants are so many models of each size at a training length, far from holding or failing.
func plants(T int, far float64, sizes map[int]int) (out []plant) {
	for _, n := range []int{16, 32, 64, 128} {
		for seed := range sizes[n] {
			m := plantOf(n, T, seed, "zero", far+0.001*float64(seed))
			out = append(out, m)
		}
	}
	return out
}

func forget(models ...[]plant) func(*testing.T, string) {
	return func(t *testing.T, root string) { write(t, root, ForgetPlan, 1000, slices.Concat(models...)) }
}

const losses = ForgetPlan + "/tables/loss.parquet"

// turnings by the claim: every row of the front page's list has one.
func turnings() map[string]turning {
	right := func(t *testing.T, root string) { world(t, root, true) }
	grown := plants(64, 0.5, map[int]int{16: 5})
	for i := range grown {
		grown[i].retained, grown[i].growth = 0.5, 20
	}
	return map[string]turning{
		// four of five models fail, then three
		"fails beyond T": {forget(plants(64, 0.5, map[int]int{16: 4}), plants(64, 0.2, map[int]int{32: 1})), losses, "loss", farOf("row0", 64), 0.2, Reproduced, Undecided},
		// all five large ones fail and none of three small, then four of five
		"larger is worse": {forget(plants(64, 0.2, map[int]int{16: 3}), plants(64, 0.5, map[int]int{128: 5})), losses, "loss", farOf("row3", 64), 0.2, Reproduced, Undecided},
		// all four at T 64 fail and none of four at T 128, then three of four
		"forget threshold": {forget(plants(64, 0.5, map[int]int{16: 4}), plants(128, 0.2, map[int]int{16: 4})), losses, "loss", farOf("row0", 64), 0.2, Reproduced, Undecided},
		// all five that fail explode and none of four others, then four of five
		"explosion":     {forget(grown, plants(64, 0.2, map[int]int{32: 4})), ForgetPlan + "/tables/heads.parquet", "onset", equals("row", "row0", "head", "0"), math.NaN(), Reproduced, Undecided},
		"over-training": {right, LongPlan + "/tables/outcome.parquet", "far", equals("state", "32", "seed", "0", "policy", "zero", "tokens", "1600"), 50, Reproduced, ""},
		// one seed at T 256 far worse than the others
		"longer training": {forget(plants(64, 0.5, map[int]int{16: 4}), plants(256, 0.2, map[int]int{16: 4})), losses, "loss", farOf("row4", 256), 9, Reproduced, Undecided},
		// one model as it is, beside which the methods no longer help
		"mitigations":             {right, "mitigations/table.csv", "loss", equals("model", "0", "method", "none", "multiple", "64"), 0.01, Reproduced, Undecided},
		"over-retention as cause": {right, "interventions/matched.csv", "excess", equals("model", "m0", "direction", "lower", "set", "chosen"), 3, Reproduced, ""},
		// three of 27 models fail, then two
		"text law": {func(t *testing.T, root string) {
			textTablesIn(t, root, func(n, T, seed int) float64 {
				return map[bool]float64{true: 0.5}[n == 256 && T == 256]
			})
		}, TextLawPlan + "/tables/prompt_loss.parquet", "loss", equals("row", "256-256", "kind", "newlines", "replica", "0", "sequence", "0", "position", "32768"), 0.01, Undecided, NotTestable},
		// of the four that erase two fail in most of their models, then one
		"erasing": {func(t *testing.T, root string) {
			comparedTablesIn(t, root, func(a string, seed int) float64 {
				return map[bool]float64{true: 0.6}[FamilyOf(a) == "only adding"] + map[bool]float64{true: 0.4}[a == "deltanet" || a == "kda" && seed < 2]
			}, func(string, int) float64 { return 0.9 })
		}, ArchitecturesPlan + "/tables/loss.parquet", "loss", equals("row", "row-kda", "replica", "0", "position", "2048"), 0.2, Contradicted, Reproduced},
	}
}

// TestFrontPageTurns: each claim of the README is among those whose verdict one number changes (TestEveryVerdictTurns).
func TestFrontPageTurns(t *testing.T) {
	all := turnings()
	for _, c := range shippedClaims(t) {
		if _, known := all[c.ID]; c.Plain != "" && !known {
			t.Errorf("%s stands in the README, and no test changes its verdict by one number", c.ID)
		}
	}
}

// turns changes the number and sees the verdict change.
func (c turning) turns(t *testing.T, id string) {
	t.Helper()
	root := t.TempDir()
	c.world(t, root)
	before := verdictOf(t, root, id)
	changeOne(t, filepath.Join(root, c.file), c.column, c.row, c.value)
	after := verdictOf(t, root, id)
	if before.Verdict != c.before || after.Verdict == c.before || c.after != "" && after.Verdict != c.after {
		t.Errorf("%s: %q, want %q, then %q, want %q\n%s\n%s", id, before.Verdict, c.before, after.Verdict, c.after, before.Ours, after.Ours)
	}
}

var shipped = sync.OnceValues(func() ([]Claim, error) { return claims("../../"+study.Shipped, 40) })

// shippedClaims are judged once for all tests.
func shippedClaims(t *testing.T) []Claim {
	t.Helper()
	list, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func verdictOf(t *testing.T, root, id string) Claim {
	t.Helper()
	list, err := judge(root, id)
	return byID(t, list, err)[id]
}

// judge runs the test of one claim.
func judge(root, id string) ([]Claim, error) {
	e, err := evidenceOf(root, 40)
	if err != nil {
		return nil, err
	}
	return judged(e, slices.DeleteFunc(slices.Clone(registry), func(r test) bool { return r.id != id }))
}

// changeOne changes the first cell of a column in whose row a condition holds.
func changeOne(t *testing.T, path, column string, row func(*table.Table, int) bool, value float64) {
	t.Helper()
	tab, err := table.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tab.Float(column)
	if err != nil {
		t.Fatal(err)
	}
	v = slices.Clone(v)
	for i := range v {
		if !row(tab, i) {
			continue
		}
		v[i] = value
		k := slices.IndexFunc(tab.Columns, func(c table.Column) bool { return c.Name == column })
		tab.Columns[k] = table.Column{Name: column, Floats: v}
		if err := tab.Write(path); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s: no row to change", path)
}
