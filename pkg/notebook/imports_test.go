package notebook

import (
	"fmt"
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
