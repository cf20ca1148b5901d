package notebook

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnusedImports(t *testing.T) {
	code := func(sources ...string) (cells []cell) {
		for _, s := range sources {
			cells = append(cells, cell{Kind: "code", Source: text(s)})
		}
		return append(cells, cell{Kind: "markdown", Source: "os.Exit"})
	}
	first := "%noautoget\n!*[ -e go.work ] || \\\n    go work init . \"$GONB_DIR\"/..\n"
	for want, cells := range map[string][]cell{
		"[]":        code(first, "import \"fmt\"\n\n%%\nfmt.Println(1)\n"),
		"[os]":      code(first, "import (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc f() { fmt.Println(`os.Exit`) } // os.Exit\n"),
		"[a/fmt]":   code("import other \"a/fmt\"\nvar x = fmt.X\n"),
		"[ ]":       code("import \"os\"\nvar x = (\n"), // does not parse: says nothing
		"[ later ]": code("import \"os\"\n", "%% word\nx := os.Args\n_ = x\n"),
	} {
		if got := fmt.Sprint(unused(cells)); got != want && (want[1] != ' ' || got != "[]") {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Names of the project's packages that the shipped notebooks use exist: a cell alone would tell when it is run.
func TestNotebooksUseWhatThereIs(t *testing.T) {
	paths, err := filepath.Glob("../../notebooks/*.ipynb")
	if err != nil || len(paths) < 20 {
		t.Fatalf("%d notebooks, %v", len(paths), err)
	}
	exported, used := map[string]map[string]bool{}, 0
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		var nb file
		if err := json.Unmarshal(data, &nb); err != nil {
			t.Fatal(err)
		}
		for _, name := range namesUsed(t, nb.Cells) {
			dir, symbol := path.Dir(name), path.Base(name)
			if exported[dir] == nil {
				exported[dir] = namesOf(t, "../../"+strings.TrimPrefix(dir, "stuffed/"))
			}
			if used++; !exported[dir][symbol] {
				t.Errorf("%s uses %s of %s, which has no such name", filepath.Base(p), symbol, dir)
			}
		}
	}
	if used < 150 {
		t.Errorf("only %d names found", used)
	}
}

// namesUsed are import path and name of what cells use of the project.
func namesUsed(t *testing.T, cells []cell) (names []string) {
	imports := map[string]string{}
	for _, c := range cells {
		if c.Kind != "code" {
			continue
		}
		for _, source := range parts(string(c.Source)) {
			f, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("%v in\n%s", err, source)
			}
			for _, i := range f.Imports {
				of := strings.Trim(i.Path.Value, `"`)
				imports[path.Base(of)] = of
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && strings.HasPrefix(imports[x.Name], "stuffed/") && s.Sel.IsExported() {
						names = append(names, imports[x.Name]+"/"+s.Sel.Name)
					}
				}
				return true
			})
		}
	}
	return names
}

// namesOf are the exported functions, types, variables and constants of a package.
func namesOf(t *testing.T, dir string) map[string]bool {
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	names := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names[n.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}
