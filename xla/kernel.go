package xla

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gomlx/compute"
)

// Kernel is a Triton kernel as text (Triton IR), for [TritonCall].
type Kernel struct {
	Name          string // of the function in Source
	Source        string
	Grid          [3]int
	Warps, Stages int
	InPlace       map[int]int // results written over an operand: result → operand
}

// Bind turns integer arguments of the kernel's function into constants, in the order of their names, so that equal values give
// equal texts.
func (k Kernel) Bind(values map[string]int) Kernel {
	head, body, ok := strings.Cut(k.Source, ") attributes {noinline = false} {\n")
	if !ok {
		panicf("xla: kernel %s: no function header", k.Name)
	}
	var constants strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		argument := regexp.MustCompile(`, %` + name + `: i32( \{[^}]*\})?`)
		if !argument.MatchString(head) {
			panicf("xla: kernel %s has no argument %s", k.Name, name)
		}
		head = argument.ReplaceAllString(head, "")
		fmt.Fprintf(&constants, "    %%%s = arith.constant %d : i32\n", name, values[name])
	}
	k.Source = head + ") attributes {noinline = false} {\n" + constants.String() + body
	return k
}

// HasKernels reports whether graphs of the backend may use [TritonCall], that is, XLA on an NVIDIA GPU.
func HasKernels(b compute.Backend) bool {
	gpu, ok := b.(interface{ IsCUDA() bool })
	return ok && gpu.IsCUDA()
}

// config is what the plug-in reads: an MLIR dictionary. Without debug the plug-in dereferences a nil pointer.
func (k Kernel) config() string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	return fmt.Sprintf(`{debug = false, name = "%s", ir = "%s", grid_x = %d : i32, grid_y = %d : i32, grid_z = %d : i32, num_stages = %d : i32, num_warps = %d : i32}`,
		k.Name, quote.Replace(k.Source), k.Grid[0], max(k.Grid[1], 1), max(k.Grid[2], 1), k.Stages, k.Warps)
}
