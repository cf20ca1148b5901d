package table

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"stuffed/pkg/atomic"
)

func TestWriterSurvivesCrash(t *testing.T) {
	for _, name := range []string{"t.csv", "t.parquet"} {
		path := filepath.Join(t.TempDir(), name)
		w, err := NewWriter(path, sample(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		want := New()
		for i := range 4 {
			part := sample(100, 100*i)
			if err := w.Append(part); err != nil {
				t.Fatal(err)
			}
			if err := want.Append(part); err != nil {
				t.Fatal(err)
			}
			got, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
		}
		w.Abort()
		// The crash left half a part under a temporary name, and a part after a gap.
		dir := partsDir(path)
		data, _ := os.ReadFile(partName(path, 0))
		os.WriteFile(filepath.Join(dir, ".part-000004.tmp-1"), data[:len(data)/2], 0o644)
		os.WriteFile(partName(path, 7), data, 0o644)
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)

		w, former, err := Resume(path, sample(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, former, want)
		last := sample(10, 400)
		if err := w.Append(last); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := want.Append(last); err != nil {
			t.Fatal(err)
		}
		if got, err = Read(path); err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s stayed after Close", dir)
		}
		if err := w.Append(last); err == nil {
			t.Error("a closed writer accepted rows")
		}
		// Resume picks up a finished file.
		w, former, err = Resume(path, sample(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, former, want)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err = Read(path); err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
	}
}

func TestWriterRowGroups(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	w, err := NewWriter(path, sample(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := w.Append(sample(20000, 20000*i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, _ := f.Stat()
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.RowGroups()) != 3 || p.NumRows() != 60000 {
		t.Errorf("%d row groups, %d rows", len(p.RowGroups()), p.NumRows())
	}
}

func TestWriterWithoutRows(t *testing.T) {
	for _, name := range []string{"t.csv", "t.parquet"} {
		path := filepath.Join(t.TempDir(), name)
		w, err := NewWriter(path, sample(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Rows() != 0 || len(got.Columns) != 3 {
			t.Errorf("%s: %d rows, %d columns", name, got.Rows(), len(got.Columns))
		}
	}
}

// Text that looks like a number survives CSV parts unchanged.
func TestWriterKeepsText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	like := New().AddText("id", nil).AddInt("n", nil)
	w, err := NewWriter(path, like)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Append(New().AddInt("n", []int64{1}).AddText("id", []string{"1e5"})); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w, former, err := Resume(path, like)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := former.Text("id"); s[0] != "1e5" {
		t.Errorf("resumed id %q", s[0])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if string(data) != "id,n\n1e5,1\n" {
		t.Errorf("file: %q", data)
	}
}

// A failed write keeps the previous file.
func TestWriteKeepsFormerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := New().AddInt("n", []int64{1}).Write(path); err != nil {
		t.Fatal(err)
	}
	bad := New().AddInt("n", []int64{1, 2}).AddInt("m", []int64{1})
	if err := bad.Write(path); err == nil {
		t.Fatal("columns of unequal length were written")
	}
	full := func(w io.Writer) error {
		_, _ = io.WriteString(w, "half of the")
		return errors.New("no space left on device")
	}
	if err := atomic.Write(path, full); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("error %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("temporary file left behind: %v", entries)
	}
	data, _ := os.ReadFile(path)
	if string(data) != "n\n1\n" {
		t.Errorf("former file changed: %q", data)
	}
}

func TestContinue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	w, err := NewWriter(path, sample(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if err := w.Append(sample(3, 3*i)); err != nil {
			t.Fatal(err)
		}
	}
	if w.Parts() != 4 {
		t.Fatalf("%d parts", w.Parts())
	}
	w.Abort()
	if w, err = Continue(path, sample(0, 0), 2); err != nil {
		t.Fatal(err)
	}
	if err := w.Append(sample(3, 100)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if position, _ := got.Int("position"); !slices.Equal(position, []int64{0, 1, 2, 3, 4, 5, 100, 101, 102}) {
		t.Errorf("positions %v", position)
	}
	if _, err := Continue(path, sample(0, 0), 1); err == nil {
		t.Error("parts that are not there were continued")
	}
}

// Parts large enough for a row group are copied with their dictionaries, whatever the number of columns.
func TestLargePartsAreCopied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "T.parquet")
	made := func(from, rows int) *Table {
		var at []int64
		var half []float64
		var name []string
		for i := from; i < from+rows; i++ {
			at, half, name = append(at, int64(i)), append(half, float64(i)/2), append(name, fmt.Sprint("name ", i/5000))
		}
		half[0] = math.NaN()
		t := New().AddInt("at", at).AddFloat("half", half).AddText("name", name)
		t.Meta["about"] = "a test"
		return t
	}
	want := made(0, mergedRows)
	w, err := NewWriter(path, want)
	if err != nil {
		t.Fatal(err)
	}
	later := []*Table{made(mergedRows, 3*mergedRows), New().AddInt("at", nil).AddFloat("half", nil).AddText("name", nil), made(4*mergedRows, 7)}
	if err := w.Append(want); err != nil {
		t.Fatal(err)
	}
	if err := w.AppendAll(later...); err != nil || w.Parts() != 3 {
		t.Fatal(w.Parts(), err)
	}
	if large, err := w.large(); !large || err != nil {
		t.Fatal(large, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil || got.Meta["about"] != "a test" {
		t.Fatal(got.Meta, err)
	}
	all := want.Take(nil)
	for _, part := range append([]*Table{want}, later...) {
		if err := all.Append(part); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range all.Columns {
		g := got.Columns[i]
		if !slices.Equal(g.Ints, c.Ints) || !slices.Equal(g.Texts, c.Texts) ||
			!slices.EqualFunc(g.Floats, c.Floats, func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }) {
			t.Errorf("column %s differs", c.Name)
		}
	}
}

// A crash while Close removes the parts of a finished table leaves some of them; they are not taken for rows again.
func TestResumeAfterACrashInClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	like := New().AddInt("x", nil)
	w, err := NewWriter(path, like)
	if err != nil {
		t.Fatal(err)
	}
	for x := range int64(3) {
		if err := w.Append(New().AddInt("x", []int64{x})); err != nil {
			t.Fatal(err)
		}
	}
	second, err := os.ReadFile(partName(path, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.MkdirAll(partsDir(path), 0o755), os.WriteFile(partName(path, 1), second, 0o644)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, former, err := Resume(path, like)
		if err != nil || former.Rows() != 3 {
			t.Fatalf("%d rows, want 3 (%v)", former.Rows(), err)
		}
		again.Abort()
	}
}
