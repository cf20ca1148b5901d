package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/xla"
)

// headSpecs are the parameters that the head may use.
func headSpecs(m lm.Model, members int) (specs []lm.Spec) {
	for _, s := range m.Parameters(members) {
		if !s.Layered {
			specs = append(specs, s)
		}
	}
	return specs
}

// tokenLoss is Loss of all logits at once.
func tokenLoss(m lm.Model, call lm.Call, hidden, labels, weight *Node) *Node {
	each := Mul(lm.TokenLoss(m.Logits(call, hidden), MaxScalar(labels, 0)), weight)
	return ReduceSum(Reshape(each, call.Members, -1), 1)
}

// lossAndGradients takes the parameters of the head, hidden, labels and weight to a loss and its gradients in all but the last two; the
// adjoints of the loss differ by member.
func lossAndGradients(dev *xla.Device, m lm.Model, options lm.Options, loss func(m lm.Model, call lm.Call, hidden, labels, weight *Node) *Node) *Exec {
	specs := headSpecs(m, options.Members)
	n := len(specs)
	return MustNewExec(dev.Backend, func(in []*Node) []*Node {
		call := lm.Call{Params: map[string]*Node{}, Options: options}
		for i, s := range specs {
			call.Params[s.Name] = in[i]
		}
		each := loss(m, call, in[n], in[n+1], in[n+2])
		scaled := Mul(each, AddScalar(Iota(each.Graph(), each.Shape(), 0), 1))
		return append([]*Node{each}, Gradient(ReduceAllSum(scaled), in[:n+1]...)...)
	})
}

// TestLossEqualsTokenLoss compares losses and gradients with those of all logits at once, in float32, and on an NVIDIA GPU
// the kernel in bfloat16.
func TestLossEqualsTokenLoss(t *testing.T) {
	for _, c := range []struct {
		backend         string
		tied, half      bool
		members, pieces int
	}{{"cuda", true, true, 2, 4}, {"cuda", false, true, 1, 1}, {"go", true, false, 1, 1}, {"go", false, false, 2, 4}, {"cpu", true, false, 2, 4}, {"cpu", true, true, 2, 2}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			dev, err := xla.Open(c.backend)
			if err != nil && c.backend == "cuda" {
				t.Skipf("needs an NVIDIA GPU: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			config := mamba2.Default(16, 1, 5003)
			config.HeadDim, config.State, config.Tied = 8, 4, c.tied
			m, err := mamba2.New(config)
			if err != nil {
				t.Fatal(err)
			}
			rows, tokens := 2*c.members, 8
			r := rand.New(rand.NewPCG(1, 2))
			var args []any
			normal := func(scale float64, dims ...int) *tensors.Tensor {
				n := 1
				for _, d := range dims {
					n *= d
				}
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(scale * r.NormFloat64())
				}
				return tensors.FromFlatDataAndDimensions(v, dims...)
			}
			for _, s := range headSpecs(m, c.members) {
				args = append(args, normal(0.7, s.Dims...))
			}
			labels, weights := make([]int32, rows*tokens), make([]float32, rows*tokens)
			for i := range labels {
				labels[i], weights[i] = int32(r.IntN(5003)), float32(r.Float64())
				if i%5 == 2 {
					labels[i], weights[i] = -1, 0
				}
			}
			args = append(args, normal(1, rows, tokens, 16), tensors.FromFlatDataAndDimensions(labels, rows, tokens),
				tensors.FromFlatDataAndDimensions(weights, rows, tokens))
			run := func(whole bool) (all [][]float32) {
				options := lm.Options{Members: c.members, NoKernels: whole}
				if c.half {
					options.Compute, options.LogitsBF16 = dtypes.BFloat16, true
				}
				loss := tokenLoss
				if !whole {
					loss = func(m lm.Model, call lm.Call, hidden, labels, weight *Node) *Node {
						return Loss(m, call, hidden, labels, weight, c.pieces, false)
					}
				}
				e := lossAndGradients(dev, m, options, loss)
				for _, o := range e.MustCall(args...) {
					all = append(all, tensors.MustCopyFlatData[float32](o))
				}
				return all
			}
			want, got := run(true), run(false)
			limit := 1e-5
			if c.half {
				limit = 0.01
			}
			for i := range want {
				diff, norm := 0.0, 1e-30
				for j := range want[i] {
					diff += math.Pow(float64(got[i][j]-want[i][j]), 2)
					norm += math.Pow(float64(want[i][j]), 2)
				}
				if ratio := math.Sqrt(diff / norm); !(ratio < limit) {
					t.Errorf("%s: output %d of the loss and the gradients differs by %.2e", fmt.Sprintf("%+v", c), i, ratio)
				}
			}
		})
	}
}

// TestLossOfTheFront compares loss and gradients in float64 with those of all logits, where some rows have labels in their first pieces
// alone. Hidden vectors behind the last label of all are not a number: a loop of pieces that went on would carry that into the gradients.
func TestLossOfTheFront(t *testing.T) {
	const members, rows, tokens, width, pieces, per = 2, 4, 12, 6, 4, 3
	config := mamba2.Default(width, 1, 40)
	config.HeadDim, config.State = 4, 4
	m, err := mamba2.New(config)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	options := lm.Options{Members: members, NoKernels: true}
	whole := lossAndGradients(dev, m, options, tokenLoss)
	front := lossAndGradients(dev, m, options, func(m lm.Model, call lm.Call, hidden, labels, weight *Node) *Node {
		return Loss(m, call, hidden, labels, weight, pieces, true)
	})
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(dims ...int) []float64 {
		v := make([]float64, shapes.Make(dtypes.Float64, dims...).Size())
		for i := range v {
			v[i] = r.NormFloat64()
		}
		return v
	}
	for _, known := range []int{0, 1, 3, 4, 9, 12} {
		var params []any
		for _, s := range headSpecs(m, members) {
			params = append(params, tensors.FromFlatDataAndDimensions(normal(s.Dims...), s.Dims...))
		}
		hidden, labels, weight := normal(rows, tokens, width), make([]int32, rows*tokens), make([]float64, rows*tokens)
		for i := range labels {
			if labels[i] = -1; i%tokens < known-i/tokens%2 { // every other row has one less
				labels[i], weight[i] = int32(r.IntN(40)), r.Float64()
			}
		}
		behind := slices.Clone(hidden)
		for i := range behind {
			if i/width%tokens >= (known+per-1)/per*per {
				behind[i] = math.NaN()
			}
		}
		run := func(e *Exec, hidden []float64) (all [][]float64) {
			inputs := append(slices.Clone(params), tensors.FromFlatDataAndDimensions(hidden, rows, tokens, width), tensors.FromFlatDataAndDimensions(labels, rows, tokens), tensors.FromFlatDataAndDimensions(weight, rows, tokens))
			for _, o := range e.MustCall(inputs...) {
				all = append(all, tensors.MustCopyFlatData[float64](o))
			}
			return all
		}
		want, got := run(whole, hidden), run(front, behind)
		for k := range want {
			for i := range want[k] {
				if !(math.Abs(got[k][i]-want[k][i]) < 1e-12) {
					t.Fatalf("%d labels: entry %d of output %d is %g, want %g", known, i, k, got[k][i], want[k][i])
				}
			}
		}
	}
}

// TestPiecesOfAnswers: pieces are neither longer than 16 answers nor so short that the head would work on few at a time.
func TestPiecesOfAnswers(t *testing.T) {
	for answers, want := range map[int]int{1: 1, 7: 7, 16: 16, 17: 17, 24: 12, 25: 25, 32: 16, 64: 16, 72: 12, 88: 11} {
		if got := atOnce(answers); got != want {
			t.Errorf("%d of %d answers at once, want %d", got, answers, want)
		}
		if n := pieces(1, answers, atOnce(answers), 10, 1<<20); n*want != answers {
			t.Errorf("%d pieces of %d answers, want of %d each", n, answers, want)
		}
	}
}
