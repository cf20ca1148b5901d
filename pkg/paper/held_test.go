package paper

import (
	"math"
	"path/filepath"
	"testing"

	"stuffed/datasets"
	"stuffed/pkg/bound"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// TestBoundsHold: no model of the shipped studies holds more than its state can, in bits, and the table says by what factor it
// stays below.
func TestBoundsHold(t *testing.T) {
	root := filepath.Join("..", "..", "datasets", "study")
	for _, plan := range []string{"capacity", "forget", "over-training", "recall-table", "architectures", "erase", "norm-limit"} {
		held, err := Held(root, plan, "zero")
		if err != nil {
			t.Fatalf("%s: %v", plan, err)
		}
		column := func(name string) []float64 {
			v, err := held.Float(name)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if n := membersOf(t, filepath.Join(root, plan, "rows")); n == 0 || held.Rows() != n {
			t.Errorf("%s: %d models are held to the bound, its rows have %d", plan, held.Rows(), n)
		}
		scalars, items, recalled, factor := column("scalars"), column("items"), column("recalled"), column("factor")
		for i, bits := range column("held_bits") {
			if !(bits >= 0 && bits <= column("bound_bits")[i]) || factor[i] < 1 {
				t.Errorf("%s, row %d: holds %g bits, the bound is %g", plan, i, bits, column("bound_bits")[i])
			}
			if recalled[i] > items[i]+1e-9 || items[i] > column("gap")[i]+1 {
				t.Errorf("%s, row %d: recalls %g of %g items among %g pairs", plan, i, recalled[i], items[i], column("gap")[i])
			}
			// what is held is at most what the recalled items are worth, and needs a table of that size
			if most := recalled[i] * math.Log2(256); bits > most+1e-6 {
				t.Errorf("%s, row %d: %g bits in %g recalled values", plan, i, bits, recalled[i])
			}
			if n := int(recalled[i]); n > 0 && bound.Copying(scalars[i]*stateBits, n, 128) > 0 {
				t.Errorf("%s, row %d: %d values cannot be copied from %g numbers", plan, i, n, scalars[i])
			}
		}
	}
}

// membersOf counts the models from zero states in the rows of a study that were asked about pairs by age.
func membersOf(t *testing.T, folder string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*", "age.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		members := map[int64]bool{}
		rows := read(t, f)
		replica, _ := rows.Int("replica")
		policy, err := rows.Text("policy")
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range replica {
			members[m] = members[m] || policy[i] == "zero"
		}
		for _, zero := range members {
			if zero {
				n++
			}
		}
	}
	return n
}

func read(t *testing.T, path string) *table.Table {
	t.Helper()
	rows, err := table.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestBoundsHoldForEveryAnswer: nothing that a model of a task was ever asked, whatever its learning rate and how long it was trained,
// takes more bits than it carries at the end of the sequence. The bits are summed value by value.
func TestBoundsHoldForEveryAnswer(t *testing.T) {
	for plan, values := range map[string]int{MQARPlan: mqarValues, PasskeyPlan: 64} {
		root := filepath.Join("..", "..", study.Shipped)
		all, err := study.Read(root, plan, "task")
		if err != nil {
			t.Fatal(err)
		}
		type cell struct {
			Row       string  `parquet:"row" doc:"hash"`
			Task      string  `parquet:"task" doc:"name"`
			Asked     string  `parquet:"asked" doc:"group"`
			Length    int     `parquet:"length" doc:"tokens"`
			Accuracy  float64 `parquet:"accuracy" doc:"share of answers"`
			Recurrent float64 `parquet:"n_s" doc:"millions of numbers"`
			Carried   float64 `parquet:"n_s_carried" doc:"millions of numbers; of one token where n_s is 0"`
		}
		rows, err := table.Rows[cell](all)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range rows {
			seen[r.Row] = true
			items, of := r.Length/4, values // lists
			if r.Task == "passkey" {
				items, of = 5, 10
			}
			numbers := 1e6 * r.Carried
			if r.Recurrent == 0 {
				numbers *= float64(r.Length)
			}
			if held := fano(items, of, r.Accuracy, plan == MQARPlan); !(held <= 32*numbers) {
				t.Errorf("%s, row %s, %s of %d tokens: %g bits in %g numbers", plan, r.Row, r.Asked, r.Length, held, numbers)
			}
		}
		folders, err := filepath.Glob(filepath.Join(root, plan, "rows", "*"))
		if err != nil || len(folders) == 0 {
			t.Fatal(folders, err)
		}
		for _, f := range folders {
			if !seen[filepath.Base(f)] {
				t.Errorf("%s: row %s is not in the tables", plan, filepath.Base(f))
			}
		}
	}
}

// fano is the least number of bits with which values, all different or independent, come back with the given accuracy.
func fano(items, values int, accuracy float64, different bool) (bits float64) {
	e := 1 - accuracy
	for i := range items {
		of := float64(values)
		if different {
			of -= float64(i)
		}
		bits += math.Log2(of) - e*math.Log2(float64(values-1))
		for _, p := range []float64{e, accuracy} {
			if p > 0 {
				bits += p * math.Log2(p)
			}
		}
	}
	return max(bits, 0)
}

// TestKeysByAge: a stream whose gap is 1 repeats only the pair before, so that about half of the pairs bring a new key.
func TestKeysByAge(t *testing.T) {
	counts := keysByAge(datasets.RecallStream{Keys: 1 << 20, Values: 8, Gap: 1, Seed: 1}, 400)
	if counts[1] != 1 || counts[0] != 0 {
		t.Errorf("the last pair's key counts %g times", counts[1])
	}
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	if sum < 90 || sum > 111 {
		t.Errorf("%g keys in 200 pairs, want about 100", sum)
	}
}
