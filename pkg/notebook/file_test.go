package notebook

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ipynb makes a notebook of code cells, the first of which joins the module.
func ipynb(t *testing.T, edit func(nb map[string]any), sources ...string) string {
	t.Helper()
	var cells []any
	for _, s := range append([]string{"%noautoget\n!*go work init . $GONB_DIR/.."}, sources...) {
		cells = append(cells, map[string]any{"cell_type": "code", "id": "a", "metadata": map[string]any{"scrolled": true, "tags": []string{"parameters"}},
			"source": strings.SplitAfter(s, "\n"), "outputs": []any{map[string]any{"output_type": "stream", "name": "stdout", "text": "x"}}, "execution_count": 3})
	}
	nb := map[string]any{"nbformat": 4, "nbformat_minor": 5, "cells": cells,
		"metadata": map[string]any{"kernelspec": map[string]any{"name": "gonb"}, "language_info": map[string]any{"version": "go1.2.3"}}}
	if edit != nil {
		edit(nb)
	}
	data, err := json.Marshal(nb)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "01_x.ipynb")
	write(t, path, string(data))
	return path
}

func TestCheck(t *testing.T) {
	if err := Check(ipynb(t, nil, "a", "b")); err != nil {
		t.Error(err)
	}
	many := make([]string, MostCodeCells)
	first := func(nb map[string]any) map[string]any { return nb["cells"].([]any)[0].(map[string]any) }
	for want, path := range map[string]string{
		"16 code cells, at most 15":              ipynb(t, nil, many...),
		"cell 2 has 31 lines, at most":           ipynb(t, nil, strings.Repeat("x\n", MostCellLines)+"x"),
		"cell 2: line 2 has 89 columns, at most": ipynb(t, nil, strings.Repeat("x", MostColumns)+"\n\t"+strings.Repeat("é", MostColumns-3)),
		`kernel "python3" instead`: ipynb(t, func(nb map[string]any) {
			nb["metadata"].(map[string]any)["kernelspec"] = map[string]any{"name": "python3"}
		}),
		"the first code cell needs": ipynb(t, func(nb map[string]any) { first(nb)["source"] = "x := 1" }),
		"holds the absolute path":   ipynb(t, nil, `read("/home/someone/data.csv")`),
		"cell 1 failed: ERROR status 1": ipynb(t, func(nb map[string]any) {
			first(nb)["outputs"] = []any{map[string]any{"output_type": "error", "ename": "ERROR", "evalue": "status 1"}}
		}),
		"not a notebook": func() string { p := ipynb(t, nil); write(t, p, "{"); return p }(),
	} {
		if err := Check(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "01_x.ipynb") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestClean(t *testing.T) {
	path := ipynb(t, nil, "a")
	read := func() string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if err := Clean(path, false); err != nil {
		t.Fatal(err)
	}
	kept := read()
	if strings.Contains(kept, "go1.2.3") || strings.Contains(kept, "scrolled") || !strings.Contains(kept, "stream") || !strings.Contains(kept, "parameters") {
		t.Error(kept)
	}
	if err := Clean(path, false); err != nil || read() != kept {
		t.Error("cleaning twice changes a notebook", err)
	}
	if err := Clean(path, true); err != nil || strings.Contains(read(), "stream") || strings.Contains(read(), `"execution_count": 3`) {
		t.Error(err, read())
	}
	write(t, path, `{"cells": [1]}`)
	if err := Clean(path, true); err == nil || read() != `{"cells": [1]}` {
		t.Error("a broken notebook is touched", err)
	}
}

func TestList(t *testing.T) {
	dir := t.TempDir()
	if _, err := List(dir); err == nil || !strings.Contains(err.Error(), "no notebooks") {
		t.Error(err)
	}
	for _, n := range []string{"02_b", "01_a", "11_k"} {
		write(t, filepath.Join(dir, n+".ipynb"), "{}")
	}
	for want, prefixes := range map[string][]string{
		"01_a 02_b 11_k": nil, "11_k 01_a": {"11", "01_a.ipynb"}, "02_b": {"notebooks/02_b.ipynb", "02"},
	} {
		paths, err := List(dir, prefixes...)
		var names []string
		for _, p := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(p), ".ipynb"))
		}
		if want == "02_b" && err != nil { // the second prefix adds nothing
			continue
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%v: %v, %v", prefixes, names, err)
		}
	}
	if _, err := List(dir, "07"); err == nil || !strings.Contains(err.Error(), `"07"`) {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	path, err := New(dir, "18_mine", `My "own" model`)
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(path); err != nil {
		t.Error(err)
	}
	data, _ := os.ReadFile(path)
	if !strings.Contains(string(data), `# My \"own\" model\n`) || !strings.Contains(string(data), "NB=18_mine") {
		t.Error(string(data))
	}
	for _, name := range []string{"18_mine", "a/b", "..", ""} {
		if _, err := New(dir, name, ""); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	after, _ := os.ReadFile(path)
	if string(after) != string(data) {
		t.Error("the notebook that was there is changed")
	}
}

func ExampleNew() {
	dir, err := os.MkdirTemp("", "notebooks")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path, err := New(dir, "18_my_model", "My model")
	fmt.Println(filepath.Base(path), err, Check(path))
	// Output: 18_my_model.ipynb <nil> <nil>
}

func TestStreamsAreJoined(t *testing.T) {
	text := func(name string, lines ...any) any {
		return map[string]any{"output_type": "stream", "name": name, "text": lines}
	}
	got := joined([]any{text("stdout", "a\n"), text("stdout", "b\n"), text("stderr", "c\n"), map[string]any{"output_type": "display_data"}, text("stdout", "d\n")})
	want := []any{text("stdout", "a\n", "b\n"), text("stderr", "c\n"), map[string]any{"output_type": "display_data"}, text("stdout", "d\n")}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFolderAsSaid(t *testing.T) {
	for dir, want := range map[string]string{"notebooks": "/p/notebooks", "/elsewhere/nb": "/elsewhere/nb", "/elsewhere/../nb/": "/nb"} {
		if got := (Runner{Root: "/p", Dir: dir}).Folder(); got != want {
			t.Errorf("%s is %s, want %s", dir, got, want)
		}
	}
}
