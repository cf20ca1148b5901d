package notebook

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// kernelFolder stands for what GoNB makes for a kernel: a module that uses another one, which lies beside it.
func kernelFolder(t *testing.T, tmp, name, body string) string {
	dir := filepath.Join(tmp, name)
	write(t, filepath.Join(dir, "go.mod"), "module "+name+"\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "go.work"), "go 1.26\n\nuse (\n\t.\n\t"+filepath.Join(tmp, "lib")+"\n)\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport \"lib\"\n\nfunc main() {\n\t"+body+"\n}\n")
	return dir
}

// cellOf builds a cell as GoNB does, with the go command that make setup puts before Go's, and runs it.
func cellOf(t *testing.T, dir string) (built, ran string) {
	t.Helper()
	script, err := filepath.Abs("../../.ci/cell/go")
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, filepath.Base(dir))
	build := exec.Command(script, "build", "-o", target)
	build.Dir = dir
	build.Env = append(os.Environ(), "PATH="+filepath.Dir(script)+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := build.CombinedOutput()
	if err != nil {
		return string(out) + err.Error(), ""
	}
	said, _ := exec.Command(target).CombinedOutput()
	return string(out), string(said)
}

func TestCellsAreLinkedOnce(t *testing.T) {
	tmp, store := t.TempDir(), filepath.Join(t.TempDir(), "cells of an analyst")
	t.Setenv(CellsVariable, store)
	t.Setenv("GOFLAGS", "-buildvcs=false -x") // -x shows each link
	write(t, filepath.Join(tmp, "lib/go.mod"), "module lib\n\ngo 1.26\n")
	lib := filepath.Join(tmp, "lib/lib.go")
	write(t, lib, "package lib\n\nvar Word = \"one\"\n")

	const body = `println(lib.Word)`
	for i, step := range []struct {
		word string
		link bool
		cut  int64 // bytes that a kernel which was killed has left of the program; 0: all
	}{{"one", true, 0}, {"one", false, 0}, {"two", true, 0}, {"two", false, 0}, {"two", true, 200_000}, {"two", false, 0}} { // each in another kernel
		write(t, lib, "package lib\n\nvar Word = \""+step.word+"\"\n")
		if kept, _ := filepath.Glob(filepath.Join(store, "*", "cell")); step.cut > 0 {
			if err := os.Truncate(kept[0], step.cut); err != nil {
				t.Fatal(err)
			}
		}
		built, ran := cellOf(t, kernelFolder(t, tmp, fmt.Sprintf("gonb_0000000%d", i), body))
		if ran != step.word+"\n" || strings.Contains(built, "/link ") != step.link {
			t.Errorf("%d: %+v: %s%s", i, step, built, ran)
		}
	}
	if c, err := Cells(); err != nil || c.Folder != store || c.Number != 1 || c.Bytes < 1<<20 {
		t.Error(c, err)
	} else if err := c.Clear(); err != nil {
		t.Error(err)
	} else if c, err = Cells(); err != nil || c.Number != 0 {
		t.Error(c, err)
	}

	t.Setenv("GOFLAGS", "-buildvcs=false")
	// What goes wrong reads as if go had been called in the kernel's folder.
	dir := kernelFolder(t, tmp, "gonb_0000000b", `println(lib.Word, []int{}[len(lib.Word)])`)
	if _, ran := cellOf(t, dir); !strings.Contains(ran, dir+"/main.go:6") {
		t.Error("a panic names another folder than the kernel's:", ran)
	}
	if built, _ := cellOf(t, kernelFolder(t, tmp, "gonb_0000000c", `lib.Absent()`)); !strings.HasPrefix(built,
		"# gonb_0000000c\n./main.go:6:6: undefined: lib.Absent\n") || !strings.HasSuffix(built, "exit status 1") {
		t.Error(built)
	}
}

func TestCellsKeepTheirLimit(t *testing.T) {
	tmp, store := t.TempDir(), filepath.Join(t.TempDir(), "cells of an analyst")
	t.Setenv(CellsVariable, store)
	t.Setenv(CellsLimitVariable, "3") // MiB: two of these programs
	t.Setenv("GOFLAGS", "-buildvcs=false -ldflags=-s")
	write(t, filepath.Join(tmp, "lib/go.mod"), "module lib\n\ngo 1.26\n")
	write(t, filepath.Join(tmp, "lib/lib.go"), "package lib\n\nvar Word = \"one\"\n")
	for _, name := range []string{"1", "2", "1", "3"} { // 2 was not used for longest
		if built, ran := cellOf(t, kernelFolder(t, tmp, "gonb_0000000"+name, `println(lib.Word, `+name+`)`)); ran != "one "+name+"\n" {
			t.Fatalf("%s%s", built, ran)
		}
	}
	kept, _ := filepath.Glob(filepath.Join(store, "*", "main.go"))
	var texts string
	for _, path := range kept {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts += string(text)
	}
	if len(kept) == 3 || !strings.Contains(texts, "Word, 3") || strings.Contains(texts, "Word, 2") {
		t.Errorf("%d kept: %s", len(kept), texts)
	}
	// Off, and in a folder that others can write to, go alone builds.
	for _, folder := range []string{"off", filepath.Join(tmp, "open")} {
		t.Setenv(CellsVariable, folder)
		if folder != "off" {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(folder, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		if built, ran := cellOf(t, kernelFolder(t, tmp, "gonb_0000000d", `println(lib.Word)`)); ran != "one\n" {
			t.Errorf("%s%s", built, ran)
		}
		if inside, _ := filepath.Glob(filepath.Join(folder, "*")); len(inside) > 0 {
			t.Error(inside)
		}
	}
}

// Many kernels at a time build, fail and make room, and none of them meets a folder that another one removes.
func TestCellsOfManyKernels(t *testing.T) {
	tmp, store := t.TempDir(), filepath.Join(t.TempDir(), "cells of an analyst")
	t.Setenv(CellsVariable, store)
	t.Setenv(CellsLimitVariable, "0")
	write(t, filepath.Join(tmp, "bin/go"), `#!/bin/sh
if grep -q Absent main.go; then echo undefined: Absent; exit 1; fi
echo '#!/bin/sh' >cell
grep -o 'word.' main.go | sed 's/^/echo /' >>cell
`)
	if err := os.Chmod(filepath.Join(tmp, "bin/go"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(tmp, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	var wait sync.WaitGroup
	for kernel := range 6 {
		wait.Go(func() {
			for i := range 9 {
				body, want := fmt.Sprintf("word%d", i%2), fmt.Sprintf("word%d\n", i%2)
				if i%3 == 2 {
					body, want = "Absent", ""
				}
				built, ran := cellOf(t, kernelFolder(t, tmp, fmt.Sprintf("gonb_%04x%04x", kernel, i), body))
				if ran != want || strings.Contains(built, "undefined: Absent\nexit") != (want == "") || want != "" && built != "" {
					t.Errorf("kernel %d, cell %d: %q, built: %s", kernel, i, ran, built)
				}
				if kernel == 0 {
					c, err := Cells()
					if err := errors.Join(err, c.Clear()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
}

// Kernels that take turns at removing a folder and making it again all get its lock each time.
func TestCellFolderIsLockedWhileOthersRemoveIt(t *testing.T) {
	script, err := os.ReadFile("../../.ci/cell/go")
	if err != nil {
		t.Fatal(err)
	}
	functions, ok := strings.CutSuffix(string(script), "\nmain()\n")
	if !ok {
		t.Fatal("the script does not end with main()")
	}
	kept := filepath.Join(t.TempDir(), "kept")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			turns := exec.Command("python3", "-c", functions+`
for turn in range(500):
    with locked(pathlib.Path(sys.argv[1])):
        remove(pathlib.Path(sys.argv[1]))
`, kept)
			if out, err := turns.CombinedOutput(); err != nil {
				t.Errorf("%s%v", out, err)
			}
		})
	}
	wait.Wait()
}
