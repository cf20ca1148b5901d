package seam

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Below the seam: architectures, what they are built from, and the layouts of published checkpoints.
var below = []string{"pkg/arch", "pkg/mamba2", "pkg/stack", "pkg/recurrence", "pkg/checkpoint", "pkg/models/layout_"}

// Who names architectures: layouts, and the packages that make the registry of pkg/arch known by importing it.
var registering = []string{"pkg/models/models.go", "pkg/train/config.go"}

// TestNothingAboveReachesThroughTheSeam reads all sources above the architectures. A state is reached by its name and an axis by
// what it is called, in tests too; nothing above but tests imports an architecture or speaks of the convolution that some have.
func TestNothingAboveReachesThroughTheSeam(t *testing.T) {
	const root = "../../.."
	for _, top := range []string{"pkg", "xla", "datasets"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			name = filepath.ToSlash(name)
			if slices.ContainsFunc(below, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				return nil
			}
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			test := strings.HasSuffix(name, "_test.go")
			for _, f := range reaching(file, slices.Contains(registering, name)) {
				if !f.named || !test {
					t.Errorf("%s:%d: %s", name, files.Position(f.at).Line, f.what)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestSeamIsWatched checks that a file which does everything forbidden is reported.
func TestSeamIsWatched(t *testing.T) {
	for source, want := range map[string]string{
		`import "stuffed/pkg/mamba2"`:                      "imports",
		`import _ "stuffed/pkg/arch/rwkv6"`:                "imports",
		`func f(m M) { use(m.State(1)[0]) }`:               "by position",
		`func f(o O) { use(o.State[1]) }`:                  "by position",
		`func f(states []S) { use(states[0]) }`:            "by position",
		`func f(n N) { use(n.Shape().Dimensions[3]) }`:     "axis 3",
		`func f(s S) { use(s.Dims[2]) }`:                   "axis 2",
		`func f(n N) { use(n.Shape().Dim(4)) }`:            "axis 4",
		`func f(n N) { if n.Rank() == 3 { use(n) } }`:      "rank",
		`func f(n N) { if 4 <= n.Shape().Rank() { g() } }`: "rank",
		`func f(n N) { for a := 3; a < n.Rank(); a++ {} }`: "rank",
		`func f(n N) { switch n.Rank() { case 5: g() } }`:  "rank",
		`func f(dims []int) { if len(dims) != 4 { g() } }`: "rank",
		`func f(p P) { if p.Axes[2] == Head { g() } }`:     "axis 2",
		`func f(dims []int) { use(dims[3]) }`:              "axis 3",
		`var convState int`:                                "convState",
		`type s struct{ x int ` + "`json:\"conv\"`" + ` }`: "conv",
		`const name = "conv_state"`:                        "conv_state",
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found := reaching(file, false); len(found) != 1 || !strings.Contains(found[0].what, want) {
			t.Errorf("%s: found %v, want one thing that says %q", source, found, want)
		}
	}
	for _, fine := range []string{`import "stuffed/pkg/lm"`, `var converted, conversion = strconv.Itoa(1), "conventional"`,
		`func f(o O) { use(o.State[spec.Name], o.Shape().Dim(1), s.Dims[0], s.Dim(lm.Tap)) }`, `const role = lm.Convolution`} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+fine, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if found := reaching(file, false); len(found) != 0 {
			t.Errorf("%s: found %v", fine, found)
		}
	}
}

type finding struct {
	at    token.Pos
	what  string
	named bool // names an architecture or its window, as tests do to have a model
}

var conv = regexp.MustCompile(`\bconv([^a-z]|$)|[a-z_ ]Conv([^a-z]|$)|_conv([^a-z]|$)`)

// reaching lists what of a file reaches into an architecture. Axes 0 and 1 of a tensor are layers, rows or tokens everywhere.
func reaching(file *ast.File, registers bool) (found []finding) {
	add := func(at token.Pos, format string, values ...any) {
		found = append(found, finding{at: at, what: fmt.Sprintf(format, values...)})
	}
	name := func(at token.Pos, format string, values ...any) {
		found = append(found, finding{at, fmt.Sprintf(format, values...), true})
	}
	for _, i := range file.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if path == "stuffed/pkg/mamba2" || strings.HasPrefix(path, "stuffed/pkg/arch/") || path == "stuffed/pkg/arch" && !registers {
			name(i.Pos(), "imports %s: ask pkg/lm for architectures by name", path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Ident:
			if conv.MatchString(n.Name) {
				name(n.Pos(), "%s: the inputs that a convolution or a token shift holds are a window", n.Name)
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING && conv.MatchString(n.Value) {
				name(n.Pos(), "%s: the inputs that a convolution or a token shift holds are a window", n.Value)
			}
		case *ast.IndexExpr:
			i, number := n.Index.(*ast.BasicLit)
			if !number || i.Kind != token.INT {
				break
			}
			switch name := nameOf(n.X); {
			case name == "State", name == "state", name == "states", name == "Ends":
				add(n.Pos(), "a state by position: reach it by its name (lm.StateOf, State[spec.Name])")
			case slices.Contains([]string{"Dimensions", "Dims", "Axes"}, name) && i.Value > "1", name == "dims" && i.Value > "2":
				add(n.Pos(), "axis %s by position: name it (Spec.Dim, Spec.Along)", i.Value)
			}
		case *ast.CallExpr:
			if nameOf(n.Fun) == "Dim" && len(n.Args) == 1 {
				if i, ok := n.Args[0].(*ast.BasicLit); ok && i.Kind == token.INT && i.Value > "1" {
					add(n.Pos(), "axis %s by position: name it (Spec.Dim, Spec.Along)", i.Value)
				}
			}
		case *ast.BinaryExpr:
			if n.Op.Precedence() == token.EQL.Precedence() && (isRank(n.X) && number(n.Y, "2") || isRank(n.Y) && number(n.X, "2")) {
				add(n.Pos(), rank)
			}
		case *ast.SwitchStmt:
			if isRank(n.Tag) {
				add(n.Pos(), rank)
			}
		case *ast.ForStmt:
			from, _ := n.Init.(*ast.AssignStmt)
			until, _ := n.Cond.(*ast.BinaryExpr)
			if from != nil && until != nil && number(from.Rhs[0], "1") && isRank(until.Y) {
				add(n.Pos(), rank)
			}
		}
		return true
	})
	return found
}

const rank = "a test of the rank: ask for the role or the axes of the tensor's Spec or Probe"

// isRank recognises the number of a tensor's axes.
func isRank(x ast.Expr) bool {
	c, ok := x.(*ast.CallExpr)
	if ok && nameOf(c.Fun) == "len" {
		return slices.Contains([]string{"Dimensions", "Dims", "Axes", "dims", "axes"}, nameOf(c.Args[0]))
	}
	return ok && nameOf(c.Fun) == "Rank"
}

// number tells whether x is a digit above another.
func number(x ast.Expr, above string) bool {
	i, ok := x.(*ast.BasicLit)
	return ok && i.Kind == token.INT && i.Value > above
}

// nameOf returns the last identifier of a called or indexed expression.
func nameOf(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.CallExpr:
		return nameOf(x.Fun)
	}
	return ""
}
