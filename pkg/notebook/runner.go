package notebook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"stuffed/pkg/atomic"
	"stuffed/pkg/progress"
)

// Runner executes notebooks without a browser, with the tools that make setup installs.
type Runner struct {
	Root    string            // the project's folder
	Dir     string            // folder of the notebooks, relative to Root
	Names   []string          // prefixes of names, empty for all
	Scale   string            // smoke, small or full
	Cell    time.Duration     // time limit for one cell
	Values  map[string]string // of parameters; see ParseParameters
	Output  string            // folder for the executed notebooks; empty means out/notebooks
	Jobs    int               // notebooks run at the same time; 0 means two, or one on a single core and at full, where a GPU is shared
	InPlace bool              // write the results into the notebooks themselves, not only to out/notebooks
	Out     io.Writer         // receives one line per notebook
}

// Folder returns the folder of the notebooks.
func (r Runner) Folder() string {
	if filepath.IsAbs(r.Dir) {
		return filepath.Clean(r.Dir)
	}
	return filepath.Join(r.Root, r.Dir)
}

const executed = "out/notebooks"

// jobs returns how many notebooks run at the same time.
func (r Runner) jobs() int {
	if r.Jobs > 0 {
		return r.Jobs
	}
	if r.Scale == "full" {
		return 1
	}
	return min(2, runtime.NumCPU())
}

// Run executes the notebooks, Jobs at a time, each in a fresh kernel and from its first cell, and writes the results. A failing
// notebook does not stop the others. The last line gives the count; the error names the failures.
func (r Runner) Run(ctx context.Context) error {
	if err := checkScale(r.Scale); err != nil {
		return err
	}
	if r.InPlace && len(r.Values) > 0 {
		return fmt.Errorf("results in the notebooks themselves are those of their own parameters: leave out either")
	}
	if r.Cell < time.Second {
		return fmt.Errorf("time for a cell %v: give at least 1s", r.Cell)
	}
	paths, err := List(r.Folder(), r.Names...)
	if err != nil {
		return err
	}
	if err := r.ready(); err != nil {
		return err
	}
	var wait sync.WaitGroup
	var turn sync.Mutex // for writing results
	failed, free := make([]string, len(paths)), make(chan struct{}, r.jobs())
	for i, path := range paths {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			if ctx.Err() != nil {
				return
			}
			start := time.Now()
			err := r.one(ctx, path)
			turn.Lock()
			defer turn.Unlock()
			if ctx.Err() == nil && !r.report(path, start, err) {
				failed[i] = name(path)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failed = slices.DeleteFunc(failed, func(name string) bool { return name == "" })
	fmt.Fprintf(r.Out, "%d passed, %d failed\n", len(paths)-len(failed), len(failed))
	if len(failed) > 0 {
		return fmt.Errorf("notebooks failed: %s", strings.Join(failed, ", "))
	}
	return nil
}

func name(path string) string { return strings.TrimSuffix(filepath.Base(path), ".ipynb") }

// report writes the line of a notebook and returns whether it passed.
func (r Runner) report(path string, start time.Time, err error) bool {
	word := "ok"
	if err != nil {
		word = "failed"
	}
	fmt.Fprintf(r.Out, "%-32s %-6s %s\n", name(path), word, progress.Clock(time.Since(start)))
	if err != nil {
		fmt.Fprintln(r.Out, err)
	}
	return err == nil
}

// goFlags returns the environment's flags and those that make linking of cells fast, as found out by make setup: without symbols
// and, where Go can do without it, without the C linker.
func (r Runner) goFlags() string {
	link, err := os.ReadFile(filepath.Join(r.Root, ".tools/link"))
	if err != nil {
		link = []byte("-ldflags=-s")
	}
	return strings.TrimSpace(os.Getenv("GOFLAGS") + " " + string(link))
}

// ready returns an error naming what is not installed.
func (r Runner) ready() error {
	for _, tool := range []string{".venv/bin/jupyter", ".venv/share/jupyter/kernels/gonb-plain/kernel.json", ".tools/bin/goimports"} {
		if _, err := os.Stat(filepath.Join(r.Root, tool)); err != nil {
			return fmt.Errorf("%s is not there: run make setup", tool)
		}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the Go kernel compiles cells and needs the go command on PATH: %w", err)
	}
	return nil
}

// stillborn is what nbconvert says of a kernel that ended before its first cell. It chooses the ports, which another program may take
// before the kernel does; then another kernel is tried once.
const stillborn = "Kernel died before replying to kernel_info"

func (r Runner) one(ctx context.Context, path string) error {
	name, start := filepath.Base(path), time.Now()
	output := filepath.Join(r.Root, executed, name)
	if r.Output != "" {
		output = filepath.Join(r.Output, name)
	}
	tmp, err := r.scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	source := path
	if len(r.Values) > 0 { // on a copy
		data, err := os.ReadFile(path)
		if err == nil {
			data, err = withParameters(data, r.Values)
		}
		if err != nil {
			return err
		}
		source = filepath.Join(tmp, "in", name)
		if err := atomic.Bytes(source, data); err != nil {
			return err
		}
	}
	execute := func() (string, error) {
		return r.convert(ctx, []string{source}, "--to", "notebook", "--execute", "--output-dir", tmp, "--output", name,
			"--ExecutePreprocessor.kernel_name=gonb-plain", "--ExecutePreprocessor.startup_timeout=300",
			fmt.Sprintf("--ExecutePreprocessor.timeout=%d", int(r.Cell.Seconds())))
	}
	log, err := execute()
	if err != nil && ctx.Err() == nil && strings.Contains(log, stillborn) {
		log, err = execute()
	}
	if err != nil {
		return fmt.Errorf("%s\n(%w)", failure(log), err)
	}
	data, err := os.ReadFile(filepath.Join(tmp, name))
	if err != nil {
		return err
	}
	if len(r.Values) > 0 {
		if data, err = ran(data, path, output, start, time.Now()); err != nil {
			return err
		}
	}
	if data, err = cleaned(data, false); err != nil {
		return err
	}
	if r.InPlace {
		if err := atomic.Bytes(path, data); err != nil {
			return err
		}
	}
	return atomic.Bytes(output, data)
}

func (r Runner) scratch() (string, error) {
	dir := filepath.Join(r.Root, "out")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, "notebook-*")
}

// convert calls nbconvert and returns its output.
func (r Runner) convert(ctx context.Context, paths []string, args ...string) (string, error) {
	headless := "1"
	if r.InPlace {
		headless = publish
	}
	folder := filepath.Join(r.Root, "out", "jupyter")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	bin := filepath.Join(r.Root, ".venv", "bin")
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "jupyter"), slices.Concat([]string{"nbconvert"}, args, paths)...)
	cmd.Env = append(os.Environ(),
		"PATH="+strings.Join([]string{bin, filepath.Join(r.Root, ".tools", "bin"), os.Getenv("PATH")}, string(os.PathListSeparator)),
		"JUPYTER_RUNTIME_DIR="+folder, "JUPYTER_CONFIG_DIR="+folder, "PYDEVD_DISABLE_FILE_VALIDATION=1",
		"GOFLAGS="+r.goFlags(), ScaleVariable+"="+r.Scale, HeadlessVariable+"="+headless, nameVariable+"="+name(paths[0]))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	err := cmd.Run()
	return log.String(), err
}

// failure reduces the log of a failed run to the cell and its error.
func failure(log string) string {
	_, cut, found := strings.Cut(log, "An error occurred while executing the following cell:")
	if !found {
		cut = log
	}
	lines := strings.Split(strings.TrimSpace(cut), "\n")
	const most = 40
	if len(lines) > most {
		lines = append([]string{"…"}, lines[len(lines)-most:]...)
	}
	return strings.Join(lines, "\n")
}
