package xla

import (
	"fmt"
	"io/fs"
	"strings"
)

// Kernels are a package's kernels as Triton IR: the files kernels/NAME-SIZE-….ttir of FS, one for each size that the
// text depends on.
type Kernels struct{ FS fs.FS }

// Has tells whether there is the kernel of this name for these sizes.
func (ks Kernels) Has(name string, sizes ...int) bool {
	_, err := fs.Stat(ks.FS, kernelFile(name, sizes))
	return err == nil
}

// Kernel is the kernel of this name for these sizes, with neither grid nor warps nor stages; it panics where there is none.
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
