package recurrence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla"
)

func TestMomentKernelsAreBoundToSizes(t *testing.T) {
	for i := range 10 {
		state, dtype := 16<<(i/2), []dtypes.DType{dtypes.BFloat16, dtypes.Float32}[i%2]
		d := Dims{Batch: 6, Tokens: 256, Heads: 4, HeadDim: 64, Groups: 2, State: state}
		for _, name := range []string{"walk", "reduce"} {
			k := momentKernel(name, dtype, d, 32, 3)
			head, _, _ := strings.Cut(k.Source, "{noinline")
			if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") {
				t.Errorf("%s still has integer arguments: %s", name, head)
			}
			for _, want := range []string{"@moments_" + name + "(%xbc: !tt.ptr<" + map[bool]string{true: "bf16", false: "f32"}[i%2 == 0] + ">", "%T = arith.constant 256 : i32", "%RUN = arith.constant 32 : i32", "%PER = arith.constant 2 : i32"} {
				if !strings.Contains(k.Source, want) {
					t.Errorf("%s: %q is missing", name, want)
				}
			}
			blocks := fmt.Sprintf("arith.constant %d : i32", momentRows(d)) // the kernel's rows of a program
			if name == "walk" && !strings.Contains(k.Source, blocks) {
				t.Errorf("walk of %d columns: %q is missing", state, blocks)
			}
		}
	}
}

// Buckets of several runs: means weighted by the tokens that count, ends of the last run.
func TestRunsAreJoined(t *testing.T) {
	dev, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	const run, per, runs, columns = 4, 3, 6, 5
	values := make([]float32, runs*columns)
	for i := range values {
		values[i] = float32(i*i%17) - 3
	}
	for _, length := range []int{24, 18, 13, 5, 1} {
		got := tensors.MustCopyFlatData[float32](MustExecOnce(dev.Backend, func(all, length *Node) *Node {
			return joinRuns(all, run, per, length)
		}, tensors.FromFlatDataAndDimensions(values, 1, runs, 1, columns), int32(length)))
		for b := range runs / per {
			for c := range columns {
				want, count := 0.0, 0.0
				for k := b * per; k < (b+1)*per; k++ {
					n := float64(min(max(length-k*run, 0), run))
					want, count = want+n*float64(values[k*columns+c]), count+n
				}
				want /= max(count, 1)
				if c >= columns-2 {
					want = float64(values[(b*per+per-1)*columns+c])
				}
				if math.Abs(float64(got[b*columns+c])-want) > 1e-6 {
					t.Errorf("length %d bucket %d column %d: %g, want %g", length, b, c, got[b*columns+c], want)
				}
			}
		}
	}
}

// naiveStatistics is Statistics from the definition, [batch, buckets, heads, columns].
func naiveStatistics(s Sequence, every, length int) []float64 {
	n, columns, size := (s.Tokens+every-1)/every, len(StatisticColumns), float64(s.HeadDim*s.State)
	out := make([]float64, s.Batch*n*s.Heads*columns)
	norm := func(v []float64) (sum float64) {
		for _, x := range v {
			sum += x * x
		}
		return math.Sqrt(sum)
	}
	Naive(s, func(b, tok, j int, h []float64) {
		row := out[((b*n+tok/every)*s.Heads+j)*columns:][:columns]
		if tok >= length {
			return
		}
		count := float64(min(every, length-tok/every*every))
		sum, largest, energy := 0.0, 0.0, make([]float64, s.State)
		for i, v := range h {
			sum, largest = sum+v, max(largest, math.Abs(v))
			energy[i%s.State] += v * v
		}
		square := norm(h) * norm(h)
		group := ((b*s.Tokens+tok)*s.Groups + j/(s.Heads/s.Groups)) * s.State
		gate := (b*s.Tokens+tok)*s.Heads + j
		xn, bn := norm(s.X[gate*s.HeadDim:][:s.HeadDim]), norm(s.B[group:][:s.State])
		for i, v := range []float64{sum / size, square/size - sum/size*sum/size, math.Sqrt(square / size), math.Sqrt(square), s.Delta[gate],
			s.Delta[gate] * s.A[j], xn, bn, norm(s.C[group:][:s.State]), s.Delta[gate] * xn * bn} {
			row[i] += v / count
		}
		slices.Sort(energy)
		top := 0.0
		for _, e := range energy[s.State-(s.State+15)/16:] {
			top += e
		}
		row[columns-2], row[columns-1] = largest, top/square
	})
	return out
}

// TestStatisticsEqualTheDefinition runs where there is an NVIDIA GPU: kernels against the loop in float64 on the same rounded
// operands. One piece starts from the exact state; the states that enter further pieces come from products in bfloat16.
func TestStatisticsEqualTheDefinition(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	for _, c := range []struct {
		d             Dims
		every, length int
		tolerance     float64
	}{
		{Dims{2, 256, 4, 64, 1, 128}, 64, 256, 2e-5}, {Dims{1, 192, 4, 64, 2, 64}, 32, 100, 2e-5}, {Dims{1, 48, 2, 64, 1, 16}, 1, 48, 2e-5},
		{Dims{1, 128, 2, 64, 1, 256}, 256, 77, 2e-5}, {Dims{1, 64, 2, 64, 1, 32}, 16, 64, 2e-5},
		{Dims{1, 2048, 4, 64, 1, 128}, 64, 2048, 4e-3}, {Dims{2, 2048, 4, 64, 2, 128}, 1024, 1500, 4e-3},
	} {
		d := c.d
		r := rand.New(rand.NewPCG(5, uint64(d.Tokens)))
		inner, bc := d.Heads*d.HeadDim, d.Groups*d.State
		xbc, delta := make([]float32, d.Batch*d.Tokens*(inner+2*bc)), make([]float32, d.Batch*d.Tokens*d.Heads)
		initial := make([]float32, d.Batch*d.Heads*d.HeadDim*d.State)
		for i := range xbc {
			xbc[i] = math.Float32frombits(math.Float32bits(float32(r.NormFloat64())+0.1) &^ 0xffff) // a bfloat16
		}
		for i := range delta {
			if i/d.Heads%d.Tokens < c.length {
				delta[i] = float32(0.3 * r.Float64())
			}
		}
		for i := range initial {
			initial[i] = float32(r.NormFloat64())
		}
		s := Sequence{Dims: d, A: make([]float64, d.Heads)}
		for i := range s.A {
			s.A[i] = -0.5 / float64(int(1)<<i)
		}
		for row := range d.Batch * d.Tokens {
			v := xbc[row*(inner+2*bc):]
			s.X, s.B, s.C = appendFloat64s(s.X, v[:inner]), appendFloat64s(s.B, v[inner:][:bc]), appendFloat64s(s.C, v[inner+bc:][:bc])
		}
		s.Delta, s.Initial = appendFloat64s(nil, delta), appendFloat64s(nil, initial)
		want := naiveStatistics(s, c.every, c.length)
		for _, form := range []string{"bfloat16", "float32", "float32, apart"} {
			got := tensors.MustCopyFlatData[float32](MustExecOnce(dev.Backend, func(raw, delta, initial *Node) *Node {
				wide := raw
				if form == "bfloat16" {
					wide = ConvertDType(raw, dtypes.BFloat16)
				}
				part := func(from, to, n, m int) *Node {
					return Reshape(SliceAxis(wide, -1, AxisRange(from, to)), d.Batch, d.Tokens, n, m)
				}
				a := make([]float32, d.Heads)
				for i := range a {
					a[i] = float32(s.A[i])
				}
				la := Mul(delta, Reshape(Const(raw.Graph(), a), 1, 1, d.Heads))
				op := Operands{X: part(0, inner, d.Heads, d.HeadDim), B: part(inner, inner+bc, d.Groups, d.State),
					C: part(inner+bc, inner+2*bc, d.Groups, d.State), Delta: delta, LogAlpha: la, Initial: initial, XBC: wide}
				if form == "float32, apart" {
					op.XBC, op.Write = nil, MulScalar(delta, 1)
				}
				all := Chunk(op, min(64, d.Tokens)).Statistics(c.every, Const(raw.Graph(), int32(c.length)))
				if all == nil {
					panic(fmt.Errorf("%+v: no kernels", c))
				}
				return all
			}, tensors.FromFlatDataAndDimensions(xbc, d.Batch, d.Tokens, inner+2*bc), tensors.FromFlatDataAndDimensions(delta, d.Batch, d.Tokens, d.Heads),
				tensors.FromFlatDataAndDimensions(initial, d.Batch, d.Heads, d.HeadDim, d.State)))
			columns := len(StatisticColumns)
			for q, name := range StatisticColumns {
				diff, norm := 0.0, 0.0
				for i := q; i < len(want); i += columns {
					if i/columns/d.Heads%((d.Tokens+c.every-1)/c.every)*c.every >= c.length {
						continue // no token of the bucket counts
					}
					diff, norm = diff+math.Pow(float64(got[i])-want[i], 2), norm+want[i]*want[i]
				}
				ratio := math.Sqrt(diff / norm)
				t.Logf("%s %+v: %s differs by %.2e", form, c, name, ratio)
				if !(ratio < c.tolerance) {
					t.Errorf("%s %+v: %s differs by %.2e", form, c, name, ratio)
				}
			}
		}
	}
}

func appendFloat64s(to []float64, v []float32) []float64 {
	for _, x := range v {
		to = append(to, float64(x))
	}
	return to
}
