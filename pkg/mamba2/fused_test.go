package mamba2

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

func fusedConfig() Config {
	c := Default(128, 2, 64)
	c.State = 16
	return c
}

func TestBlockKernelsAreBoundToSizes(t *testing.T) {
	b := &block{Model: Model{Config: fusedConfig()}, batch: 4, tokens: 70, members: 2}
	for name, bind := range map[string]map[string]int{
		"conv_forward":  {"T": 70, "C": 288, "R": 544, "OFF": 256, "ROWS": 2, "SEG": 64},
		"conv_backward": {"T": 70, "C": 288, "R": 288, "OFF": 0, "INNER": 256, "ROWS": 2, "SEG": 64},
		"gate_forward":  {"INNER": 256, "R": 544, "ROWS": 140}, "gate_backward": {"INNER": 256, "R": 256, "ROWS": 140, "PER": 4},
		"norm_forward": {"WIDTH": 128, "ROWS": 140}, "norm_backward": {"WIDTH": 128, "ROWS": 140, "PER": 4},
	} {
		k := b.kernel(name, [3]int{1}, bind)
		head, _, _ := strings.Cut(k.Source, "{noinline")
		if strings.Contains(head, ": i32,") || strings.Contains(head, ": i32)") || !strings.Contains(head, "@"+name+"(") {
			t.Errorf("%s still has integer arguments or another name: %s", name, head)
		}
	}
}

// cuda claims to be an NVIDIA GPU.
type cuda struct{ compute.Backend }

func (cuda) IsCUDA() bool { return true }

// Graphs with kernels are built and verified without a GPU; the compiler then knows no such call.
func TestGraphWithKernelsIsBuilt(t *testing.T) {
	dev, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	m := Model{Config: fusedConfig()}
	w, err := lm.InitialWeights(m, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		infer, fresh, unroll bool
		tokens               int
	}{{tokens: 70}, {infer: true, tokens: 70}, {fresh: true, tokens: 70}, {fresh: true, unroll: true, tokens: 64}} {
		_, err = MustNewExec(cuda{dev.Backend}, func(in []*Node) []*Node {
			params, rest := nodesOf(w, in)
			call := lm.Call{Params: params, Tokens: rest[0], Options: lm.Options{Members: 2, Compute: dtypes.BFloat16, Infer: c.infer, Unroll: c.unroll, Save: "all"}, ZeroState: c.fresh}
			out := m.Forward(call)
			if c.infer {
				return stateList(m, out.State)
			}
			return Gradient(ReduceAllSum(out.Hidden), in[:len(w.Specs)]...)
		}).Call(argsOf(w, tensors.FromFlatDataAndDimensions(make([]int32, 4*c.tokens), 4, c.tokens))...)
		if err == nil || !strings.Contains(err.Error(), "untyped custom call to __gpu$xla.gpu.triton") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestFusedBlockEqualsGraph runs where there is an NVIDIA GPU: losses and states of two models side by
// side, with kernels and without, in bfloat16 both.
func TestFusedBlockEqualsGraph(t *testing.T) {
	dev, err := xla.Open("cuda")
	if err != nil {
		t.Skipf("needs an NVIDIA GPU: %v", err)
	}
	m := Model{Config: fusedConfig()}
	w, err := lm.InitialWeights(m, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	const rows, tokens = 4, 70
	ids := make([]int32, rows*tokens)
	for i := range ids {
		ids[i] = int32((i*i*7 + 3*i) % 64)
	}
	state := lm.ZeroState(m, rows, dtypes.Float32)
	for k, s := range state {
		v := tensors.MustCopyFlatData[float32](s)
		for i := range v {
			v[i] = float32(math.Sin(float64(i)))
		}
		state[k] = tensors.FromFlatDataAndDimensions(v, s.Shape().Dimensions...)
	}
	run := func(plain, infer, fresh bool) (names []string, values [][]float32) {
		e := MustNewExec(dev.Backend, func(in []*Node) []*Node {
			params, rest := nodesOf(w, in)
			call := lm.Call{Params: params, Tokens: rest[0], State: byName(m, rest[1:]), Options: lm.Options{Members: 2, Compute: dtypes.BFloat16, NoKernels: plain, Infer: infer}}
			if call.ZeroState = fresh; fresh {
				call.State = nil
			}
			out := m.Forward(call)
			loss := ReduceAllMean(lm.TokenLoss(m.Logits(call, out.Hidden), rest[0]))
			if fresh {
				return append([]*Node{loss}, Gradient(loss, in[:len(w.Specs)]...)...)
			}
			loss = Add(loss, MulScalar(ReduceAllSum(Mul(out.State["state"], Cos(out.State["state"]))), 1e-3))
			outs := []*Node{loss, out.State["state"], out.State["conv_state"]}
			if infer {
				return outs
			}
			wrt := append([]*Node{}, in[:len(w.Specs)]...)
			return append(outs, Gradient(loss, append(wrt, rest[1:]...)...)...)
		})
		args := argsOf(w, tensors.FromFlatDataAndDimensions(ids, rows, tokens))
		for _, s := range lm.InOrder(m.State(1), state) {
			args = append(args, s)
		}
		names = []string{"loss", "state", "conv_state"}
		for _, s := range w.Specs {
			names = append(names, "gradient of "+s.Name)
		}
		names = append(names, "gradient of state", "gradient of conv_state")
		for _, o := range e.MustCall(args...) {
			values = append(values, tensors.MustCopyFlatData[float32](o))
		}
		return
	}
	for _, infer := range []bool{false, true} {
		names, got := run(false, infer, false)
		_, want := run(true, infer, false)
		compare(t, names[:len(got)], got, want)
	}
	names, got := run(false, false, true)
	_, want := run(true, false, true)
	compare(t, append(names[:1], names[3:]...)[:len(got)], got, want)
}

func compare(t *testing.T, names []string, got, want [][]float32) {
	for i, name := range names {
		diff, norm := 0.0, 0.0
		for j := range want[i] {
			diff += math.Pow(float64(got[i][j]-want[i][j]), 2)
			norm += math.Pow(float64(want[i][j]), 2)
		}
		ratio := math.Sqrt(diff / norm)
		t.Logf("%s differs by %.2e", name, ratio)
		if !(ratio < 0.03) {
			t.Errorf("%s differs by %.2e", name, ratio)
		}
	}
}
