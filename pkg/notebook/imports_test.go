package notebook

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
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
		imports, names, err := uses(nb.Cells)
		if err != nil {
			t.Fatalf("%s: %v", filepath.Base(p), err)
		}
		for name, of := range imports {
			if !strings.HasPrefix(of, "stuffed/") {
				continue
			}
			if exported[of] == nil {
				exported[of] = namesOf(t, "../../"+strings.TrimPrefix(of, "stuffed/"))
			}
			for _, symbol := range names[name] {
				if !ast.IsExported(symbol) {
					continue
				}
				if used++; !exported[of][symbol] {
					t.Errorf("%s uses %s of %s, which has no such name", filepath.Base(p), symbol, of)
				}
			}
		}
	}
	if used < 150 {
		t.Errorf("only %d names found", used)
	}
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
