package mamba2

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/pkg/lm"
	"stuffed/xla"
)

const (
	fewRows  = 8    // sequences up to which a product reads its matrix row by row
	outRows  = 4    // rows of a program of out_step
	projRows = 8    // of proj_step
	headRows = 16   // of head_step
	convStep = 128  // channels of a program of conv_step
	piece    = 256  // columns that the products go by
	oneRows  = 8    // of state_step
	manyRows = 8    // of states_step
	parts    = 1024 // most sums of squares that add_step takes
)

// small are the layered parameters that stay stacked, in the order of step.small.
var small = []string{norm, conv, convBias, dtBias, aLog, skip, gateNorm}

// Step is the model for one token, its layers unrolled, with nothing changed or watched: on an NVIDIA GPU through the kernels
// of kernels/step.py, three per layer for few sequences, where the shapes are official and products bfloat16; on other
// processors as the graph of Forward. It is nil otherwise.
func (m Model) Step(call lm.Call) *lm.Step {
	b := m.newBlock(call)
	c := m.Config
	if !xla.HasKernels(call.Tokens.Graph().Backend()) && b.Infer && b.tokens == 1 && len(call.Controls) == 0 && len(call.Probes) == 0 {
		return b.unrolledStep(call.Params)
	}
	if !b.suitsKernels() || !b.Infer || b.tokens != 1 || b.members != 1 || len(call.Controls) > 0 || len(call.Probes) > 0 || c.UseBias ||
		c.DeltaMin != 0 || c.DeltaMax != 0 || !xla.HasKernels(call.Tokens.Graph().Backend()) ||
		c.Width%piece != 0 || c.Inner()%piece != 0 || c.Heads()*c.HeadDim/manyRows > parts ||
		!kernels.Serves("proj_step", c.Width/piece) || !kernels.Serves("out_step", c.Inner()/piece) || !kernels.Serves("state_step", c.State) {
		return nil
	}
	s := &step{block: b, call: xla.TritonCall}
	return &lm.Step{Consts: s.consts(call.Params), Run: s.run}
}

// consts are all layers' matrices in bfloat16, each by itself: a kernel and a product take it as it lies; then small,
// head, final norm and embeddings.
func (s *step) consts(params map[string]*Node) (consts []*Node) {
	c := s.Config
	matrix := func(name string, layer int) *Node {
		w := params[name]
		d := w.Shape().Dimensions
		return ConvertDType(Reshape(SliceAxis(w, 0, AxisElem(layer)), d[2], d[3]), s.compute)
	}
	for layer := range c.Layers {
		consts = append(consts, matrix(inWeight, layer), matrix(outWeight, layer))
	}
	for _, name := range small {
		consts = append(consts, params[name])
	}
	table := params[embedding]
	if !s.Tied {
		table = params[head]
	}
	consts = append(consts, ConvertDType(Reshape(table, c.Vocab, c.Width), s.compute), params[finalNorm], params[embedding])
	return consts
}

// step is one token of the whole model.
type step struct {
	*block
	small map[string]*Node
	call  func(k xla.Kernel, outs []shapes.Shape, ins ...*Node) xla.Nodes
}

func (s *step) run(consts []*Node, tokens *Node, state map[string]*Node) (logits *Node, next map[string]*Node) {
	g, c := tokens.Graph(), s.Config
	matrices, rest := consts[:2*c.Layers], consts[2*c.Layers:]
	s.small = map[string]*Node{}
	for i, name := range small {
		s.small[name] = rest[i]
	}
	table, last, embeddings := rest[len(small)], rest[len(small)+1], rest[len(small)+2]
	h, window := state[stateName], state[windowName]
	r := Reshape(s.embed(embeddings, InsertAxes(tokens, 1)), s.batch, c.Width)
	var more [2]*Node
	for l := range c.Layers {
		r, more, h, window = s.layer(Const(g, []int32{int32(l)}), r, more, h, window, matrices[2*l], matrices[2*l+1])
	}
	if more[0] != nil {
		_, normed := s.add(Const(g, []int32{0}), r, more, last)
		logits = s.product(normed, table)
	} else {
		k := s.kernel("head_step", []int{c.Width / piece}, [3]int{s.batch, blocks(c.Vocab, headRows)}, map[string]int{"D": c.Width, "V": c.Vocab})
		logits = s.call(k, s.rows(c.Vocab), r, last, table)[0]
	}
	return logits, map[string]*Node{stateName: h, windowName: window}
}

// layer is one block for the stacked states h and window, rewritten in place, and the layer's two matrices; index is
// int32 [1]. Of many sequences the residual is r [batch, width] plus what add_step makes of more: the block's product and
// sums of squares, nil before the first layer.
func (s *step) layer(index, r *Node, more [2]*Node, h, window, in, out *Node) (residual *Node, more1 [2]*Node, h1, window1 *Node) {
	c, many := s.Config, s.batch > fewRows
	wide, inner, channels := c.projection(), c.Inner(), c.Channels()
	bind := map[string]int{"B": s.batch, "R": wide, "C": channels, "OFF": inner}
	moved := append([]shapes.Shape{window.Shape()}, s.rows(wide)...)
	var outs []*Node
	if many {
		var u *Node
		if more[0] == nil {
			u = s.normed(index, r, s.small[norm])
		} else {
			r, u = s.add(index, r, more, s.small[norm])
		}
		k := s.kernel("conv_step", nil, [3]int{blocks(channels, convStep), s.batch}, bind)
		k.InPlace = map[int]int{0: 1, 1: 2}
		outs = s.call(k, moved, index, window, s.product(u, in), s.small[conv], s.small[convBias])
	} else {
		bind["D"] = c.Width
		k := s.kernel("proj_step", []int{c.Width / piece}, [3]int{s.batch, blocks(wide, projRows)}, bind)
		k.InPlace = map[int]int{0: 4}
		outs = s.call(k, moved, index, r, s.small[norm], in, window, s.small[conv], s.small[convBias])
	}
	window1, proj := outs[0], outs[1]

	bind = map[string]int{"B": s.batch, "R": wide, "H": c.Heads(), "PER": c.Heads() / c.Groups, "GN": c.Groups * c.State}
	if many {
		parts := c.HeadDim / manyRows
		k := s.kernel("states_step", []int{c.State}, [3]int{c.Heads(), parts, s.batch}, bind)
		k.InPlace = map[int]int{0: 1}
		outs = s.call(k, append([]shapes.Shape{h.Shape(), shapes.Make(dtypes.BFloat16, s.batch, inner)}, s.rows(c.Heads()*parts)...),
			index, h, proj, s.small[dtBias], s.small[aLog], s.small[skip], s.small[gateNorm])
		return r, [2]*Node{s.product(outs[1], out), outs[2]}, outs[0], window1
	}
	k := s.kernel("state_step", []int{c.State}, [3]int{c.Heads(), c.HeadDim / oneRows, s.batch}, bind)
	k.InPlace = map[int]int{0: 1}
	outs = s.call(k, append([]shapes.Shape{h.Shape()}, s.rows(inner)...), index, h, proj, s.small[dtBias], s.small[aLog], s.small[skip])
	h1, gated := outs[0], outs[1]
	k = s.kernel("out_step", []int{inner / piece}, [3]int{s.batch, blocks(c.Width, outRows)}, map[string]int{"D": c.Width, "INNER": inner})
	return s.call(k, s.rows(c.Width), index, gated, s.small[gateNorm], out, r)[0], more, h1, window1
}

// normed is RMSNorm(x) in bfloat16 for x [batch, width].
func (s *step) normed(index, x, weight *Node) *Node {
	width := x.Shape().Dim(1)
	k := s.kernel("norm_step", []int{power(width)}, [3]int{s.batch}, map[string]int{"W": width})
	return s.call(k, []shapes.Shape{shapes.Make(dtypes.BFloat16, s.batch, width)}, index, x, weight)[0]
}

// add is the residual r + more, and its RMSNorm in bfloat16.
func (s *step) add(index, r *Node, more [2]*Node, weight *Node) (total, normed *Node) {
	width := r.Shape().Dim(1)
	k := s.kernel("add_step", []int{power(width)}, [3]int{s.batch},
		map[string]int{"W": width, "PARTS": more[1].Shape().Dim(1), "INNER": s.Inner()})
	outs := s.call(k, append(s.rows(width), shapes.Make(dtypes.BFloat16, s.batch, width)), index, r, more[0], more[1], weight)
	return outs[0], outs[1]
}

// product is x Wᵀ in float32.
func (s *step) product(x, w *Node) *Node {
	return Dot(x, w).WithOutputDType(dtypes.Float32).General([]int{1}, nil, []int{1}, nil)
}

func (s *step) rows(width int) []shapes.Shape {
	return []shapes.Shape{shapes.Make(dtypes.Float32, s.batch, width)}
}

func (s *step) kernel(name string, sizes []int, grid [3]int, bind map[string]int) xla.Kernel {
	k := kernels.Kernel(name, sizes...)
	k.Grid, k.Warps, k.Stages = grid, 4, 1
	if name == "states_step" {
		k.Warps = 1
	}
	return k.Bind(bind)
}

func blocks(n, per int) int { return (n + per - 1) / per }
