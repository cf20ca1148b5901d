package table

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func sample(rows int, from int) *Table {
	ints, floats, texts := make([]int64, rows), make([]float64, rows), make([]string, rows)
	for i := range rows {
		ints[i] = int64(from + i)
		floats[i] = math.Sqrt(float64(from+i)) / 3
		texts[i] = fmt.Sprintf("line, \"%d\"", from+i)
	}
	if rows > 2 {
		floats[2] = math.NaN()
	}
	t := New().AddText("z_text", texts).AddInt("position", ints).AddFloat("a_loss", floats)
	t.Meta["device"] = "test"
	return t
}

func equal(t *testing.T, got, want *Table) {
	t.Helper()
	if !reflect.DeepEqual(got.Names(), want.Names()) {
		t.Fatalf("columns %v, want %v", got.Names(), want.Names())
	}
	for i := range want.Columns {
		g, w := got.Columns[i], want.Columns[i]
		if (g.Ints == nil) != (w.Ints == nil) || (g.Floats == nil) != (w.Floats == nil) || g.Len() != w.Len() {
			t.Fatalf("column %s: kind or length differs", w.Name)
		}
		for row := range w.Len() {
			if g.cell(row) != w.cell(row) {
				t.Fatalf("column %s row %d: %s, want %s", w.Name, row, g.cell(row), w.cell(row))
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, rows := range []int{1, 3, 10000} {
		for _, name := range []string{"t.csv", "t.parquet"} {
			path := filepath.Join(t.TempDir(), "deep", name)
			want := sample(rows, 7)
			if err := want.Write(path); err != nil {
				t.Fatal(err)
			}
			got, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
			if name == "t.parquet" && got.Meta["device"] != "test" {
				t.Errorf("meta lost: %v", got.Meta)
			}
			left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
			if len(left) > 0 {
				t.Errorf("temporary files left: %v", left)
			}
		}
	}
}

func TestSameTableSameBytes(t *testing.T) {
	for _, name := range []string{"t.csv", "t.parquet"} {
		a, b := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), name)
		table := sample(5000, 0)
		table.Meta["b"], table.Meta["a"] = "1", "2"
		if err := table.Write(a); err != nil {
			t.Fatal(err)
		}
		if err := table.Write(b); err != nil {
			t.Fatal(err)
		}
		x, _ := os.ReadFile(a)
		y, _ := os.ReadFile(b)
		if string(x) != string(y) {
			t.Errorf("%s: two writes differ", name)
		}
	}
}

func TestCSVKinds(t *testing.T) {
	read := func(content string) *Table {
		t.Helper()
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := read("\ufeffa, b,c,d\r\n1,2.5,x,007\r\n-3,,y,12\r\n")
	if c := got.column("a"); !reflect.DeepEqual(c.Ints, []int64{1, -3}) {
		t.Errorf("a: %+v", c)
	}
	if c := got.column("b"); c.Floats[0] != 2.5 || !math.IsNaN(c.Floats[1]) {
		t.Errorf("b: %+v", c)
	}
	if c := got.column("d"); !reflect.DeepEqual(c.Texts, []string{"007", "12"}) {
		t.Errorf("identifiers with leading zeros must stay text: %+v", c)
	}
	if got := read("a,b\n1,2\n3,4"); got.Rows() != 2 {
		t.Errorf("a last line without line end is complete when it has all fields: %d rows", got.Rows())
	}
	if got := read("a,b\n1,2\n3"); got.Rows() != 1 {
		t.Errorf("a torn last line must be left out: %d rows", got.Rows())
	}
	if got := read("a,b\n"); got.Rows() != 0 || len(got.Columns) != 2 {
		t.Errorf("header only: %+v", got)
	}
}

func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ content, want string }{
		"empty.csv":    {"", "empty"},
		"ragged.csv":   {"a,b\n1,2\n3\n4,5\n", "wrong number of fields"},
		"twice.csv":    {"a,a\n1,2\n", "twice"},
		"bad.parquet":  {"PAR1 nonsense PAR1", "bad.parquet"},
		"zero.parquet": {"", "zero.parquet"},
		"table.xlsx":   {"x", "use .csv or .parquet"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that contains %q", name, err, c.want)
		}
	}
	whole := filepath.Join(dir, "whole.parquet")
	if err := sample(3000, 0).Write(whole); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(whole)
	for _, cut := range []int{1, 10, len(data) / 2, len(data) - 1} {
		os.WriteFile(whole, data[:cut], 0o644)
		if _, err := Read(whole); err == nil {
			t.Errorf("cut at %d of %d bytes: no error", cut, len(data))
		}
	}
}

func TestRequireNamesAll(t *testing.T) {
	err := sample(1, 0).Require("position", "head", "layer")
	if err == nil || !strings.Contains(err.Error(), "head, layer") || !strings.Contains(err.Error(), "z_text") {
		t.Errorf("error %v", err)
	}
}

func TestAppendKinds(t *testing.T) {
	a := New().AddInt("n", []int64{1}).AddText("s", []string{"x"})
	if err := a.Append(New().AddFloat("s", []float64{math.NaN()}).AddFloat("n", []float64{2.5})); err != nil {
		t.Fatal(err)
	}
	if f, _ := a.Float("n"); !reflect.DeepEqual(f, []float64{1, 2.5}) {
		t.Errorf("n: %v", f)
	}
	if s, _ := a.Text("s"); !reflect.DeepEqual(s, []string{"x", ""}) {
		t.Errorf("s: %v", s)
	}
	if err := a.Append(New().AddInt("n", []int64{1}).AddInt("s", []int64{3})); err == nil {
		t.Error("numbers joined with text")
	}
	if err := a.Append(New().AddInt("n", []int64{1})); err == nil {
		t.Error("a missing column was accepted")
	}
}

func ExampleTable() {
	t := New().AddInt("position", []int64{0, 64, 128}).AddFloat("loss", []float64{5.5, 3.25, 3})
	late := t.Filter(func(row int) bool { return t.Columns[0].Ints[row] >= 64 })
	losses, _ := late.Float("loss")
	fmt.Println(late.Names(), losses)
	fmt.Println(late.Require("loss", "head"))
	// Output:
	// [position loss] [3.25 3]
	// missing columns: head (present: position, loss)
}

// CSV files as spreadsheet programs and pandas write them decode to the same table.
func TestDialectsOfCSV(t *testing.T) {
	wide := func(s string) string {
		out := "\xff\xfe"
		for _, r := range s {
			out += string([]byte{byte(r), byte(r >> 8)})
		}
		return out
	}
	for name, file := range map[string]string{
		"plain":                 "p,v,w\na,1.5,2\nb,,3\n",
		"semicolon":             "p;v;w\na;1,5;2\nb;;3\n",
		"semicolon, points":     "p;v;w\na;1.5;2\nb;;3\n",
		"tab":                   "p\tv\tw\na\t1.5\t2\nb\t\t3\n",
		"UTF-16":                wide("p\tv\tw\r\na\t1.5\t2\r\nb\t\t3\r\n"),
		"byte order mark, CRLF": "\xef\xbb\xbfp,v,w\r\na,1.5,2\r\nb,,3\r\n",
		"CR":                    "p,v,w\ra,1.5,2\rb,,3\r",
		"padding":               "p,v,w\na,1.5,2\nb,,3\n,,\n,,\n",
	} {
		got, err := decodeCSV([]byte(file), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v, err := got.Float("v")
		w, err2 := got.Int("w")
		p, err3 := got.Text("p")
		if err := errors.Join(err, err2, err3); err != nil || fmt.Sprint(v, w, p) != "[1.5 NaN] [2 3] [a b]" {
			t.Errorf("%s: %v %v %v, %v", name, v, w, p, err)
		}
	}
	got, err := decodeCSV([]byte(",n,T\n0,1,2\n1,3,4\n"), nil)
	if err != nil || fmt.Sprint(got.Names()) != "[index n T]" {
		t.Errorf("index of pandas: %v, %v", got, err)
	}
	if _, err := decodeCSV([]byte("a;b\nx;1,5\ny;one\n"), nil); err != nil {
		t.Error(err)
	}
	if _, err := decodeCSV([]byte("a,b\n\xe9,1\n"), nil); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("Latin-1: %v", err)
	}
}

func TestRowsWithoutValuesSurvive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	nan := math.NaN()
	if err := New().AddText("p", []string{"a", ""}).AddFloat("v", []float64{1, nan}).AddFloat("w", []float64{nan, nan}).Write(path); err != nil {
		t.Fatal(err)
	}
	if back, err := Read(path); err != nil || back.Rows() != 2 {
		t.Errorf("%v, %v", back, err)
	}
}

// A row is named by its line in the file, whatever was filtered before.
func TestPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.csv")
	if err := os.WriteFile(path, []byte("a\n1\n2\n3\n4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	even := all.Filter(func(i int) bool { return i%2 == 1 })
	if got := even.Filter(func(i int) bool { return i == 1 }).Place(0); got != path+": line 4" {
		t.Error(got)
	}
	if err := even.Append(all); err != nil || even.Place(3) != "line 4" {
		t.Error(even.Place(3), err)
	}
}
