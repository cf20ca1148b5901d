package lm

import (
	"cmp"
	"fmt"

	"stuffed/xla"
)

// Load is work that needs memory: sequences side by side, tokens of each in one graph.
type Load struct {
	Batch, Tokens int
	Train         bool   // backward, gradients and AdamW's two moments
	Half          bool   // products in bfloat16
	Members       int    // 0 for 1
	Logits        bool   // logits of all tokens leave the graph
	Save          string // what layers keep for the backward: "none", else the outputs of their matrices
	Unroll        bool   // no loop over layers: all are worked on at once
	Answers       int    // tokens of a sequence that the head works on in training, 0 for all
	LogitsAtOnce  int64  // bytes of logits that training makes at a time at most, 0 for 2 GiB
}

// Footprint is an estimate in bytes.
type Footprint struct {
	Parameters  int64 // and, in training, gradients and moments
	State       int64 // twice: in and out
	Activations int64 // of one layer; in training also what every layer keeps
	Logits      int64
}

// Total is the sum.
func (f Footprint) Total() int64 { return f.Parameters + f.State + f.Activations + f.Logits }

// Peak is about what a process that works on the load takes at most, on its device or, where that is the CPU, altogether: its program, and
// twice what a call works with, since an allocator seldom finds room for all of it in what the call before has freed.
func (f Footprint) Peak() int64 { return process + f.Parameters + f.State + 2*(f.Activations+f.Logits) }

// process is what a process takes before it computes: programs, and on a GPU its context.
const process = 600e6

// Estimate adds up what a load holds at the same time, in float32 unless Half: parameters; states; per token the outputs
// of a layer's matrices twice and, per chunk of tokens, its decay matrix and its state; in training what each layer keeps
// for the backward. It leaves out what compilers add, commonly a fifth.
func Estimate(m Model, l Load) Footprint {
	members, word := int64(max(l.Members, 1)), int64(4)
	if l.Half {
		word = 2
	}
	var f Footprint
	var parameters, outputs, width int64
	for _, s := range m.Parameters(1) {
		parameters += int64(s.Size())
		switch s.Role {
		case Matrix, Filter: // [layers, members, out, …]
			outputs += int64(s.Dims[outAxis])
		case Embedding: // [members, vocab, width]
			width = int64(s.Dims[outAxis])
		}
	}
	f.Parameters = 4 * members * parameters
	if l.Train {
		f.Parameters *= 4
	}
	for _, s := range m.State(l.Batch) {
		f.State += 2 * 4 * int64(s.Size())
	}
	tokens, layers := int64(l.Batch)*int64(l.Tokens), int64(m.Layers())
	const chunk = 64
	heads, values, keys := Matrices(m)
	perChunk := int64(heads) * (int64(values*keys) + chunk*chunk)
	layer := tokens*2*outputs*word + (tokens+chunk-1)/chunk*perChunk*4
	f.Activations = layer + 2*tokens*width*4
	if l.Train {
		kept := width * 4
		if l.Save != "none" {
			kept += outputs * word
		}
		if f.Activations += layer; l.Unroll {
			f.Activations += (layers - 1) * 2 * layer
		}
		f.Activations += layers * tokens * kept
	}
	f.Logits = int64(l.Batch) * int64(cmp.Or(l.Answers, l.Tokens)) * int64(m.Vocab()) * 4
	switch {
	case l.Train:
		f.Logits = 3 * min(f.Logits, cmp.Or(l.LogitsAtOnce, 2<<30))
	case !l.Logits:
		f.Logits = 0
	}
	return f
}

// Fit refuses a load that the bytes of memory cannot hold, and says what would fit. Unknown memory (0) holds anything.
func Fit(m Model, l Load, memory int64) error {
	need := Estimate(m, l).Total()
	if memory <= 0 || need <= memory {
		return nil
	}
	advice := "not even one sequence of 1 token fits: take a smaller model or a device with more memory"
	fits := func(l Load) bool { return Estimate(m, l).Total() <= memory }
	smaller := l
	if smaller.Batch = largest(l.Batch, func(n int) bool { s := l; s.Batch = n; return fits(s) }); smaller.Batch > 0 {
		advice = fmt.Sprintf("%d sequences of %d tokens would fit", smaller.Batch, l.Tokens)
	} else if l.Batch = 1; true {
		if n := largest(l.Tokens, func(n int) bool { s := l; s.Tokens = n; return fits(s) }); n > 0 {
			advice = fmt.Sprintf("1 sequence of %d tokens would fit", n)
		}
	}
	return fmt.Errorf("memory: %s %s needs about %s, the device has %s; %s", m.Name(), m.Hash(), xla.Bytes(need), xla.Bytes(memory), advice)
}

// largest is the largest n within 0 … limit that fits; what fits is monotonous.
func largest(limit int, fits func(n int) bool) int {
	low, high := 0, limit
	for low < high {
		middle := (low + high + 1) / 2
		if fits(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// HeadOperations counts those of the logits of one token, which Operations holds, too.
func HeadOperations(m Model) (forward float64) {
	for _, s := range m.Parameters(1) {
		if s.Role == Embedding || s.Role == Head { // a separate embedding costs nothing
			forward = float64(2 * s.Size())
		}
	}
	return forward
}

// Operations counts those of one token: products with every matrix, and update and reading of the recurrent state. Training
// takes three times those of the forward pass.
func Operations(m Model) (forward, train float64) {
	n := 0
	for _, s := range m.Parameters(1) {
		switch s.Role {
		case Matrix, Filter:
			n += 2 * s.Size()
		}
	}
	forward = float64(n) + HeadOperations(m) + 6*float64(m.Configuration().Sizes().Recurrent)
	return forward, 3 * forward
}
