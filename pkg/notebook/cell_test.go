package notebook

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
)

// project makes a folder that looks like the project's, with the notebook's folder in it.
func project(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "go.mod"), "module stuffed\n\ngo 1.26\n")
	if err := os.MkdirAll(filepath.Join(root, "notebooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(folderVariable, filepath.Join(root, "notebooks"))
	t.Chdir(t.TempDir())
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestCellRunsInTheProjectsFolder(t *testing.T) {
	root := project(t)
	var out bytes.Buffer
	code := run(func() error {
		dir, err := os.Getwd()
		if dir != root {
			t.Errorf("runs in %s, want %s", dir, root)
		}
		return err
	}, &out)
	if code != 0 || out.Len() != 0 {
		t.Error(code, out.String())
	}
}

func TestManifestsNameTheNotebook(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	for name, env := range map[string][2]string{"07_x": {"07_x", ""}, "08_y": {"", "notebooks/08_y.ipynb"}, "": {"", ""}} {
		project(t)
		t.Setenv(nameVariable, env[0])
		t.Setenv("JPY_SESSION_NAME", env[1])
		os.Args = []string{"gonb_1234", "-logtostderr"}
		want := "make notebooks NB=" + name + " -logtostderr"
		if name == "" {
			want = "cell -logtostderr"
		}
		run(func() error { return nil }, &bytes.Buffer{})
		if got := strings.Join(os.Args, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestFailingCellsAreOneLine(t *testing.T) {
	project(t)
	var empty map[string]int
	for want, body := range map[string]func() error{
		"error: no such file\n":                 func() error { return errors.New("no such file\n\ngoroutine 1 [running]:\nmain.main()") },
		"error: assignment to entry in nil map": func() error { empty["a"] = 1; return nil },
		"error: [1 2] is not a row":             func() error { panic("[1 2] is not a row") },
	} {
		var out bytes.Buffer
		if code := run(body, &out); code != 1 {
			t.Errorf("exit status %d", code)
		}
		if got := out.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 || strings.Contains(got, "goroutine") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestWrongFolderSaysWhatToDo(t *testing.T) {
	t.Setenv(folderVariable, t.TempDir())
	var out bytes.Buffer
	if code := run(func() error { return nil }, &out); code != 1 || !strings.Contains(out.String(), "make lab") {
		t.Error(code, out.String())
	}
}

func TestCellTimeOut(t *testing.T) {
	cancelled := make(chan bool, 1)
	err := Within(time.Millisecond, func(ctx context.Context) error {
		<-ctx.Done()
		cancelled <- true
		return ctx.Err()
	})
	if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "1ms") {
		t.Error(err)
	}
	<-cancelled
	stuck := make(chan bool)
	defer close(stuck)
	if err := Within(time.Millisecond, func(context.Context) error { <-stuck; return nil }); !errors.Is(err, ErrTimeout) {
		t.Error("a cell that does not listen:", err)
	}
	if err := Within(time.Hour, func(context.Context) error { panic("shape") }); err == nil || !strings.Contains(err.Error(), "shape") {
		t.Error(err)
	}
	if err := Within(time.Hour, func(context.Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestInterruptEndsACell(t *testing.T) {
	err := Within(time.Hour, func(ctx context.Context) error {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		if err := self.Signal(os.Interrupt); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err == nil || errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
}

func TestScale(t *testing.T) {
	for set, want := range map[string]int{"": 2, "smoke": 1, "small": 2, "full": 3} {
		t.Setenv(ScaleVariable, set)
		if got := Choose(1, 2, 3); got != want {
			t.Errorf("%q: %d, want %d", set, got, want)
		}
	}
	t.Setenv(ScaleVariable, "huge")
	if _, err := Scale(); err == nil || !strings.Contains(err.Error(), `"huge" is not one of smoke, small, full`) {
		t.Error(err)
	}
}

func TestFigureGoesWhereTheScaleSays(t *testing.T) {
	t.Chdir(t.TempDir())
	points := table.New().AddFloat("x", []float64{1, 2}).AddFloat("y", []float64{1, 2})
	spec := figure.Curves{X: figure.Axis{Column: "x", Label: "Position", Unit: "tokens"}, Y: figure.Axis{Column: "y", Label: "Loss", Unit: "nat/token"}}
	for _, c := range [][3]string{{"small", "", "out/small/figures"}, {"smoke", "1", "out/smoke/figures"}, {"full", publish, "out/full/figures"}, {"small", publish, "figures"}} {
		dir := c[2]
		t.Setenv(ScaleVariable, c[0])
		t.Setenv(HeadlessVariable, c[1])
		if err := Figure("01_loss", spec, points, map[string]any{"command": "x"}); err != nil {
			t.Fatal(err)
		}
		if err := figure.Check(dir, "01_loss"); err != nil {
			t.Error(err)
		}
	}
	_, about, err := figure.Load("figures", "01_loss")
	for _, want := range []string{`"command": "x"`, `"drawn"`, `"revision"`, `"changed"`, `"date"`} {
		if err != nil || !strings.Contains(string(about), want) {
			t.Errorf("the manifest of a figure lacks %s: %s, %v", want, about, err)
		}
	}
	spec.Y.Column = "variance"
	if err := Figure("01_loss", spec, points, nil); err == nil || !strings.Contains(err.Error(), "variance") {
		t.Error(err)
	}
}

func TestMissingResultNamesTheCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := Read("out/states.parquet", "bin/stuffed trace --model datasets/models/byte")
	if err == nil || !strings.Contains(err.Error(), "out/states.parquet") || !strings.Contains(err.Error(), "bin/stuffed trace --model") {
		t.Error(err)
	}
}
