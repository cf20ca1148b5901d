package xla

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// Kernels are a package's kernels as Triton IR: the files kernels/NAME-SIZE-….ttir of FS, one for each size that the
// text depends on.
type Kernels struct{ FS fs.FS }

// Has reports whether there is a kernel of this name for these sizes.
func (ks Kernels) Has(name string, sizes ...int) bool {
	_, err := fs.Stat(ks.FS, kernelFile(name, sizes))
	return err == nil
}

// Serves is Has for a device that runs kernels; where a kernel is missing, it reports once that the graph is used instead.
func (ks Kernels) Serves(name string, sizes ...int) bool {
	if ks.Has(name, sizes...) {
		return true
	}
	file := kernelFile(name, sizes)
	if _, said := missing.LoadOrStore(file, true); !said {
		Notice(fmt.Sprintf("no %s: XLA's graph runs in its place, slower; xla/triton/make.py tells how to add a size", file))
	}
	return false
}

var missing sync.Map

// Notice receives lines for the user that are not errors.
var Notice = func(line string) { fmt.Fprintln(os.Stderr, line) }

// Kernel returns the kernel of this name for these sizes, with neither grid nor warps nor stages set; it panics if there is none.
func (ks Kernels) Kernel(name string, sizes ...int) Kernel {
	file := kernelFile(name, sizes)
	text, err := fs.ReadFile(ks.FS, file)
	if err != nil {
		panicf("xla: no kernel for these sizes: %w", err)
	}
	_, function, _ := strings.Cut(string(text), "tt.func public @")
	function, _, ok := strings.Cut(function, "(")
	if !ok {
		panicf("xla: %s has no public function", file)
	}
	return Kernel{Name: function, Source: string(text)}
}

func kernelFile(name string, sizes []int) string {
	file := "kernels/" + name
	for _, size := range sizes {
		file += fmt.Sprint("-", size)
	}
	return file + ".ttir"
}
