package notebook

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParametersAreInjectedAfterTheirCell(t *testing.T) {
	nb := `{"cells":[{"cell_type":"markdown","metadata":{},"source":"x"},{"cell_type":"code","metadata":{"tags":["parameters"]},
"source":["import \"stuffed/pkg/notebook\"\n","\n","var (\n","\tfolder = \"\"\n","\tlength      = notebook.Choose(1, 2, 3) // tokens\n",")\n","\n","func f() string {\n","\tif a == 1 {}\n","\tvar err error\n","\terr = nil\n","}"]}],"metadata":{},"nbformat":4}`
	data, err := withParameters([]byte(nb), map[string]string{"folder": "state-spaces/mamba2-370m", "length": "65536"})
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Cells []struct {
			Source   any
			Metadata struct{ Tags []string }
		}
		Metadata struct {
			Papermill struct{ Parameters map[string]any }
		}
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Cells) != 3 || out.Cells[2].Source != "var folder = \"state-spaces/mamba2-370m\"\nvar length = 65536" || out.Cells[2].Metadata.Tags[0] != "injected-parameters" {
		t.Errorf("%+v", out.Cells)
	}
	if out.Metadata.Papermill.Parameters["length"] != 65536.0 {
		t.Errorf("%+v", out.Metadata)
	}
	if _, err := withParameters([]byte(nb), map[string]string{"lenght": "1"}); err == nil || !strings.HasSuffix(err.Error(), "there are folder, length") {
		t.Errorf("a name that is not there: %v", err)
	}
	if _, err := withParameters([]byte(`{"cells":[]}`), map[string]string{"a": "1"}); err == nil {
		t.Error("no cell")
	}
	if same, err := withParameters([]byte(nb), nil); err != nil || string(same) != nb {
		t.Error("changed without parameters")
	}
	if _, err := ParseParameters([]string{"length"}); err == nil {
		t.Error("no value")
	}
}

// What a run with parameters notes stays in the notebook that is kept; a notebook without its outputs knows no run.
func TestARunWithParametersIsNoted(t *testing.T) {
	nb := `{"cells":[{"cell_type":"code","metadata":{"tags":["parameters"]},"source":"var length = 2"}],"metadata":{"kernelspec":{}},"nbformat":4}`
	data, err := withParameters([]byte(nb), map[string]string{"length": "4"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if data, err = ran(data, "a.ipynb", "b.ipynb", start, start.Add(1500*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for _, strip := range []bool{false, true} {
		kept, err := cleaned(data, strip)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Metadata struct{ Papermill map[string]any }
		}
		if err := json.Unmarshal(kept, &out); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"parameters": map[string]any{"length": 4.0}, "input_path": "a.ipynb", "output_path": "b.ipynb", "exception": nil,
			"start_time": "2026-01-02T03:04:05Z", "end_time": "2026-01-02T03:04:06.5Z", "duration": 1.5}
		if strip {
			want = nil
		}
		if !reflect.DeepEqual(out.Metadata.Papermill, want) {
			t.Errorf("without outputs %v: %v, want %v", strip, out.Metadata.Papermill, want)
		}
	}
}

func TestValuesHaveTheTypesOfTheirParameters(t *testing.T) {
	source := `var (
	length = notebook.Choose(32, 32, 128) * trainLength
	trainLength = 64
	level = 0.95
	lengths = notebook.Choose("256", "1K,2K", "8K")
	model = notebook.Choose("a", folder+"b", folder)
	folder = "c/"
	sorted = true
	multiples = notebook.Choose([]int{1}, []int{1, 4}, nil)
	cases = []string{"x", "y"}[:2]
	stream = notebook.Choose(datasets.NewStream(1), datasets.Stream{Keys: 2}, small)
	small = small
	root = study.Shipped
	seed int = 1
)`
	for _, c := range []struct{ name, value, code string }{
		{"length", "65536", "65536"}, {"length", "64K", ""}, {"length", "1.5", ""}, {"length", "", ""}, {"trainLength", "-1", "-1"},
		{"level", "1", "1.0"}, {"level", "1e-9", "1e-09"}, {"level", "nan", ""}, {"level", "high", ""},
		{"lengths", "256", `"256"`}, {"lengths", "", `""`}, {"model", "2024", `"2024"`}, {"model", "inf", `"inf"`}, {"model", `a "b"`, `"a \"b\""`},
		{"sorted", "false", "false"}, {"sorted", "1", ""},
		{"multiples", "1, 16", "[]int{1, 16}"}, {"multiples", "[]int{1, 16}", "[]int{1, 16}"}, {"multiples", "1,x", ""}, {"multiples", "", "[]int{}"},
		{"multiples", "[]string{}", ""}, {"multiples", "[]int{1", ""}, {"cases", "x,z", `[]string{"x", "z"}`},
		{"stream", "datasets.Stream{Keys: 3}", "datasets.Stream{Keys: 3}"}, {"stream", "3", ""},
		{"root", "out/mine", `"out/mine"`}, {"root", "nan", `"nan"`}, {"small", "2", "2"}, {"seed", "7", "7"}, {"seed", "x", ""},
	} {
		code, _, err := settings(source, map[string]string{c.name: c.value})
		if c.code == "" {
			if err == nil || !strings.HasPrefix(err.Error(), "parameter "+c.name+": ") {
				t.Errorf("%s=%s: %q, %v", c.name, c.value, code, err)
			}
			continue
		}
		if want := "var " + c.name + " = " + c.code; err != nil || code != want {
			t.Errorf("%s=%s: %q, %v; want %q", c.name, c.value, code, err, want)
		}
	}
}

// Where the kernel has joined the project already, wherever the notebook lies, its first cell is silent.
func TestTheFirstCellIsSilentWhereTheProjectIsJoined(t *testing.T) {
	paths, err := List("../../notebooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, "template.ipynb") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var nb file
		if err := json.Unmarshal(data, &nb); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(nb.Cells, func(c cell) bool { return c.Kind == "code" })
		if i < 0 {
			continue
		}
		var script strings.Builder
		for line := range strings.Lines(string(nb.Cells[i].Source)) {
			if !strings.HasPrefix(line, "%") {
				script.WriteString(strings.TrimPrefix(line, "!*"))
			}
		}
		cmd := exec.Command("sh", "-c", script.String())
		cmd.Dir, cmd.Env = t.TempDir(), []string{"GONB_DIR=/elsewhere", "PATH=" + os.Getenv("PATH")}
		if err := os.WriteFile(filepath.Join(cmd.Dir, "go.work"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%s: %s (%v)", path, said, err)
		}
	}
}
