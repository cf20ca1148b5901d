package mamba2_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
)

// oracle is the model by its definition in float64, one sequence, one token at a time.
type oracle struct {
	mamba2.Config
	params        map[string][]float64 // one member, layered ones stacked
	state, window [][]float64          // by layer: [heads, headDim, state], [channels, kernel]
}

// newOracle starts from states as Model.State lists them for one sequence; nil is zero.
func newOracle(c mamba2.Config, params map[string][]float64, state, window []float64) *oracle {
	o := &oracle{Config: c, params: params}
	for l := range c.Layers {
		cut := func(v []float64, n int) []float64 {
			own := make([]float64, n)
			if v != nil {
				copy(own, v[l*n:])
			}
			return own
		}
		o.state = append(o.state, cut(state, c.Inner()*c.State))
		o.window = append(o.window, cut(window, c.Channels()*c.Kernel))
	}
	return o
}

func (o *oracle) layer(l int, name string) []float64 {
	v := o.params[name]
	n := len(v) / o.Layers
	return v[l*n:][:n]
}

func (o *oracle) states() (state, window []float64) {
	for l := range o.Layers {
		state, window = append(state, o.state[l]...), append(window, o.window[l]...)
	}
	return state, window
}

// next feeds a token; the logits are computed if asked for.
func (o *oracle) next(id int32, logits bool) []float64 {
	r := append([]float64{}, o.params["backbone.embeddings.weight"][int(id)*o.Width:][:o.Width]...)
	for l := range o.Layers {
		for i, v := range o.mixer(l, normed(r, o.layer(l, "norm.weight"), 1, o.Eps)) {
			r[i] += v
		}
	}
	if !logits {
		return nil
	}
	head := o.params["lm_head.weight"]
	if o.Tied {
		head = o.params["backbone.embeddings.weight"]
	}
	return times(head, normed(r, o.params["backbone.norm_f.weight"], 1, o.Eps), nil)
}

func (o *oracle) mixer(l int, u []float64) []float64 {
	inner, channels, heads := o.Inner(), o.Channels(), o.Heads()
	var inBias, outBias []float64
	if o.UseBias {
		inBias, outBias = o.layer(l, "mixer.in_proj.bias"), o.layer(l, "mixer.out_proj.bias")
	}
	proj := times(o.layer(l, "mixer.in_proj.weight"), u, inBias)
	conv := make([]float64, channels)
	for c := range channels {
		w := o.window[l][c*o.Kernel:][:o.Kernel]
		copy(w, w[1:])
		w[o.Kernel-1] = proj[inner+c]
		for k, v := range w {
			conv[c] += v * o.layer(l, "mixer.conv1d.weight")[c*o.Kernel+k]
		}
		if o.ConvBias {
			conv[c] += o.layer(l, "mixer.conv1d.bias")[c]
		}
		conv[c] *= logistic(conv[c])
	}
	y := make([]float64, inner)
	for j := range heads {
		dt := proj[inner+channels+j] + o.layer(l, "mixer.dt_bias")[j]
		delta := max(math.Log1p(math.Exp(-math.Abs(dt)))+max(dt, 0), o.DeltaMin)
		if o.DeltaMax > 0 {
			delta = min(delta, o.DeltaMax)
		}
		alpha := math.Exp(-delta * math.Exp(o.layer(l, "mixer.A_log")[j]))
		group := j / (heads / o.Groups)
		b := conv[inner+group*o.State:][:o.State]
		c := conv[inner+(o.Groups+group)*o.State:][:o.State]
		for i := j * o.HeadDim; i < (j+1)*o.HeadDim; i++ {
			h := o.state[l][i*o.State:][:o.State]
			y[i] = o.layer(l, "mixer.D")[j] * conv[i]
			for n := range h {
				h[n] = alpha*h[n] + delta*conv[i]*b[n]
				y[i] += h[n] * c[n]
			}
			y[i] *= proj[i] * logistic(proj[i])
		}
	}
	groups := 1
	if o.NormPer {
		groups = o.Groups
	}
	return times(o.layer(l, "mixer.out_proj.weight"), normed(y, o.layer(l, "mixer.norm.weight"), groups, o.Eps), outBias)
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// times is W x + bias.
func times(w, x, bias []float64) []float64 {
	out := make([]float64, len(w)/len(x))
	for i := range out {
		row := w[i*len(x):][:len(x)]
		for j, v := range x {
			out[i] += row[j] * v
		}
		if bias != nil {
			out[i] += bias[i]
		}
	}
	return out
}

// normed is the RMS norm of each of the groups times w.
func normed(x, w []float64, groups int, eps float64) []float64 {
	out := make([]float64, len(x))
	n := len(x) / groups
	for g := range groups {
		sum := 0.0
		for _, v := range x[g*n:][:n] {
			sum += v * v
		}
		scale := 1 / math.Sqrt(sum/float64(n)+eps)
		for i := g * n; i < (g+1)*n; i++ {
			out[i] = x[i] * scale * w[i]
		}
	}
	return out
}

// drawn is a model with parameters and a state in which nothing is neutral.
func drawn(t testing.TB, seed uint64, change func(c *mamba2.Config)) (m mamba2.Model, params map[string][]float64, state, window []float64) {
	t.Helper()
	c := mamba2.Default(16, 2, 32)
	c.HeadDim, c.State, c.Chunk = 8, 6, 8
	if change != nil {
		change(&c)
	}
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 3))
	params = map[string][]float64{}
	for name, v := range m.Initial(seed) {
		for _, x := range v {
			if name != "mixer.dt_bias" && name != "mixer.A_log" {
				x += 0.1 * float32(r.NormFloat64())
			}
			params[name] = append(params[name], float64(x))
		}
	}
	normal := func(n int) (v []float64) {
		for range n {
			v = append(v, r.NormFloat64())
		}
		return v
	}
	specs := m.State(1)
	return m, params, normal(specs[0].Size()), normal(specs[1].Size())
}

func weightsOf(t testing.TB, m mamba2.Model, dtype dtypes.DType, members ...map[string][]float64) *lm.Weights {
	t.Helper()
	var w *lm.Weights
	var err error
	if dtype == dtypes.Float64 {
		w, err = lm.NewWeights(m, len(members), func(r int, s lm.Spec) ([]float64, error) { return members[r][s.Name], nil })
	} else {
		w, err = lm.NewWeights(m, len(members), func(r int, s lm.Spec) (v []float32, _ error) {
			for _, x := range members[r][s.Name] {
				v = append(v, float32(x))
			}
			return v, nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestModelEqualsItsDefinition over shapes that the reference models do not have.
func TestModelEqualsItsDefinition(t *testing.T) {
	for name, change := range map[string]func(c *mamba2.Config){
		"plain":                 nil,
		"groups, norm of each":  func(c *mamba2.Config) { c.Groups, c.NormPer = 2, true },
		"a group a head":        func(c *mamba2.Config) { c.Groups, c.NormPer = 4, false },
		"biases, untied":        func(c *mamba2.Config) { c.UseBias, c.ConvBias, c.Tied = true, false, false },
		"limits":                func(c *mamba2.Config) { c.DeltaMin, c.DeltaMax = 0.004, 0.02 },
		"kernel 2, one layer":   func(c *mamba2.Config) { c.Kernel, c.Layers = 2, 1 },
		"kernel 7, large eps":   func(c *mamba2.Config) { c.Kernel, c.Eps = 7, 0.1 },
		"odd sizes, expand 3":   func(c *mamba2.Config) { c.Width, c.HeadDim, c.Expand, c.State, c.Vocab, c.Chunk = 10, 5, 3, 3, 19, 7 },
		"one head, state 1":     func(c *mamba2.Config) { c.HeadDim, c.State = 32, 1 },
		"chunk longer than all": func(c *mamba2.Config) { c.Chunk = 512 },
	} {
		m, params, state, window := drawn(t, 5, change)
		for _, n := range []int{1, 2, 3, 17} {
			row := tokens(n, m.Vocab())
			for _, carried := range []bool{false, true} {
				o := newOracle(m.Config, params, nil, nil)
				if carried {
					o = newOracle(m.Config, params, state, window)
				}
				var want []float64
				for _, id := range row {
					want = append(want, o.next(id, true)...)
				}
				wantState, wantWindow := o.states()
				for _, infer := range []bool{false, true} {
					args := []any{tensors.FromFlatDataAndDimensions(row, 1, n)}
					if carried {
						for i, v := range [][]float64{state, window} {
							args = append(args, tensors.FromFlatDataAndDimensions(v, m.State(1)[i].Dims...))
						}
					}
					got := evaluate(t, devices(t)[0], weightsOf(t, m, dtypes.Float64, params), func(p map[string]*Node, in []*Node) []*Node {
						c := lm.Call{Params: p, Tokens: in[0], Options: lm.Options{Infer: infer}}
						if carried {
							c.State = byName(m, in[1:])
						}
						out := m.Forward(c)
						return []*Node{m.Logits(c, out.Hidden), out.State["state"], out.State["conv_state"]}
					}, args...)
					label := fmt.Sprintf("%s, %d tokens, carried %v, infer %v: ", name, n, carried, infer)
					near(t, label+"logits", got[0], want, 1e-11)
					near(t, label+"state", got[1], wantState, 1e-11)
					near(t, label+"window", got[2], wantWindow, 1e-11)
				}
			}
		}
	}
}
