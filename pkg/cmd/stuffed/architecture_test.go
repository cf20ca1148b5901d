package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/arch/toy"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
	"stuffed/xla"
)

// A second architecture goes through every command as the first does: who reaches through the seam breaks this test.
func TestAnotherArchitectureThroughEveryCommand(t *testing.T) {
	p := proof{t, t.TempDir()}
	p.trains()
	model := p.path("run/models/carried-lr0.01-seed1/final")
	p.reads(model)
	p.watches(model)
	p.intervenes(model)
	p.studies()
	p.verifies()
}

type proof struct {
	*testing.T
	dir string
}

func (p proof) path(name string) string { return filepath.Join(p.dir, filepath.FromSlash(name)) }

func (p proof) write(name, text string) string {
	p.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	return p.path(name)
}

// rows of a table that a command wrote.
func (p proof) rows(name string, want int) {
	p.Helper()
	got, err := table.Read(p.path(name))
	if err != nil {
		p.Fatal(err)
	}
	if want > 0 && got.Rows() != want || got.Rows() == 0 {
		p.Errorf("%s has %d rows, want %d", name, got.Rows(), want)
	}
}

// ok runs a command.
func (p proof) ok(out string, err error) string {
	p.Helper()
	if err != nil {
		p.Fatalf("%v\n%s", err, out)
	}
	return out
}

// refused runs a command that must say what is wrong.
func (p proof) refused(want string, err error) {
	p.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		p.Errorf("error %v, want one with %q", err, want)
	}
}

var toyModel = []string{"model.architecture=toy", "model.width=8", "model.layers=1"}

// trains with carried and passed states, stops, goes on, and exports.
func (p proof) trains() {
	args := append(append([]string{}, toyModel...), []string{"--backend", "go", "output=" + p.path("run"), "data.keys=12", "data.values=4", "data.gap=4", "train_length=8", "batch_tokens=32",
		"warmup=1", "log.every=1", "valid.every=-1", "chain=3", "policy=zero,carried,passed,gaussian,fitted,learned", "seeds=1", "lr=0.01", "model.vocab=272"}...)
	p.ok(execute(trainCommand(), append(args, "steps=2", "schedule=constant")...))
	p.refused("another configuration", errorOf(execute(trainCommand(), append(args, "--resume", "steps=3", "schedule=constant", "model.width=12")...)))
	os.RemoveAll(p.path("run"))
	p.resumes(append(args, "steps=4", "snapshots.every=2")...)
	p.refused("model.architecture", errorOf(execute(trainCommand(), "model.architecture=none", "--show")))
}

func errorOf(_ string, err error) error { return err }

// resumes trains, loses the last snapshot, goes on from the one before, and exports.
func (p proof) resumes(args ...string) {
	p.Helper()
	p.ok(execute(trainCommand(), args...))
	if err := os.RemoveAll(p.path("run/snapshots/step-00000004")); err != nil {
		p.Fatal(err)
	}
	p.ok(execute(trainCommand(), append(args, "--resume")...))
	p.ok(execute(exportCommand(), p.path("run"), "--output", p.path("exported")))
}

// reads scores, continues and asks.
func (p proof) reads(model string) {
	if out := p.ok(execute(infoCommand(), model, "--backend", "none")); !strings.Contains(out, `"architecture": "toy"`) {
		p.Errorf("info says %s", out)
	}
	common := []string{"--model", model, "--backend", "go"}
	p.scores(common...)
	ids, err := checkpoint.FromInt64([]int{1, 6}, []int64{1, 2, 3, 4, 5, 6})
	if err != nil {
		p.Fatal(err)
	}
	cu, err := checkpoint.FromInt64([]int{3}, []int64{0, 2, 6})
	if err != nil {
		p.Fatal(err)
	}
	if err := checkpoint.WriteSafetensors(p.path("in.safetensors"), map[string]*checkpoint.Tensor{"input_ids": ids, "cu_seqlens": cu}, nil); err != nil {
		p.Fatal(err)
	}
	p.ok(execute(forwardCommand(), append(common, "--input", p.path("in.safetensors"), "--output", p.path("out.safetensors"), "--grads")...))
	out, err := checkpoint.ReadSafetensors(p.path("out.safetensors"))
	if err != nil {
		p.Fatal(err)
	}
	for _, name := range []string{"memory.final", "normaliser.final", "previous.final", "grad.layers.0.q", "grad.embedding"} {
		if out.Tensors[name] == nil {
			p.Errorf("forward gives no %s", name)
		}
	}
}

// scores scores a text, continues one and asks for a key.
func (p proof) scores(common ...string) {
	p.Helper()
	text := p.write("text.txt", strings.Repeat("All work and no play. ", 6))
	p.ok(execute(lossCommand(), append(common, "--input", text, "--length", "64", "--output", p.path("loss.csv"))...))
	p.rows("loss.csv", 0)
	p.ok(execute(generateCommand(), append(common, "--prompt", "abc", "--tokens", "4")...))
	p.ok(execute(passkeyCommand(), append(common, "--lengths", "300", "--depths", "1", "--generate", "2", "--output", p.path("keys.csv"))...))
	p.rows("keys.csv", 1)
}

// watches traces and judges.
func (p proof) watches(model string) {
	common := []string{"--model", model, "--backend", "go", "--length", "64", "--bucket", "8", "--piece", "16", "--train-length", "16"}
	p.ok(execute(traceCommand(), append(common, "--window", "--channels", "0", "--entries", "1/2/3", "--histogram", "15,63", "--output", p.path("T.csv"))...))
	p.rows("T.csv", 8*2)
	p.rows("T.window.csv", 8)
	p.rows("T.channels.csv", 8*(2*3+2*2*4))
	p.rows("T.entries.csv", 8)
	p.ok(execute(collapseCommand(), "--states", p.path("T.csv"), "--losses", p.path("T.losses.csv"), "--train-length", "16", "--output", p.path("V.json")))
	p.refused(`no probe "delta"`, errorOf(execute(traceCommand(), append(common, "--columns", "delta", "--output", p.path("bad.csv"))...)))
}

// intervenes scales the decay, ablates a head, and mitigates.
func (p proof) intervenes(model string) {
	common := []string{"--model", model, "--backend", "go", "--train-length", "8", "--gap", "4", "--keys", "12", "--values", "4",
		"--multiples", "1,4", "--sequences", "2", "--piece", "16"}
	with := func(args ...string) []string { return append(append([]string{}, common...), args...) }
	plan := p.write("plan.json", `[{"kind": "alpha_scale", "value": 0.9, "heads": [{"layer": 0, "head": 0}]}, {"kind": "ablate", "heads": [{"layer": 0, "head": 1}]}]`)
	p.ok(execute(interveneCommand(), with("--plan", plan, "--output", p.path("plan.csv"))...))
	p.rows("plan.csv", 4)
	p.ok(execute(interveneCommand(), with("--kind", "a_scale", "--doses", "1,2", "--heads", "top:1", "--random", "1", "--output", p.path("dose.csv"))...))
	p.rows("dose.csv", 2*(1+2+2))
	bad := p.write("bad.json", `[{"kind": "dt_scale", "value": 2}]`)
	p.refused("it has a_scale, log_alpha_shift, y_scale", errorOf(execute(interveneCommand(), with("--plan", bad, "--output", p.path("bad.csv"))...)))
	p.ok(execute(mitigateCommand(), with("--methods", "none,layer_a", "--choosing", "1", "--output", p.path("m.csv"))...))
	p.rows("m.csv", 4)
	for method, want := range map[string]string{"window": "in one way only", "delta_constant": `no control "delta_scale"`, "filter": `no probe "delta"`} {
		p.refused(want, errorOf(execute(mitigateCommand(), with("--methods", method, "--choosing", "1", "--output", p.path(method+".csv"))...)))
	}
}

// studies runs a plan of one row.
func (p proof) studies() {
	plan := p.write("toy.json", `{"name": "toy", "about": "a test", "base": {
 "train": {"data": {"keys": 12, "values": 4}, "model": {"architecture": "toy", "layers": 1, "width": 8},
  "train_length": 16, "batch_tokens": 64, "warmup": 2, "chain": 4, "policy": ["zero"], "seeds": [1, 2]},
 "tokens": 256, "gap_share": 0.5, "evaluate": {"times": 8, "sequences": 2, "traced": 2, "shares": []}},
 "groups": [{"name": "keys", "axes": [{"field": "train.model.keys", "values": [4, 2]}]}]}`)
	if out := p.ok(execute(studyCommand(), "plan", plan)); !strings.Contains(out, "toy, N 4") {
		p.Errorf("the plan lists %s", out)
	}
	p.runs(plan)
	p.rows("store/tables/outcome.parquet", 4)
	p.rows("store/tables/heads.parquet", 2*2*2)
}

// runs runs the rows of a plan, for which the command starts processes, and collects them.
func (p proof) runs(plan string) {
	p.Helper()
	read, err := study.ReadPlan(plan)
	if err != nil {
		p.Fatal(err)
	}
	rows, err := read.Rows()
	if err != nil {
		p.Fatal(err)
	}
	store, err := study.OpenStore(p.path("store"))
	if err != nil {
		p.Fatal(err)
	}
	d, err := xla.Open("go")
	if err != nil {
		p.Fatal(err)
	}
	w := study.Worker{Store: store, Runner: &study.Trainer{Device: d}, Log: p.Logf}
	if sum, err := w.Run(p.Context(), rows); err != nil || sum.Done != len(rows) {
		p.Fatalf("%+v, %v", sum, err)
	}
	p.ok(execute(studyCommand(), "collect", plan, "--store", p.path("store")))
}

// verifies a folder of references that the definition made.
func (p proof) verifies() {
	c := toy.Config{Layers: 2, Width: 6, Heads: 2, Keys: 3, Values: 2, Vocab: 16}
	m, err := c.New()
	if err != nil {
		p.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 7)
	if err != nil {
		p.Fatal(err)
	}
	if err := models.Save(p.path("fixture"), m, w, 0, models.Default, "F32"); err != nil {
		p.Fatal(err)
	}
	narrow, err := w.Member(0)
	if err != nil {
		p.Fatal(err)
	}
	params := map[string][]float64{}
	for name, v := range narrow {
		for _, x := range v {
			params[name] = append(params[name], float64(x))
		}
	}
	ids := []int64{3, 1, 4, 1, 5, 9, 2, 6, 5, 3}
	row := make([]int32, len(ids))
	for i, id := range ids {
		row[i] = int32(id)
	}
	logits, state := c.Naive(params, row)
	truth := map[string]*checkpoint.Tensor{}
	put := func(name string, t *checkpoint.Tensor, err error) {
		if err != nil {
			p.Fatal(err)
		}
		truth[name] = t
	}
	t1, err := checkpoint.FromInt64([]int{1, len(ids)}, ids)
	put("input_ids", t1, err)
	t2, err := checkpoint.FromFloat64([]int{1, len(ids), c.Vocab}, logits)
	put("logits", t2, err)
	for _, s := range m.State(1) {
		t3, err := checkpoint.FromFloat64(s.Dims, state[s.Name])
		put(s.Name+".final", t3, err)
	}
	if err := checkpoint.WriteSafetensors(p.path("fixture/truth.safetensors"), truth, nil); err != nil {
		p.Fatal(err)
	}
	out := p.ok(execute(verifyCommand(), p.path("fixture"), "--backend", "go", "--all"))
	for _, want := range []string{"logits (float64)", "memory.final (float32, one by one)", "normaliser.final (float64)"} {
		if !strings.Contains(out, want) {
			p.Errorf("verify says no %s: %s", want, out)
		}
	}
	truth["logits"].Data[3] ^= 0x40
	if err := checkpoint.WriteSafetensors(p.path("fixture/truth.safetensors"), truth, nil); err != nil {
		p.Fatal(err)
	}
	if out, err := execute(verifyCommand(), p.path("fixture"), "--backend", "go"); err == nil {
		p.Error(fmt.Sprint("a flipped bit passed: ", out))
	}
}

// A preset has no files to record; a name that is none says so.
func TestInputModel(t *testing.T) {
	m, err := manifest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := inputModel(m, "preset:rwkv6/byte"); err != nil || len(m.Inputs) > 0 {
		t.Errorf("%v %v", m.Inputs, err)
	}
	if err := inputModel(m, "a/b/c"); err == nil || !strings.Contains(err.Error(), "OWNER/MODEL") {
		t.Errorf("error %v", err)
	}
}
