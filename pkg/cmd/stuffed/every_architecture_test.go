package main

import (
	"fmt"
	"strings"
	"testing"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
)

// Every architecture goes through every command. What one of them cannot do is an error that says why.
func TestEveryArchitectureThroughEveryCommand(t *testing.T) {
	seen := map[string]bool{"toy": true, "mamba2": true} // have tests of their own
	for _, a := range everyArchitecture() {
		seen[a.name] = true
		t.Run(a.name, func(t *testing.T) {
			p := every{proof{t, t.TempDir()}, a}
			model := p.trains()
			p.reads(model)
			p.forwards(model)
			p.watches(model)
			p.changes(model)
			p.mitigates(model)
			p.studies()
		})
	}
	for _, a := range lm.Architectures() {
		if !seen[a.Name] {
			t.Errorf("%s is in no test of all commands", a.Name)
		}
	}
}

// architectureCase is a small configuration and what is refused, with part of the reason.
type architectureCase struct {
	name, sizes string
	states      []string          // of forward's output
	refused     map[string]string // by kind of intervention or mitigation
	stateless   bool              // no recurrent state
}

func everyArchitecture() []architectureCase {
	const narrow = "hidden_size=16 intermediate_size=16 "
	noWrite := map[string]string{"b_scale": `no control "b_scale"; it has delta_scale`, "window": "a delta rule erases"}
	noDelta := map[string]string{"delta_scale": `no control "delta_scale"; it has log_alpha_shift`}
	cache := map[string]string{"alpha_scale": `no control "log_alpha_shift"; it has y_scale`, "alpha_clamp_high": `no control "log_alpha_min"`, "b_scale": `no control "b_scale"`,
		"delta_scale": `no control "delta_scale"`, "rri": "no state that decays", "state_norm_chunked": "no recurrent state whose norm"}
	without := func(more map[string]string, name, why string) map[string]string {
		out := map[string]string{name: why}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	fixed := map[string]string{"alpha_scale": `no control "log_alpha_shift"`, "alpha_clamp_high": `no control "log_alpha_min"`, "delta_scale": `no control "delta_scale"`,
		"rri": "no token of"}
	gated, shifts := []string{"state"}, []string{"state", "shift.att", "shift.ffn"}
	return []architectureCase{
		{name: "mamba1", sizes: "hidden_size=16 state_size=4", states: []string{"state", "conv_state"},
			refused: map[string]string{"alpha_scale": "it has delta_scale, delta_min, delta_max, a_scale", "alpha_clamp_high": "it has delta_scale", "rri": "common factor is a_scale",
				"window": "decay differs by channel and key"}},
		{name: "rwkv4", sizes: narrow, states: []string{"num", "den", "max", "shift.att"},
			refused: without(without(fixed, "window", "logarithms of positive weights"), "state_norm_chunked", "reads a quotient of its states")},
		{name: "rwkv5", sizes: narrow + "head_size=8", states: shifts, refused: noDelta},
		{name: "rwkv6", sizes: narrow + "head_size=8 mix_rank=4 decay_rank=4", states: shifts, refused: noDelta},
		{name: "rwkv7", sizes: narrow + "head_dim=8 decay_low_rank_dim=4 gate_low_rank_dim=4 a_low_rank_dim=4 v_low_rank_dim=4", states: shifts,
			refused: noWrite},
		{name: "gla", sizes: narrow + "num_heads=2", states: gated, refused: noDelta},
		{name: "hgrn2", sizes: narrow + "expand_ratio=8", states: gated, refused: noDelta},
		{name: "retnet", sizes: narrow + "num_heads=2", states: []string{"state", "position"}, refused: fixed},
		{name: "deltanet", sizes: narrow + "num_heads=2", states: []string{"state", "conv_state.q"},
			refused: without(without(without(noWrite, "alpha_scale", `no control "log_alpha_shift"`), "alpha_clamp_high", `no control "log_alpha_min"`), "rri", "no token of deltanet changes its decay")},
		{name: "gated-deltanet", sizes: narrow + "num_heads=2 head_dim=8", states: []string{"state", "conv_state.v"}, refused: noWrite},
		{name: "kda", sizes: narrow + "num_heads=2 head_dim=8", states: []string{"state", "conv_state.k"}, refused: noWrite},
		{name: "llama", sizes: narrow + "num_attention_heads=2 num_key_value_heads=1", states: []string{"kv.key", "kv.value", "kv.length"}, refused: cache, stateless: true},
		{name: "gpt-neox", sizes: narrow + "num_attention_heads=2", states: []string{"kv.key", "kv.value", "kv.length"}, refused: cache, stateless: true},
	}
}

type every struct {
	proof
	architectureCase
}

// tries runs a command that must succeed, or be refused with the reason that the case gives for a name.
func (p every) tries(name string, out string, err error) {
	p.Helper()
	if why := p.architectureCase.refused[name]; why != "" {
		p.proof.refused(why, err)
		return
	}
	if err != nil {
		p.Errorf("%s: %v\n%s", name, err, out)
	}
}

// trains from zero, carried and passed states, stops and goes on, exports, and returns a model.
func (p every) trains() (model string) {
	args := []string{"--backend", "go", "model.architecture=" + p.name, "model.num_hidden_layers=1", "model.vocab_size=272", "output=" + p.path("run"), "data.keys=12", "data.values=4",
		"data.gap=4", "train_length=8", "batch_tokens=32", "warmup=1", "log.every=1", "valid.every=-1", "chain=3", "policy=zero,carried,passed", "seeds=1", "lr=0.01", "steps=4",
		"snapshots.every=2"}
	for _, size := range strings.Fields(p.sizes) {
		args = append(args, "model."+size)
	}
	p.resumes(args...)
	model = p.path("run/models/carried-lr0.01-seed1/final")
	p.ok(execute(exportCommand(), model, "--output", p.path("copy"), "--dtype", "BF16"))
	return model
}

// reads describes, scores, continues and asks.
func (p every) reads(model string) {
	out := p.ok(execute(infoCommand(), model, "--backend", "none"))
	for _, want := range []string{fmt.Sprintf("%q", p.name), "state, recurrent alone"} {
		if !strings.Contains(out, want) {
			p.Errorf("info says no %s: %s", want, out)
		}
	}
	if p.stateless && !strings.Contains(out, "cache") {
		p.Errorf("info says nothing of a cache that grows: %s", out)
	}
	p.scores("--model", model, "--backend", "go")
}

// forwards runs tokens whole and split, to the same logits, and documents with gradients.
func (p every) forwards(model string) {
	ids, err := checkpoint.FromInt64([]int{1, 9}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9})
	if err != nil {
		p.Fatal(err)
	}
	run := func(in map[string]*checkpoint.Tensor, args ...string) map[string]*checkpoint.Tensor {
		if err := checkpoint.WriteSafetensors(p.path("in.safetensors"), in, nil); err != nil {
			p.Fatal(err)
		}
		p.ok(execute(forwardCommand(), append(args, "--model", model, "--backend", "go", "--input", p.path("in.safetensors"), "--output", p.path("out.safetensors"))...))
		out, err := checkpoint.ReadSafetensors(p.path("out.safetensors"))
		if err != nil {
			p.Fatal(err)
		}
		return out.Tensors
	}
	in := map[string]*checkpoint.Tensor{"input_ids": ids}
	whole, split := run(in), run(in, "--split", "1,5")
	a, err := whole["logits"].Float64s()
	if err != nil {
		p.Fatal(err)
	}
	b, err := split["logits"].Float64s()
	if err != nil {
		p.Fatal(err)
	}
	for i := range a {
		if d := a[i] - b[i]; d > 1e-5 || d < -1e-5 {
			p.Fatalf("split logits differ by %g", d)
		}
	}
	for _, name := range p.states {
		if whole[name+".final"] == nil {
			p.Errorf("forward gives no %s.final", name)
		}
	}
	if in["cu_seqlens"], err = checkpoint.FromInt64([]int{3}, []int64{0, 4, 9}); err != nil {
		p.Fatal(err)
	}
	gradients := 0
	for name := range run(in, "--grads") {
		if strings.HasPrefix(name, "grad.") {
			gradients++
		}
	}
	if gradients < 10 {
		p.Errorf("%d gradients", gradients)
	}
}

// watches traces the states and judges them.
func (p every) watches(model string) {
	out, err := execute(traceCommand(), "--model", model, "--backend", "go", "--length", "64", "--bucket", "8", "--piece", "16", "--train-length", "16", "--output", p.path("T.csv"))
	if p.stateless {
		p.proof.refused("has no recurrent state; its state is kv.key", err)
		_, err = execute(traceCommand(), "--model", model, "--backend", "go", "--length", "64", "--columns", "norm", "--output", p.path("N.csv"))
		p.proof.refused("has no recurrent state; its state is kv.key", err)
		return
	}
	p.ok(out, err)
	p.rows("T.csv", 0)
	p.ok(execute(collapseCommand(), "--states", p.path("T.csv"), "--losses", p.path("T.losses.csv"), "--train-length", "16", "--output", p.path("V.json")))
}

func (p every) onRecall(model string, args ...string) []string {
	return append(args, "--model", model, "--backend", "go", "--train-length", "8", "--gap", "4", "--keys", "12", "--values", "4", "--multiples", "1,4", "--sequences", "2", "--piece", "16")
}

// changes decays, writes and outputs by role.
func (p every) changes(model string) {
	plan := p.write("plan.json", `[{"kind": "ablate", "heads": [{"layer": 0, "head": 0}]}]`)
	p.ok(execute(interveneCommand(), p.onRecall(model, "--plan", plan, "--output", p.path("plan.csv"))...))
	p.rows("plan.csv", 4)
	for _, kind := range []string{"alpha_scale", "alpha_clamp_high", "b_scale", "delta_scale"} {
		out, err := execute(interveneCommand(), p.onRecall(model, "--kind", kind, "--doses", "0.5", "--heads", "0.0", "--random", "0", "--output", p.path(kind+".csv"))...)
		p.tries(kind, out, err)
	}
}

// mitigates with methods 1, 2 and 3.
func (p every) mitigates(model string) {
	for _, method := range []string{"none", "rri", "state_norm_chunked", "window"} {
		out, err := execute(mitigateCommand(), p.onRecall(model, "--methods", method, "--choosing", "1", "--wide=false", "--output", p.path(method+".csv"))...)
		p.tries(method, out, err)
	}
}

// studies runs a row of a plan.
func (p every) studies() {
	model := fmt.Sprintf(`"architecture": %q, "num_hidden_layers": 1`, p.name)
	for _, size := range strings.Fields(p.sizes) {
		name, value, _ := strings.Cut(size, "=")
		model += fmt.Sprintf(", %q: %s", name, value)
	}
	plan := p.write("every.json", `{"name": "every", "about": "a test", "base": {"train": {"data": {"keys": 12, "values": 4}, "model": {`+model+`},
 "train_length": 16, "batch_tokens": 64, "warmup": 2, "chain": 4, "policy": ["zero"], "seeds": [1]},
 "tokens": 256, "gap_share": 0.5, "evaluate": {"times": 8, "sequences": 2, "traced": 2, "shares": []}},
 "groups": [{"name": "one", "axes": [{"field": "train.train_length", "values": [16]}]}]}`)
	p.runs(plan)
	p.rows("store/tables/outcome.parquet", 0)
}
