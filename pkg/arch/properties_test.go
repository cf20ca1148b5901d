package arch_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute/dtypes"

	_ "stuffed/pkg/arch"
	"stuffed/pkg/arch/archtest"
	"stuffed/pkg/arch/gateddeltanet"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// subject is how an architecture is tried: a small configuration, its recurrence written out, and what drives its gates to their ends.
type subject struct {
	fields  string // over the default configuration
	naive   recurrence
	extreme map[string]change // parameters that set the gates
	lowest  float64           // log α that they must reach; 0 where there is none to be driven
	unit    bool              // β reaches 0 and 1
}

// change is what becomes of entry i of a parameter.
type change func(i int, v float64) float64

// times enlarges a projection, so that a gate is wide open at one token and shut at the next.
func times(by float64) change { return func(_ int, v float64) float64 { return by * v } }

// among gives the entries these values in turn.
func among(values ...float64) change {
	return func(i int, _ float64) float64 { return values[i%len(values)] }
}

var subjects = map[string]subject{
	"mamba2": {fields: `{"width":16,"layers":2,"vocab":13,"head_dim":8,"state":4,"groups":2}`, naive: ssd,
		extreme: map[string]change{"mixer.dt_bias": among(-40, 200), "mixer.A_log": among(0, 3)}, lowest: -1000},
	"mamba1": {fields: `{"num_hidden_layers":2,"hidden_size":8,"vocab_size":13,"state_size":4}`, naive: selective,
		extreme: map[string]change{"mixer.dt_proj.bias": among(-40, 200), "mixer.A_log": among(0, 3, 3, 3)}, lowest: -20},
	"gla": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_heads":4,"num_kv_heads":2,"intermediate_size":8,"use_short_conv":true}`,
		naive: gate, extreme: map[string]change{"attn.gk_proj.1.weight": times(1e5)}, lowest: -50},
	"hgrn2": {fields: `{"num_hidden_layers":3,"hidden_size":16,"vocab_size":13,"expand_ratio":4,"intermediate_size":8,"use_short_conv":true,"use_lower_bound":false}`,
		naive: gate, extreme: map[string]change{"attn.f_proj.weight": times(1e4)}, lowest: -50},
	"retnet": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_heads":4,"num_kv_heads":2,"intermediate_size":8}`, naive: gate,
		extreme: map[string]change{"attn.k_proj.weight": times(1e4)}},
	"rwkv4": {fields: `{"num_hidden_layers":2,"hidden_size":12,"vocab_size":13}`, naive: average,
		extreme: map[string]change{"attention.time_decay": among(-40, 5), "attention.key.weight": times(1e3)}, lowest: -100},
	"rwkv5": {fields: `{"num_hidden_layers":2,"hidden_size":12,"vocab_size":13,"head_size":4}`, naive: gate,
		extreme: map[string]change{"attention.time_decay": among(-40, 5)}, lowest: -100},
	"rwkv6": {fields: `{"num_hidden_layers":2,"hidden_size":12,"vocab_size":13,"head_size":4,"mix_rank":3,"decay_rank":5,"intermediate_size":20}`, naive: gate,
		extreme: map[string]change{"attention.time_decay": among(-40, 5)}, lowest: -100},
	"rwkv7": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"head_dim":8,"intermediate_size":8,"decay_low_rank_dim":3,"gate_low_rank_dim":4,"a_low_rank_dim":3,"v_low_rank_dim":2}`,
		naive: erase, extreme: map[string]change{"attn.w_lora.lora.2.bias": among(-40, 200), "attn.a_lora.lora.2.bias": among(-200, 200, 0)}, lowest: -0.6},
	"deltanet": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_heads":2,"intermediate_size":8}`, naive: erase,
		extreme: map[string]change{"attn.b_proj.weight": times(1e4)}, unit: true},
	"gated-deltanet": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_heads":2,"num_v_heads":4,"head_dim":4,"intermediate_size":8}`, naive: erase,
		extreme: map[string]change{"attn.b_proj.weight": times(1e4), "attn.a_proj.weight": times(1e4)}, lowest: -50, unit: true},
	"kda": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_heads":2,"head_dim":4,"intermediate_size":8}`, naive: erase,
		extreme: map[string]change{"attn.b_proj.weight": times(1e4), "attn.f_proj.1.weight": times(1e6)}, lowest: -50, unit: true},
	"llama": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":6,"intermediate_size":8}`,
		naive: cache, extreme: map[string]change{"self_attn.k_proj.weight": times(1e4)}},
	"gpt-neox": {fields: `{"num_hidden_layers":2,"hidden_size":16,"vocab_size":13,"num_attention_heads":2,"intermediate_size":8}`, naive: cache,
		extreme: map[string]change{"attention.query_key_value.weight": times(1e3)}},
}

// byChannel is Mamba-1's Δ.
const byChannel = lm.Delta + "/channel"

// TestProperties tries every architecture of the registry: each must have a recurrence written out, agree with it and with itself, and
// stay finite where its gates are at their ends.
func TestProperties(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range lm.Architectures() {
		s, known := subjects[a.Name]
		if !known || s.naive == nil || len(s.extreme) == 0 {
			t.Errorf("architecture %s is not tried: it needs a line in subjects, with a recurrence and extreme gates", a.Name)
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			c, err := lm.Override(a.Default(), s.fields)
			if err != nil {
				t.Fatal(err)
			}
			m, err := c.New()
			if err != nil {
				t.Fatal(err)
			}
			archtest.Consistent(t, d, c)
			t.Run("naive", func(t *testing.T) { s.equalsNaive(t, d, m) })
			t.Run("extreme", func(t *testing.T) { s.staysFinite(t, d, m) })
		})
	}
}

// A Gated DeltaNet that does not erase is the sum of its writes, in chunks and by tokens.
func TestWithoutErasing(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	s := subjects["gated-deltanet"]
	c, err := lm.Override(gateddeltanet.Default(16, 2, 13), s.fields[:len(s.fields)-1]+`,"erase":false}`)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.New()
	if err != nil {
		t.Fatal(err)
	}
	archtest.Consistent(t, d, c)
	s.equalsNaive(t, d, m)
}

func rows(m lm.Model, seed uint64, tokens int) (rows [][]int32) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range 2 {
		row := make([]int32, tokens)
		for i := range row {
			row[i] = int32(r.IntN(m.Vocab()))
		}
		rows = append(rows, row)
	}
	return rows
}

// equalsNaive writes out the recurrence of every layer from what enters it, at lengths on both sides of the ends of chunks of two sizes,
// from a state that other tokens left.
func (s subject) equalsNaive(t *testing.T, d *xla.Device, m lm.Model) {
	pass := lm.NewPass(d, archtest.Wide(t, m, 3))
	before, err := pass.Run(lm.PassInput{Rows: rows(m, 99, 5)})
	if err != nil {
		t.Fatal(err)
	}
	var probes []string
	for _, p := range m.Probes() {
		if !lm.AtEnds(p.Name) {
			probes = append(probes, p.Name)
		}
	}
	for _, chunk := range []int{4, 16} {
		for _, tokens := range []int{1, chunk - 1, chunk, chunk + 1, 2*chunk + 1} {
			pass.Options = lm.Options{Chunk: chunk, Members: 1}
			out, err := pass.Run(lm.PassInput{Rows: rows(m, uint64(tokens), tokens), State: before.State, Probes: probes})
			if err != nil {
				t.Fatal(err)
			}
			for i := range m.Layers() {
				l := layer{t: t, index: i, model: m, weights: pass.Weights, before: before.State, out: out}
				y, state := s.naive(l)
				l.near(fmt.Sprintf("layer %d, %d tokens, chunks of %d: y", i, tokens, chunk), l.read(), y)
				for name, want := range state {
					l.near(fmt.Sprintf("layer %d, %d tokens, chunks of %d: %s", i, tokens, chunk, name), l.of(out.State[name]), want)
				}
			}
		}
	}
}

// staysFinite runs chunks, single tokens and gradients in float32 with gates at their ends.
func (s subject) staysFinite(t *testing.T, d *xla.Device, m lm.Model) {
	of := func(dtype dtypes.DType) *lm.Pass {
		wide := archtest.Wide(t, m, 3)
		for i, spec := range wide.Specs {
			v, err := lm.Float64s(wide.Values[i])
			if err != nil {
				t.Fatal(err)
			}
			if change := s.extreme[spec.Name]; change != nil {
				for j := range v {
					v[j] = change(j, v[j])
				}
			}
			if wide.Values[i], err = lm.FromFloat64s(v, dtype, spec.Dims...); err != nil {
				t.Fatal(err)
			}
		}
		return lm.NewPass(d, wide)
	}
	for name := range s.extreme {
		if _, err := lm.Find(m.Parameters(1), name); err != nil {
			t.Fatal(err)
		}
	}
	in := lm.PassInput{Rows: rows(m, 7, 33), Gradient: true}
	s.reachesEnds(t, m, of(dtypes.Float64), in)
	for _, cuts := range [][]int{nil, {16}} {
		in.Cuts = cuts
		for range 17 { // single tokens after the cut
			if n := len(in.Cuts); n > 0 {
				in.Cuts = append(in.Cuts, min(in.Cuts[n-1]+1, 33))
			}
		}
		out, err := of(dtypes.Float32).Run(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := archtest.Finite(out); err != nil {
			t.Errorf("cuts %v: %v", in.Cuts, err)
		}
	}
}

// reachesEnds sees to it that the gates are where the table says.
func (s subject) reachesEnds(t *testing.T, m lm.Model, pass *lm.Pass, in lm.PassInput) {
	in.Gradient = false
	for _, name := range []string{lm.LogAlpha, lm.Delta, byChannel} {
		if lm.HasProbe(m, name) {
			in.Probes = append(in.Probes, name)
		}
	}
	out, err := pass.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	ends := func(name string) (low, high float64) {
		v, err := lm.Float64s(out.Probes[name])
		if err != nil {
			t.Fatal(err)
		}
		return slices.Min(v), slices.Max(v)
	}
	if s.lowest < 0 {
		low, high := ends(lm.LogAlpha)
		if lm.HasProbe(m, byChannel) { // of Mamba-1, whose log α is shown as a mean; A is at most −1 here
			low, high = ends(byChannel)
			low, high = -high, -low
		}
		if low > s.lowest || high < -1e-6 || math.IsNaN(low) {
			t.Errorf("log α from %g to %g, must reach from %g to -1e-6", low, high, s.lowest)
		}
	}
	if s.unit {
		if low, high := ends(lm.Delta); low > 1e-6 || high < 1-1e-6 {
			t.Errorf("β from %g to %g, must reach from 0 to 1", low, high)
		}
	}
}

// Every architecture shows the inputs that a short convolution or a token shift holds: trace --window reads them.
func TestPastInputsAreShown(t *testing.T) {
	for _, a := range lm.Architectures() {
		c, err := lm.Override(a.Default(), subjects[a.Name].fields)
		if err != nil {
			t.Fatal(err)
		}
		m, err := c.New()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.State(1) {
			if probe := lm.Of(lm.Inputs, m, s.Name); (s.Role == lm.Convolution || s.Role == lm.Shift) && !lm.HasProbe(m, probe) {
				t.Errorf("%s holds %s and has no probe %s", a.Name, s.Name, probe)
			}
		}
	}
}
