package seam

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPackageHasAnExample lists the packages whose exported functions and methods no Example shows. Commands and packages for
// tests or for one other package are left out.
func TestEveryPackageHasAnExample(t *testing.T) {
	const root = "../../.."
	for _, top := range []string{"pkg", "xla", "datasets"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if name := d.Name(); name == "testdata" || name == "internal" || name == "cmd" || strings.HasSuffix(name, "test") {
				return filepath.SkipDir
			}
			exported, example, err := shown(path)
			if exported && !example {
				t.Errorf("%s: no Example shows what it exports; write one in example_test.go that runs on the Go back end in a second", path[len(root)+1:])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// shown reports whether a folder's package exports functions, and whether it has an Example.
func shown(dir string) (exported, example bool, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return false, false, err
	}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return false, false, err
		}
		test := strings.HasSuffix(path, "_test.go")
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				exported = exported || !test && f.Name.IsExported()
				example = example || test && strings.HasPrefix(f.Name.Name, "Example")
			}
		}
	}
	return exported, example, nil
}
