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

// unused returns the imports that no cell uses, neither the importing one nor a later one; GoNB drops them silently. Cells that
// do not parse are skipped.
func unused(cells []cell) []string {
	imports, used, err := uses(cells)
	if err != nil {
		return nil
	}
	maps.DeleteFunc(imports, func(name, _ string) bool { return used[name] != nil || name == "_" })
	return slices.Sorted(maps.Values(imports))
}

// uses returns the imports of the cells, path by name, and everything selected from each name, fields of variables included.
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

// parts returns the declarations of a cell, and its statements after %%, as files; kernel commands are left out.
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
