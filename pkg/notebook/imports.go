package notebook

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// unused are the imports that no cell uses, the one of the import or a later one: GoNB leaves them out without a word. A cell that
// does not parse tells nothing.
func unused(cells []cell) []string {
	imports, used, err := uses(cells)
	if err != nil {
		return nil
	}
	maps.DeleteFunc(imports, func(name, _ string) bool { return used[name] != nil || name == "_" })
	return slices.Sorted(maps.Values(imports))
}

// uses are the imports of the cells, path by name, and what is selected of every name, a variable's fields among it.
func uses(cells []cell) (imports map[string]string, used map[string][]string, err error) {
	imports, used = map[string]string{}, map[string][]string{}
	for _, c := range cells {
		if c.Kind != "code" {
			continue
		}
		for _, source := range parts(string(c.Source)) {
			f, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
			if err != nil {
				return nil, nil, err
			}
			for _, i := range f.Imports {
				of, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					return nil, nil, err
				}
				name := path.Base(of)
				if i.Name != nil {
					name = i.Name.Name
				}
				imports[name] = of
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok {
						used[x.Name] = append(used[x.Name], s.Sel.Name)
					}
				}
				return true
			})
		}
	}
	return imports, used, nil
}

// parts are the declarations of a cell and its statements, which stand after %%, as files; commands of the kernel are left out.
func parts(source string) (files []string) {
	var part strings.Builder
	begin, end := "package cell\n", ""
	next := func() {
		files = append(files, begin+part.String()+end)
		part.Reset()
	}
	command := false
	for line := range strings.Lines(source) {
		goesOn := command && !strings.HasPrefix(line, "%%")
		command = (goesOn || strings.HasPrefix(line, "%") || strings.HasPrefix(line, "!")) && strings.HasSuffix(strings.TrimRight(line, "\r\n"), `\`)
		switch {
		case strings.HasPrefix(line, "%%") && end == "":
			next()
			begin, end = "package cell\nfunc main() {\n", "\n}\n"
		case goesOn, strings.HasPrefix(line, "%"), strings.HasPrefix(line, "!"):
		default:
			part.WriteString(line)
		}
	}
	next()
	return files
}
