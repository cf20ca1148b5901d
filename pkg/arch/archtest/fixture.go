package archtest

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Fixture is a folder of reference tensors: truth.safetensors, grads_truth.safetensors and the weights that they are of.
type Fixture struct {
	Dir    string
	Model  lm.Model
	Tensor func(s lm.Spec, layer int) (name string, dims []int) // of the weights; layer −1 for those outside; no name: not in the file
	Probes map[string]string                                    // probes by the names of reference tensors
	Device *xla.Device

	truth, weights, gradients map[string]*checkpoint.Tensor
}

// Check recomputes in float64 everything that the folder holds: the main run, a run from a given state with its gradients, packed documents,
// and the gradient of every parameter.
func (f Fixture) Check(t *testing.T) {
	t.Helper()
	for name, into := range map[string]*map[string]*checkpoint.Tensor{"truth": &f.truth, "model": &f.weights, "grads_truth": &f.gradients} {
		file, err := checkpoint.ReadSafetensors(filepath.Join(f.Dir, name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		*into = file.Tensors
	}
	w, err := lm.NewWeights(f.Model, 1, func(_ int, s lm.Spec) ([]float64, error) { return f.parameter(s, f.weights) })
	if err != nil {
		t.Fatal(err)
	}
	pass := lm.NewPass(f.Device, w)
	for _, prefix := range []string{"", "carry.", "packed.", "const.", "short."} {
		if f.truth[prefix+"input_ids"] != nil {
			f.run(t, pass, prefix)
		}
	}
}

// parameter assembles a parameter from the tensors of its layers.
func (f Fixture) parameter(s lm.Spec, from map[string]*checkpoint.Tensor) ([]float64, error) {
	layers := 1
	if s.Layered {
		layers = s.Dims[0]
	}
	var all []float64
	for i := range layers {
		layer := i
		if !s.Layered {
			layer = -1
		}
		name, dims := f.Tensor(s, layer)
		if name == "" {
			all = append(all, make([]float64, s.Size()/layers)...)
			continue
		}
		if from[name] == nil {
			return nil, fmt.Errorf("tensor %s is missing", name)
		}
		if !slices.Equal(from[name].Shape, dims) {
			return nil, fmt.Errorf("tensor %s has shape %v, must be %v", name, from[name].Shape, dims)
		}
		v, err := from[name].Float64s()
		if err != nil {
			return nil, err
		}
		all = append(all, v...)
	}
	return all, nil
}

func (f Fixture) run(t *testing.T, pass *lm.Pass, prefix string) {
	t.Helper()
	ids := f.truth[prefix+"input_ids"]
	flat, err := ids.Int64s()
	if err != nil {
		t.Fatal(err)
	}
	batch, tokens := ids.Shape[0], ids.Shape[1]
	in := lm.PassInput{Gradient: prefix == "" || prefix == "carry."}
	for b := range batch {
		row := make([]int32, tokens)
		for i := range row {
			row[i] = int32(flat[b*tokens+i])
		}
		in.Rows = append(in.Rows, row)
	}
	in.State = f.initial(t, prefix, batch)
	if name := prefix + "grad_out_" + f.Model.State(1)[0].Name; f.truth[name] != nil {
		c, v := f.truth[name], f.values(t, name)
		for i := range v {
			v[i] *= 1e-3
		}
		in.Cotangent = tensors.FromFlatDataAndDimensions(v, c.Shape...)
	}
	for reference, probe := range f.Probes {
		if f.truth[prefix+reference] != nil && lm.HasProbe(f.Model, probe) {
			in.Probes = append(in.Probes, probe)
		}
	}
	packed := f.truth[prefix+"cu_seqlens"]
	if packed != nil {
		bounds, err := packed.Int64s()
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range bounds {
			if in.Documents = append(in.Documents, int(b)); i > 0 {
				in.Ends = append(in.Ends, int(b)-1)
			}
		}
		for _, s := range f.Model.State(1) {
			if probe := lm.Of(lm.States, f.Model, s.Name); lm.HasProbe(f.Model, probe) {
				in.Probes = append(in.Probes, probe)
			}
		}
	} else if f.truth[prefix+"stats.absmax"] != nil {
		in.Probes = append(in.Probes, lm.States)
		for i := range tokens {
			in.Ends = append(in.Ends, i)
		}
	}
	slices.Sort(in.Probes)
	out, err := pass.Run(in)
	if err != nil {
		t.Fatalf("%s%s: %v", f.Dir, prefix, err)
	}
	f.compare(t, prefix, out, packed != nil)
}

// initial is the state that a run starts from, nil for zeros; a cache is full.
func (f Fixture) initial(t *testing.T, prefix string, batch int) lm.State {
	t.Helper()
	state, room := lm.State{}, 0.0
	for _, s := range f.Model.State(batch) {
		dims, v := s.Dims, make([]float64, s.Size())
		if reference := f.truth[prefix+stateName(s.Name, "0")]; reference != nil {
			if dims, v = reference.Shape, f.values(t, prefix+stateName(s.Name, "0")); len(dims) == 0 { // the same everywhere
				dims, v = s.Dims, slices.Repeat(v, s.Size())
			}
			if s.Grows {
				room = float64(dims[s.Along(lm.Position)])
			}
		} else if s.Role != lm.Length || room == 0 {
			continue
		}
		for i := range v {
			if s.Role == lm.Length {
				v[i] = room
			}
		}
		state[s.Name] = tensors.FromFlatDataAndDimensions(v, dims...)
	}
	if len(state) == 0 {
		return nil
	}
	return state
}

// stateName puts what a reference is called before the last part of a window's name: conv_state.q, 0 → conv_state0.q.
func stateName(state, suffix string) string {
	if name, part, cut := strings.Cut(state, "."); cut && name == "conv_state" {
		return name + suffix + "." + part
	}
	return state + suffix
}

func (f Fixture) compare(t *testing.T, prefix string, out lm.PassOutput, packed bool) {
	t.Helper()
	check := func(name string, got *tensors.Tensor) {
		t.Helper()
		if got != nil && f.truth[prefix+name] != nil {
			v, err := lm.Float64s(got)
			if err != nil {
				t.Fatal(err)
			}
			f.near(t, prefix+name, v, f.truth[prefix+name])
		}
	}
	check("logits", out.Logits)
	check("hidden.final_norm", out.Hidden)
	check("loss.per_token", out.Loss)
	check("objective", out.Objective)
	if prefix == "" {
		check("loss.mean", out.Objective)
	}
	for reference, probe := range f.Probes {
		if p := out.Probes[probe]; p != nil && probe != lm.Sum && probe != lm.Squares {
			check(reference, p)
		}
	}
	f.statistics(t, prefix, out)
	for _, s := range f.Model.State(1) {
		if packed {
			check(stateName(s.Name, ""), out.Probes[lm.Of(lm.States, f.Model, s.Name)])
			continue
		}
		for _, name := range []string{stateName(s.Name, ""), stateName(s.Name, ".final")} {
			if s.Grows && f.truth[prefix+name] != nil {
				f.near(t, prefix+name, held(t, s, out.State[s.Name], f.truth[prefix+name].Shape), f.truth[prefix+name])
				continue
			}
			check(name, out.State[s.Name])
		}
		if name := "grad_" + stateName(s.Name, "0"); s.Grows && f.truth[prefix+name] != nil {
			f.near(t, prefix+name, held(t, s, out.Initial[s.Name], f.truth[prefix+name].Shape), f.truth[prefix+name])
		} else {
			check(name, out.Initial[s.Name])
		}
	}
	if prefix != "" || out.Gradient == nil {
		return
	}
	for _, s := range f.Model.Parameters(1) {
		got, err := lm.Float64s(out.Gradient[s.Name])
		if err != nil {
			t.Fatal(err)
		}
		layers := 1
		if s.Layered {
			layers = s.Dims[0]
		}
		for i := range layers {
			layer := i
			if !s.Layered {
				layer = -1
			}
			if name, _ := f.Tensor(s, layer); name != "" {
				if f.gradients[name] == nil {
					t.Fatalf("gradient of %s is missing", name)
				}
				size := len(got) / layers
				f.near(t, "gradient of "+name, got[i*size:][:size], f.gradients[name])
			}
		}
	}
}

// held are the positions of a cache that a reference of this shape has.
func held(t *testing.T, s lm.Spec, cache *tensors.Tensor, shape []int) (out []float64) {
	t.Helper()
	all, err := lm.Float64s(cache)
	if err != nil {
		t.Fatal(err)
	}
	at := s.Along(lm.Position)
	row := s.Size() / s.Dims[at]
	for _, d := range s.Dims[:at] {
		row /= d
	}
	room := cache.Shape().Dimensions[at] * row
	for i := 0; i < len(all); i += room {
		out = append(out, all[i:i+shape[at]*row]...)
	}
	return out
}

// statistics of the recurrent state: mean, var and absmax from its probes.
func (f Fixture) statistics(t *testing.T, prefix string, out lm.PassOutput) {
	t.Helper()
	spec, err := lm.StateOf(f.Model, "")
	if err != nil {
		return
	}
	_, values, keys := spec.Matrices()
	n := float64(values * keys)
	if out.Probes[lm.Sum] != nil && out.Probes[lm.Squares] != nil && f.truth[prefix+"stats.mean"] != nil {
		sum, _ := lm.Float64s(out.Probes[lm.Sum])
		squares, _ := lm.Float64s(out.Probes[lm.Squares])
		for i := range sum {
			sum[i] /= n
			squares[i] = squares[i]/n - sum[i]*sum[i]
		}
		f.near(t, prefix+"stats.mean", sum, f.truth[prefix+"stats.mean"])
		f.near(t, prefix+"stats.var", squares, f.truth[prefix+"stats.var"])
	}
	if at := out.Probes[lm.States]; at != nil && f.truth[prefix+"stats.absmax"] != nil { // [layers, tokens, batch, heads, …]
		v, _ := lm.Float64s(at)
		d, size := at.Shape().Dimensions, values*keys
		got := make([]float64, len(v)/size)
		for i := range got {
			h, b, tok, l := i%d[3], i/d[3]%d[2], i/(d[3]*d[2])%d[1], i/(d[3]*d[2]*d[1])
			largest := 0.0
			for _, x := range v[i*size:][:size] {
				largest = max(largest, math.Abs(x))
			}
			got[((l*d[2]+b)*d[1]+tok)*d[3]+h] = largest
		}
		f.near(t, prefix+"stats.absmax", got, f.truth[prefix+"stats.absmax"])
	}
}

func (f Fixture) values(t *testing.T, name string) (values []float64) {
	t.Helper()
	if f.truth[name].DType == "I64" {
		whole, err := f.truth[name].Int64s()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range whole {
			values = append(values, float64(v))
		}
		return values
	}
	v, err := f.truth[name].Float64s()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(v)
}

// near holds float64 references to 1e-10 and rounded ones to float32's rounding, of the largest entry or 1.
func (f Fixture) near(t *testing.T, name string, got []float64, reference *checkpoint.Tensor) {
	t.Helper()
	want, err := reference.Float64s()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	largest := 0.0
	for _, x := range want {
		largest = max(largest, math.Abs(x))
	}
	allowed := 1e-10 * max(1, largest)
	if reference.DType == "F32" {
		allowed = 1.2e-7*largest + 1e-12
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= allowed) {
			t.Errorf("%s: entry %d is %g, want %g ± %.1g", name, i, got[i], want[i], allowed)
			return
		}
	}
}
