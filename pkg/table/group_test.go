package table

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func runs() *Table {
	return New().AddText("run", []string{"b", "a", "b", "a", "b"}).AddInt("head", []int64{0, 0, 1, 1, 0}).
		AddFloat("loss", []float64{1, 2, math.NaN(), 4, 3})
}

func text(t *testing.T, table *Table, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	lines = append(lines, strings.Join(table.Names(), " "))
	for r := range table.Rows() {
		var cells []string
		for i := range table.Columns {
			cells = append(cells, table.Columns[i].cell(r))
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	return strings.Join(lines, "; ")
}

func TestGroup(t *testing.T) {
	g, err := runs().Group([]string{"run"}, Count(), Mean("loss"), Median("loss"), Min("loss"), Max("loss").Rename("worst"), Sum("loss"), SD("loss"))
	want := "run count mean_loss median_loss min_loss worst sum_loss sd_loss; b 3 2 2 1 3 4 1.4142135623730951; a 2 3 3 2 4 6 1.4142135623730951"
	if got := text(t, g, err); got != want {
		t.Errorf("%s", got)
	}
	all, err := runs().Group(nil, Count(), Mean("loss"))
	if got := text(t, all, err); got != "count mean_loss; 5 2.5" {
		t.Errorf("%s", got)
	}
	none, err := runs().Filter(func(r int) bool { return r == 2 }).Group([]string{"run"}, Mean("loss"), Max("loss"))
	if err != nil || !math.IsNaN(none.Columns[1].Floats[0]) || !math.IsNaN(none.Columns[2].Floats[0]) {
		t.Errorf("%v, %v", none, err)
	}
	for _, keys := range [][]string{{"nothing"}, {"run"}} {
		if _, err := runs().Group(keys, Mean("loss"), Mean("loss")); err == nil {
			t.Errorf("%v is grouped", keys)
		}
	}
}

func TestPivotIsTheOppositeOfALongTable(t *testing.T) {
	one := runs().Filter(func(r int) bool { return r < 4 })
	p, err := one.Pivot([]string{"run"}, "head", "loss")
	if got := text(t, p, err); got != "run head=0 head=1; b 1 ; a 2 4" {
		t.Errorf("%s", got)
	}
	if _, err := runs().Pivot([]string{"run"}, "head", "loss"); err == nil || !strings.Contains(err.Error(), "Group") {
		t.Errorf("two rows for a cell: %v", err)
	}
}

func TestJoinMatchesTheNestedLoop(t *testing.T) {
	sizes := New().AddText("run", []string{"a", "a", "c"}).AddInt("state", []int64{16, 32, 64}).AddFloat("loss", []float64{7, 8, 9})
	j, err := runs().Join(sizes, "run")
	got := text(t, j, err)
	want := []string{"run head loss state loss_2"}
	left, right := runs(), sizes
	for i := range left.Rows() {
		for k := range right.Rows() {
			if left.Columns[0].Texts[i] == right.Columns[0].Texts[k] {
				want = append(want, strings.Join([]string{left.Columns[0].cell(i), left.Columns[1].cell(i), left.Columns[2].cell(i), right.Columns[1].cell(k), right.Columns[2].cell(k)}, " "))
			}
		}
	}
	if got != strings.Join(want, "; ") {
		t.Errorf("%s", got)
	}
	if _, err := runs().Join(sizes); err == nil {
		t.Error("joined on nothing")
	}
	if _, err := runs().Join(sizes, "head"); err == nil || !strings.Contains(err.Error(), "right") {
		t.Errorf("%v", err)
	}
}

func TestSortPutsMissingLast(t *testing.T) {
	for columns, want := range map[string][]float64{"loss": {1, 2, 3, 4}, "-loss": {4, 3, 2, 1}, "run,-loss": {4, 2, 3, 1}, "-head,loss": {4, math.NaN(), 1, 2}} {
		s, err := runs().Sort(strings.Split(columns, ",")...)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := s.Float("loss")
		if !slices.EqualFunc(got[:len(want)], want, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
			t.Errorf("%s: %v", columns, got)
		}
	}
	if _, err := runs().Sort("nothing"); err == nil {
		t.Error("sorted by nothing")
	}
	if s, err := runs().Select("loss", "run"); err != nil || fmt.Sprint(s.Names()) != "[loss run]" {
		t.Errorf("%v, %v", s, err)
	}
}

func ExampleTable_Group() {
	losses := New().AddText("run", []string{"zero", "zero", "passed"}).AddFloat("loss", []float64{2, 4, 1})
	g, err := losses.Group([]string{"run"}, Mean("loss"), Count())
	if err != nil {
		panic(err)
	}
	fmt.Println(g.Columns[0].Texts, g.Columns[1].Floats, g.Columns[2].Ints)
	// Output: [zero passed] [3 1] [2 1]
}
