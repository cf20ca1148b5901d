package table

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

type place struct {
	Layer int `parquet:"layer" doc:"layer, from 0"`
	Head  int `parquet:"head" doc:"head, from 0"`
}

type measured struct {
	Model string `parquet:"model" doc:"name of the model"`
	place
	Loss   float64 `parquet:"loss" doc:"nats per token"`
	Tokens int64   `parquet:"tokens" doc:"tokens that were read"`
}

var some = []measured{{"a", place{0, 1}, 0.5, 3}, {"b", place{2, 0}, math.Inf(1), -1}}

func ExampleOf() {
	t := Of(some)
	fmt.Println(t.Names(), t.Rows())
	fmt.Println(Help[measured]())
	// Output:
	// [model layer head loss tokens] 2
	//   model   name of the model
	//   layer   layer, from 0
	//   head    head, from 0
	//   loss    nats per token
	//   tokens  tokens that were read
}

func TestRowsComeBack(t *testing.T) {
	for _, name := range []string{"t.csv", "t.parquet"} {
		path := filepath.Join(t.TempDir(), name)
		if err := Of(some).Write(path); err != nil {
			t.Fatal(err)
		}
		read, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		read.AddText("more", []string{"x", "y"})
		rows, err := Rows[measured](read)
		if err != nil || !reflect.DeepEqual(rows, some) {
			t.Errorf("%s: %v, %v, want %v", name, rows, err, some)
		}
	}
}

// The struct tags are parquet-go's: parquet-go itself reads our files into the same row types, with the same column order.
func TestTagsAreThoseOfParquet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	if err := Of(some).Write(path); err != nil {
		t.Fatal(err)
	}
	rows, err := parquet.ReadFile[measured](path)
	if err != nil || !reflect.DeepEqual(rows, some) {
		t.Errorf("parquet-go reads %v, %v, want %v", rows, err, some)
	}
	var names []string
	for _, f := range parquet.SchemaOf(measured{}).Fields() {
		names = append(names, f.Name())
	}
	if want := Of(some).Names(); !reflect.DeepEqual(names, want) {
		t.Errorf("parquet-go orders the columns %v, want %v", names, want)
	}
}

func TestMissingColumnsOfRowsAreNamed(t *testing.T) {
	_, err := Rows[measured](Of(some).Without("head", "loss"))
	if err == nil || !strings.Contains(err.Error(), "missing columns: head, loss") {
		t.Errorf("error %v, want one that names head and loss", err)
	}
	if empty := Of[measured](nil); empty.Check() != nil || empty.Rows() != 0 {
		t.Errorf("no rows: %v", empty.Check())
	}
}

// No code fills or reads a table by column number or builds a table of fixed columns one column at a time, and every field of a row type
// has a name and a description.
func TestTablesAreFilledByName(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || path == filepath.Join(root, "pkg", "table")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, wrong := range loose(file) {
			t.Errorf("%s: %s", path, wrong)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// loose lists uses of column numbers in a file, and fields of row types that lack a name or a description.
func loose(file *ast.File) (wrong []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IndexExpr:
			if s, ok := n.X.(*ast.SelectorExpr); ok && s.Sel.Name == "Columns" && literal(n.Index) {
				wrong = append(wrong, "a column is reached by its number; make a row type and use table.Of or table.Rows")
			}
		case *ast.StructType:
			wrong = append(wrong, undescribed(n)...)
		case *ast.CallExpr:
			if added(n) == 2 {
				wrong = append(wrong, "a table is put together column by column; make a row type and use table.Of")
			}
		}
		return true
	})
	return wrong
}

// added counts the literally named columns in a call chain of AddInt, AddFloat and AddText that starts at table.New.
func added(call *ast.CallExpr) int {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return 0
	}
	if x, ok := f.X.(*ast.Ident); ok && x.Name == "table" && f.Sel.Name == "New" {
		return 0
	}
	before, ok := f.X.(*ast.CallExpr)
	if !ok || !strings.HasPrefix(f.Sel.Name, "Add") || len(call.Args) != 2 || !literal(call.Args[0]) {
		return -100 // not such a chain
	}
	return 1 + added(before)
}

func literal(e ast.Expr) (found bool) {
	ast.Inspect(e, func(n ast.Node) bool {
		_, is := n.(*ast.BasicLit)
		found = found || is
		return true
	})
	return found
}

func undescribed(s *ast.StructType) (wrong []string) {
	var tags []reflect.StructTag
	typed := false
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 {
			continue
		}
		var tag reflect.StructTag
		if f.Tag != nil {
			text, _ := strconv.Unquote(f.Tag.Value)
			tag = reflect.StructTag(text)
		}
		typed = typed || tag.Get("parquet") != ""
		tags = append(tags, tag)
	}
	for i := 0; typed && i < len(tags); i++ {
		if tags[i].Get("parquet") == "" || tags[i].Get("doc") == "" {
			wrong = append(wrong, fmt.Sprintf("field %d of a row type has the tag %q, want parquet:\"name\" and doc:\"what it holds\"", i+1, tags[i]))
		}
	}
	return wrong
}

func TestLooseTablesAreSeen(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\ntype r struct {\nA int `parquet:\"a\"`\n}\nfunc f() {\n t.Columns[5+i].Floats = t.Columns[c].Floats\n"+
		"return table.New().AddText(\"a\", a).AddInt(\"b\", b).AddFloat(\"c\", c)\n}", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := loose(file); len(got) != 3 {
		t.Errorf("%q, want an undescribed field, a column by number and a table by columns", got)
	}
}
