package intervene_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"stuffed/pkg/intervene"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

func lists(t *testing.T, lengths ...int) task.Test {
	t.Helper()
	test := task.Test{Count: 3, Batch: 2}
	for _, n := range lengths {
		one, err := task.Open("recall-list", n, map[string]any{"keys": 24, "values": 8, "pairs": 3}, nil)
		if err != nil {
			t.Fatal(err)
		}
		test.Tasks = append(test.Tasks, one)
	}
	return test
}

func lossesOf(t *testing.T, rows *table.Table, err error) []float64 {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	v, err := rows.Float("loss")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Methods that change nothing leave every answer as it is, by every way of reading: controls, controls by length, decimation
// that keeps all tokens, and a window that holds them all. Those that change something do.
func TestTasksUnderMethods(t *testing.T) {
	b, test := initial(t), lists(t, 16, 40)
	plain, err := test.Run(t.Context(), b.Runner)
	want := lossesOf(t, plain, err)
	half := intervene.Plan{{Kind: "alpha_scale", Value: 0.5}}
	for name, c := range map[string]struct {
		method intervene.Method
		same   func(length int) bool
	}{
		"none":              {intervene.Method{}, func(int) bool { return true }},
		"a plan":            {intervene.Method{Plan: half}, func(int) bool { return false }},
		"a plan by length":  {intervene.Method{Lengths: map[int]intervene.Plan{16: nil, 64: half}}, func(n int) bool { return n == 16 }},
		"a wide window":     {intervene.Method{Window: 64}, func(int) bool { return true }},
		"a narrow window":   {intervene.Method{Window: 4}, func(int) bool { return false }},
		"nothing decimated": {intervene.Method{Decimation: &intervene.Decimation{Base: 64, Beta: 1, Least: 1, Piece: 8}}, func(int) bool { return true }},
		"decimation":        {intervene.Method{Decimation: &intervene.Decimation{Base: 2, Beta: 1, Least: 1, Piece: 8}}, func(int) bool { return false }},
	} {
		rows, err := b.Ask(t.Context(), test, c.method)
		got := lossesOf(t, rows, err)
		length, err := rows.Int("length")
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %d rows, %v", name, len(got), err)
		}
		for i := range got {
			if same := math.Abs(got[i]-want[i]) < 2e-6; same != c.same(int(length[i])) {
				t.Errorf("%s, %d tokens: loss %g, without %g", name, length[i], got[i], want[i])
			}
		}
	}
	test.Generate = true
	if _, err := b.Ask(t.Context(), test, intervene.Method{Decimation: &intervene.Decimation{Base: 2, Beta: 1, Least: 1, Piece: 8}}); err == nil {
		t.Error("decimation wrote answers")
	}
}

// Every mitigation is asked, those that choose do so on sequences that are not reported, and the outcome is that of a second run.
func TestTasksUnderEveryMitigation(t *testing.T) {
	b := initial(t)
	c := intervene.CompareTasks{Test: lists(t, 24), TrainLength: 12, Methods: intervene.FamilyNames(), Choosing: 2}
	all := intervene.CompareRows()
	stop := errors.New("stop")
	some := func(rows *table.Table) error { // an interrupted run has two methods
		if err := all.Append(rows); err != nil || all.Rows() < 2 {
			return err
		}
		return stop
	}
	if _, err := c.Run(t.Context(), b, nil, some, nil); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	done, err := all.Text("method")
	if err != nil || len(done) != 2 {
		t.Fatal(done, err)
	}
	refused, err := c.Run(t.Context(), b, done, all.Append, nil)
	if err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	methods, err := all.Text("method")
	if err != nil || !slices.Equal(methods, intervene.FamilyNames()) {
		t.Errorf("methods %q, %v", methods, err)
	}
	plain, err := c.Test.Run(t.Context(), b.Runner)
	want := lossesOf(t, plain, err)
	mean := 0.0
	for _, l := range want {
		mean += l / float64(len(want))
	}
	if got := lossesOf(t, all, nil); math.Abs(got[0]-mean) > 1e-6 {
		t.Errorf("none: loss %g, want %g", got[0], mean)
	}
}
