package models_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/xla"
)

type file = map[string]*checkpoint.Tensor

const tiny = "../checkpoint/testdata/tiny"

// runner opens the tiny model (3 layers, 8 heads of 16 × 16, 160 channels, 256 tokens) on a backend.
func runner(t testing.TB, backend string) *lm.Runner {
	t.Helper()
	d, err := xla.Open(backend)
	if err != nil {
		t.Skip(err)
	}
	_, w, err := models.Load(tiny, dtypes.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return lm.NewRunner(d, w)
}

func integers(t testing.TB, shape []int, v ...int64) *checkpoint.Tensor {
	t.Helper()
	x, err := checkpoint.FromInt64(shape, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func floats(t testing.TB, shape ...int) *checkpoint.Tensor {
	t.Helper()
	r, n := rand.New(rand.NewPCG(3, uint64(len(shape)))), 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64()) * 0.3
	}
	x, err := checkpoint.FromFloat32(shape, v)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func tokens(t testing.TB, batch, n int) *checkpoint.Tensor {
	r := rand.New(rand.NewPCG(9, 9))
	v := make([]int64, batch*n)
	for i := range v {
		v[i] = r.Int64N(256)
	}
	return integers(t, []int{batch, n}, v...)
}

func forward(t testing.TB, r *lm.Runner, in file, o models.ForwardOptions) file {
	t.Helper()
	out, err := models.Forward(context.Background(), r, in, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same compares all tensors within a share of the largest entry of each.
func same(t testing.TB, what string, got, want file, relative float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tensors, want %d", what, len(got), len(want))
	}
	for name, w := range want {
		g := got[name]
		if g == nil || !slices.Equal(g.Shape, w.Shape) {
			t.Errorf("%s: %s is %v, want shape %v", what, name, g, w.Shape)
			continue
		}
		a, _ := g.Float64s()
		b, _ := w.Float64s()
		largest, worst := 0.0, 0.0
		for i := range b {
			largest, worst = max(largest, math.Abs(b[i])), max(worst, math.Abs(a[i]-b[i]))
		}
		if !(worst <= relative*largest) {
			t.Errorf("%s: %s differs by %g of %g", what, name, worst, largest)
		}
	}
}

func TestForwardDoesNotDependOnTheSplit(t *testing.T) {
	for _, backend := range []string{"go", "cpu"} {
		r := runner(t, backend)
		in := file{"input_ids": tokens(t, 2, 40), "state0": floats(t, 3, 2, 8, 16, 16), "conv_state0": floats(t, 3, 2, 160, 4)}
		want := forward(t, r, in, models.ForwardOptions{})
		for _, cuts := range [][]int{{0, 1, 1, 2, 40, 40}, {0}, {40}, {1}, {5, 17}} {
			if backend == "cpu" && len(cuts) < 4 {
				break // every length of a piece compiles anew
			}
			same(t, backend, forward(t, r, in, models.ForwardOptions{Cuts: cuts}), want, 1e-5)
		}
	}
}

// In float64 the state does not depend on the split to its last digits, and float32 is near.
func TestForwardInFloat64(t *testing.T) {
	r := runner(t, "go")
	o := models.Opened{Runner: r, Dir: tiny}
	if err := o.Float64(); err != nil {
		t.Fatal(err)
	}
	in := file{"input_ids": tokens(t, 2, 40), "state0": floats(t, 3, 2, 8, 16, 16)}
	want := forward(t, o.Runner, in, models.ForwardOptions{})
	if got := want["state.final"].DType; got != "F64" {
		t.Errorf("the final state is %s, want F64", got)
	}
	split := forward(t, o.Runner, in, models.ForwardOptions{Cuts: []int{1, 17}})
	same(t, "split", file{"state.final": split["state.final"]}, file{"state.final": want["state.final"]}, 1e-14)
	same(t, "float32", forward(t, r, in, models.ForwardOptions{}), want, 1e-5)
	for _, name := range []string{"logits", "loss.per_token"} {
		if got := forward(t, o.Runner, in, models.ForwardOptions{Gradients: true})[name].DType; got != "F32" {
			t.Errorf("%s with gradients is %s, want F32 as without", name, got)
		}
	}
	if err := (&models.Opened{Runner: r, Dir: "preset:byte"}).Float64(); err == nil || !strings.Contains(err.Error(), "preset:byte has no file") {
		t.Errorf("a preset: %v", err)
	}
}

func TestForwardOfDocuments(t *testing.T) {
	r := runner(t, "go")
	ids, state, conv := tokens(t, 1, 30), floats(t, 3, 1, 8, 16, 16), floats(t, 3, 1, 160, 4)
	all, _ := ids.Int64s()
	in := file{"input_ids": ids, "cu_seqlens": integers(t, []int{6}, 0, 4, 4, 5, 22, 30), "state0": state, "conv_state0": conv}
	packed := forward(t, r, in, models.ForwardOptions{})
	same(t, "split", forward(t, r, in, models.ForwardOptions{Cuts: []int{0, 2, 4, 4, 21, 30}}), packed, 1e-5)
	bounds := []int{0, 4, 4, 5, 22, 30}
	for d := range 5 {
		got, from, to := file{}, bounds[d], bounds[d+1]
		for _, name := range []string{"state.final", "conv_state.final"} {
			got[name] = row(t, packed[name], 1, d, d+1)
		}
		if from == to { // an empty document ends in the zeros it starts from
			for name, x := range got {
				if v, _ := x.Float64s(); slices.Max(v) != 0 || slices.Min(v) != 0 {
					t.Errorf("empty document: %s is not zero", name)
				}
			}
			continue
		}
		got["logits"] = row(t, packed["logits"], 1, from, to)
		alone := file{"input_ids": integers(t, []int{1, to - from}, all[from:to]...)}
		if d == 0 {
			alone["state0"], alone["conv_state0"] = state, conv
		}
		want := forward(t, r, alone, models.ForwardOptions{})
		delete(want, "loss.per_token")
		same(t, "document", got, want, 1e-5)
	}
	in["cu_seqlens"] = integers(t, []int{3}, 0, 0, 30) // an empty first document keeps the initial state to itself
	packed = forward(t, r, in, models.ForwardOptions{})
	same(t, "empty first document", file{"state.final": row(t, packed["state.final"], 1, 0, 1)}, file{"state.final": state}, 0)
	alone := forward(t, r, file{"input_ids": ids}, models.ForwardOptions{})
	same(t, "after an empty document", file{"logits": packed["logits"]}, file{"logits": alone["logits"]}, 1e-5)
}

// row cuts an axis.
func row(t testing.TB, x *checkpoint.Tensor, axis, from, to int) *checkpoint.Tensor {
	t.Helper()
	v, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	outer, inner := 1, 1
	for i, d := range x.Shape {
		if i < axis {
			outer *= d
		} else if i > axis {
			inner *= d
		}
	}
	var out []float32
	for o := range outer {
		out = append(out, v[(o*x.Shape[axis]+from)*inner:(o*x.Shape[axis]+to)*inner]...)
	}
	shape := slices.Clone(x.Shape)
	shape[axis] = to - from
	cut, err := checkpoint.FromFloat32(shape, out)
	if err != nil {
		t.Fatal(err)
	}
	return cut
}

func TestForwardGradients(t *testing.T) {
	for _, backend := range []string{"go"} { // verify has the gradients of every backend
		r := runner(t, backend)
		in := file{"input_ids": tokens(t, 1, 20), "state0": floats(t, 3, 1, 8, 16, 16), "cu_seqlens": integers(t, []int{3}, 0, 9, 20)}
		want := forward(t, r, in, models.ForwardOptions{Gradients: true})
		if want["grad.backbone.layers.1.mixer.conv1d.weight"] == nil || want["grad.backbone.embeddings.weight"] == nil || want["grad.lm_head.weight"] != nil {
			t.Errorf("%s: names of gradients", backend)
		}
		same(t, backend, forward(t, r, in, models.ForwardOptions{Gradients: true, Cuts: []int{0, 1, 12, 12}}), want, 2e-5)
	}
}

func TestForwardOfOneToken(t *testing.T) {
	r := runner(t, "go")
	out := forward(t, r, file{"input_ids": tokens(t, 2, 1)}, models.ForwardOptions{Cuts: []int{0, 1}})
	if !slices.Equal(out["loss.per_token"].Shape, []int{2, 0}) || !slices.Equal(out["logits"].Shape, []int{2, 1, 256}) {
		t.Errorf("shapes %v %v", out["loss.per_token"].Shape, out["logits"].Shape)
	}
	out = forward(t, r, file{"input_ids": tokens(t, 1, 1), "cu_seqlens": integers(t, []int{2}, 0, 1)}, models.ForwardOptions{})
	if !slices.Equal(out["loss.per_token"].Shape, []int{1, 0}) || !slices.Equal(out["state.final"].Shape, []int{3, 1, 8, 16, 16}) {
		t.Errorf("packed: shapes %v %v", out["loss.per_token"].Shape, out["state.final"].Shape)
	}
}

func TestForwardRefuses(t *testing.T) {
	r := runner(t, "go")
	ids := tokens(t, 1, 6)
	nan := floats(t, 3, 1, 8, 16, 16)
	copy(nan.Data, []byte{0, 0, 0xc0, 0x7f})
	for _, c := range []struct {
		in    file
		o     models.ForwardOptions
		wants string
	}{
		{file{}, models.ForwardOptions{}, "input_ids is missing"},
		{file{"input_ids": ids, "mask": ids}, models.ForwardOptions{}, `"mask"`},
		{file{"input_ids": floats(t, 1, 6)}, models.ForwardOptions{}, "must be I64"},
		{file{"input_ids": integers(t, []int{6}, 1, 2, 3, 4, 5, 6)}, models.ForwardOptions{}, "[batch, tokens]"},
		{file{"input_ids": integers(t, []int{1, 0})}, models.ForwardOptions{}, "at least 1"},
		{file{"input_ids": integers(t, []int{1, 2}, 3, 256)}, models.ForwardOptions{}, "position 1 is 256, outside the vocabulary 0 … 255"},
		{file{"input_ids": integers(t, []int{1, 2}, -1, 2)}, models.ForwardOptions{}, "is -1"},
		{file{"input_ids": ids, "state0": floats(t, 3, 2, 8, 16, 16)}, models.ForwardOptions{}, "state0 is F32 [3 2 8 16 16], must be F32 (or another float) [3 1 8 16 16]"},
		{file{"input_ids": ids, "conv_state0": tokens(t, 1, 6)}, models.ForwardOptions{}, "conv_state0 is I64"},
		{file{"input_ids": ids, "state0": nan}, models.ForwardOptions{}, "entry 0 is NaN"},
		{file{"input_ids": ids, "cu_seqlens": integers(t, []int{2}, 0, 7)}, models.ForwardOptions{}, "cu_seqlens[1] is 7"},
		{file{"input_ids": ids, "cu_seqlens": integers(t, []int{3}, 0, 5, 4)}, models.ForwardOptions{}, "cu_seqlens[2] is 4"},
		{file{"input_ids": ids, "cu_seqlens": integers(t, []int{2}, 1, 6)}, models.ForwardOptions{}, "cu_seqlens[0] is 1"},
		{file{"input_ids": tokens(t, 2, 3), "cu_seqlens": integers(t, []int{2}, 0, 3)}, models.ForwardOptions{}, "one sequence"},
		{file{"input_ids": ids}, models.ForwardOptions{Cuts: []int{7}}, "split at 7: must be within 0 … 6"},
		{file{"input_ids": ids}, models.ForwardOptions{Cuts: []int{3, 2}}, "split at 2: must be within 3 … 6"},
		{file{"input_ids": ids}, models.ForwardOptions{Cuts: []int{-1}}, "split at -1"},
		{file{"input_ids": tokens(t, 1, 1)}, models.ForwardOptions{Gradients: true}, "at least 2"},
	} {
		if _, err := models.Forward(context.Background(), r, c.in, c.o); err == nil || !strings.Contains(err.Error(), c.wants) {
			t.Errorf("error %v, want one with %q", err, c.wants)
		}
	}
}

func TestForwardFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	r, dir := runner(t, "go"), t.TempDir()
	in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out.safetensors")
	run := func(o models.ForwardOptions) error { return models.ForwardFile(context.Background(), r, in, out, o) }
	if err := run(models.ForwardOptions{}); err == nil {
		t.Error("a missing input is no error")
	}
	if err := checkpoint.WriteSafetensors(in, file{"input_ids": tokens(t, 1, 5)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := run(models.ForwardOptions{}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(models.ForwardOptions{Cuts: []int{9}}); err == nil {
		t.Error("a split beyond the end is no error")
	}
	after, err := os.ReadFile(out)
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("a failed run changed the output: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 2 {
		t.Errorf("files left: %v", names)
	}
	if err := models.ForwardFile(context.Background(), r, in, filepath.Join(dir, "none", "out.safetensors"), models.ForwardOptions{}); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("output in a missing folder: %v", err)
	}
}

// Activations are the same whole and in pieces, and states after a cut are those of the tokens before it.
func TestForwardWritesProbes(t *testing.T) {
	r := runner(t, "go")
	r.Piece = 16
	in := file{"input_ids": tokens(t, 2, 37)}
	names := []string{lm.Values, lm.Keys, lm.Queries, lm.Delta, lm.States}
	whole := forward(t, r, in, models.ForwardOptions{Probes: names})
	cut := forward(t, r, in, models.ForwardOptions{Probes: names, Cuts: []int{5, 21}})
	for _, name := range names[:4] {
		a, b := whole["probe."+name], cut["probe."+name]
		if a == nil || a.Shape[1] != 2 || a.Shape[2] != 37 || !slices.Equal(a.Shape, b.Shape) {
			t.Fatalf("%s: %v, %v", name, a, b)
		}
		x, _ := a.Float64s()
		y, _ := b.Float64s()
		for i := range x {
			if math.Abs(x[i]-y[i]) > 1e-5 {
				t.Fatalf("%s, entry %d: %v whole, %v in pieces", name, i, x[i], y[i])
			}
		}
	}
	first := forward(t, r, file{"input_ids": head(t, in["input_ids"], 5)}, models.ForwardOptions{})
	states := cut["probe."+lm.States]
	got, _ := states.Float64s()
	want, _ := first["state.final"].Float64s()
	layers, each := states.Shape[0], len(got)/states.Shape[0]/3
	if states.Shape[1] != 3 || len(want) != layers*each {
		t.Fatalf("states %v", states.Shape)
	}
	for l := range layers {
		for i := range each {
			if a, b := got[l*3*each+i], want[l*each+i]; math.Abs(a-b) > 1e-5 {
				t.Fatalf("layer %d, entry %d: %v after the cut, %v of its tokens", l, i, a, b)
			}
		}
	}
	for _, wrong := range []models.ForwardOptions{{Probes: []string{"nothing"}}, {Probes: []string{lm.Delta}, Gradients: true}} {
		if _, err := models.Forward(context.Background(), r, in, wrong); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
}

// head are the first n tokens of every row.
func head(t testing.TB, ids *checkpoint.Tensor, n int) *checkpoint.Tensor {
	flat, err := ids.Int64s()
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for b := range ids.Shape[0] {
		out = append(out, flat[b*ids.Shape[1]:][:n]...)
	}
	return integers(t, []int{ids.Shape[0], n}, out...)
}
