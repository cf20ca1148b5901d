package mamba2

import (
	"embed"
	"fmt"
	"math/bits"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/xla"
)

// The kernels of kernels/block.py as Triton IR.
//
//go:embed kernels/*.ttir
var kernels embed.FS

const (
	widestGate = 8192 // channels of the largest gate kernel
	convTokens = 64   // tokens of a program of conv_forward
	convWidth  = 64   // channels of a program
)

// fuses tells whether kernels compute the convolution and the gated norm of this layer: inference of official shapes in
// bfloat16 on an NVIDIA GPU, with nothing changed or watched inside. In training XLA's own fusions were as fast.
func (b *block) fuses(l layerOf) bool {
	c := b.Config
	return b.Infer && b.compute == dtypes.BFloat16 && b.gate == dtypes.Float32 && !b.Plain && b.tokens > 1 && c.Kernel == 4 && c.ConvBias &&
		c.HeadDim == 64 && c.Eps == 1e-5 && (c.Groups == 1 || !c.NormPer) && c.Inner() <= widestGate && c.Channels()%16 == 0 &&
		l.segments == nil && len(b.probes) == 0 && len(l.controls) == 0 && !b.Decimate && xla.HasKernels(l.params[conv].Graph().Backend())
}

func (b *block) kernel(name string, grid [3]int, bind map[string]int) xla.Kernel {
	file := name
	if block := 256; name == "gate_forward" {
		if b.Inner() > block {
			block = 1 << bits.Len(uint(b.Inner()-1))
		}
		file = fmt.Sprintf("%s-%d", name, block)
	}
	source, err := kernels.ReadFile("kernels/" + file + ".ttir")
	if err != nil {
		panic(err)
	}
	bind["C"], bind["R"] = b.Channels(), b.Inner()+b.Channels()
	return xla.Kernel{Name: name, Source: string(source), Grid: grid, Warps: 4, Stages: 2}.Bind(bind)
}

// convKernel is SiLU of the convolution of the raw columns of proj [batch, tokens, z | x | B | C].
func (b *block) convKernel(l layerOf, proj, window *Node) *Node {
	grid := [3]int{(b.tokens + convTokens - 1) / convTokens, (b.Channels() + convWidth - 1) / convWidth, b.batch}
	k := b.kernel("conv_forward", grid, map[string]int{"T": b.tokens, "OFF": b.Inner(), "ROWS": b.batch / b.replicas})
	return xla.TritonCall(k, []shapes.Shape{shapes.Make(dtypes.BFloat16, b.batch, b.tokens, b.Channels())},
		proj, window, l.params[conv], l.params[convBias])[0]
}

// gateKernel is RMSNorm((y + D x) ⊙ SiLU(z)) with x the first columns of convolved and z those of proj.
func (b *block) gateKernel(l layerOf, y, convolved, proj *Node) *Node {
	tokens := b.batch * b.tokens
	k := b.kernel("gate_forward", [3]int{tokens}, map[string]int{"INNER": b.Inner(), "ROWS": tokens / b.replicas})
	return xla.TritonCall(k, []shapes.Shape{shapes.Make(dtypes.BFloat16, b.batch, b.tokens, b.Inner())},
		y, convolved, proj, l.params[skip], l.params[gateNorm])[0]
}
