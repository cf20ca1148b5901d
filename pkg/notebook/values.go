package notebook

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A value given to a parameter is written as the type requires that the parameters' cell declares for it.

// settings returns declarations of the values, and the values for JSON. A name that the cell does not declare is an error that lists
// those it does; a value of another type is an error that names the type.
func settings(source string, values map[string]string) (code string, given map[string]any, err error) {
	kinds, err := declared(source)
	if err != nil {
		return "", nil, fmt.Errorf("the cell with the tag parameters: %w", err)
	}
	var lines []string
	given = map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		kind, ok := kinds[name]
		if !ok {
			return "", nil, fmt.Errorf("no parameter %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
		}
		text, value, err := literal(kind, values[name])
		if err != nil {
			return "", nil, fmt.Errorf("parameter %s: %q is not %w", name, values[name], err)
		}
		lines, given[name] = append(lines, fmt.Sprintf("var %s = %s", name, text)), value
	}
	return strings.Join(lines, "\n"), given, nil
}

// declared returns the types of the variables that a cell declares outside its functions, by name; a type is empty where the cell
// alone does not determine it.
func declared(source string) (map[string]string, error) {
	first := map[string]ast.Expr{}
	for _, text := range parts(source) {
		f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				for i, name := range v.Names {
					first[name.Name] = nil
					if i < len(v.Values) {
						first[name.Name] = v.Values[i]
					}
					if v.Type != nil {
						first[name.Name] = &ast.CompositeLit{Type: v.Type}
					}
				}
			}
		}
	}
	out := map[string]string{}
	for name, e := range first {
		out[name] = kind(e, first)
	}
	return out, nil
}

// kind returns the type of an expression as far as its text determines it; names holds the cell's variables.
func kind(e ast.Expr, names map[string]ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return map[token.Token]string{token.INT: "int", token.FLOAT: "float64", token.STRING: "string"}[e.Kind]
	case *ast.CompositeLit:
		return types.ExprString(e.Type)
	case *ast.BinaryExpr:
		return known(names, e.X, e.Y)
	case *ast.UnaryExpr:
		return kind(e.X, names)
	case *ast.ParenExpr:
		return kind(e.X, names)
	case *ast.SliceExpr:
		return kind(e.X, names)
	case *ast.CallExpr: // notebook.Choose(smoke, small, full)
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Choose" {
			return known(names, e.Args...)
		}
	case *ast.Ident:
		if e.Name == "true" || e.Name == "false" {
			return "bool"
		}
		value := names[e.Name]
		rest := maps.Clone(names) // a name that leads to itself leads nowhere
		delete(rest, e.Name)
		return kind(value, rest)
	}
	return ""
}

// known returns the first type that one of the expressions determines.
func known(names map[string]ast.Expr, of ...ast.Expr) string {
	for _, e := range of {
		if k := kind(e, names); k != "" {
			return k
		}
	}
	return ""
}

var plain = []string{"string", "bool", "int", "float64"}

// literal returns a value of a type as Go source and for JSON. The elements of a list are separated by commas; a list or a structure may
// also be given as a Go literal. The error's text continues "is not".
func literal(kind, value string) (code string, as any, err error) {
	if element, list := strings.CutPrefix(kind, "[]"); list && slices.Contains(plain, element) && !strings.HasPrefix(value, kind+"{") {
		return elements(element, value)
	}
	switch kind {
	case "string":
		return strconv.Quote(value), value, nil
	case "bool":
		if value != "true" && value != "false" {
			return "", nil, fmt.Errorf("true or false")
		}
		return value, value == "true", nil
	case "int":
		n, err := strconv.Atoi(value)
		if err != nil {
			return "", nil, fmt.Errorf("a whole number, such as 65536")
		}
		return strconv.Itoa(n), n, nil
	case "float64":
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return "", nil, fmt.Errorf("a number, such as 0.95")
		}
		if code = strconv.FormatFloat(v, 'g', -1, 64); !strings.ContainsAny(code, ".e") {
			code += ".0"
		}
		return code, v, nil
	case "": // only the compiler knows
		if v, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			return value, v, nil
		}
		return strconv.Quote(value), value, nil
	}
	e, err := parser.ParseExpr(value)
	if c, ok := e.(*ast.CompositeLit); err != nil || !ok || types.ExprString(c.Type) != kind {
		return "", nil, fmt.Errorf("of type %s; write it as Go does: %s{…}", kind, kind)
	}
	return value, value, nil
}

// elements returns a list of values separated by commas.
func elements(kind, value string) (string, any, error) {
	var codes []string
	list := []any{}
	for _, v := range strings.Split(value, ",") {
		if value == "" {
			break
		}
		code, as, err := literal(kind, strings.TrimSpace(v))
		if err != nil {
			return "", nil, fmt.Errorf("a list with commas; %q is not %w", v, err)
		}
		codes, list = append(codes, code), append(list, as)
	}
	return "[]" + kind + "{" + strings.Join(codes, ", ") + "}", list, nil
}
