package eval_test

import (
	"strings"
	"testing"

	"stuffed/pkg/table"
)

func floats(t testing.TB, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ints(t testing.TB, tab *table.Table, name string) []int64 {
	t.Helper()
	v, err := tab.Int(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func texts(t testing.TB, tab *table.Table, name string) []string {
	t.Helper()
	v, err := tab.Text(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantError(t testing.TB, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}
