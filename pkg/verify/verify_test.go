package verify_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/verify"
	"stuffed/xla"
)

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, content)
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// references copies some reference tensors of a model.
func references(t testing.TB, model, to string, names ...string) {
	t.Helper()
	file, err := checkpoint.ReadSafetensors("../mamba2/testdata/" + model + "/truth.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	some := map[string]*checkpoint.Tensor{}
	for _, n := range names {
		if some[n] = file.Tensors[n]; some[n] == nil {
			t.Fatal(n)
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.WriteSafetensors(to, some, nil); err != nil {
		t.Fatal(err)
	}
}

func weights(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"config.json", "model.safetensors"} {
		copyFile(t, filepath.Join("../train/testdata/tiny", name), filepath.Join(dir, name))
	}
}

// run verifies a folder on the Go backend and returns the failures and notes.
func run(t testing.TB, dir string) (verify.Summary, []string) {
	t.Helper()
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	sum, err := verify.Run(context.Background(), d, []string{dir}, func(c verify.Check) {
		if c.Err != nil {
			lines = append(lines, strings.TrimPrefix(c.String(), dir+string(filepath.Separator)))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum, lines
}

func TestReferencesAreMet(t *testing.T) {
	root := t.TempDir()
	one := filepath.Join(root, "a model")
	weights(t, one)
	copyFile(t, "../train/testdata/tiny/train.safetensors", filepath.Join(one, "train.safetensors"))
	copyFile(t, "../mamba2/testdata/tiny/truth.safetensors", filepath.Join(one, "truth.safetensors"))
	copyFile(t, "../mamba2/testdata/tiny/grads.safetensors", filepath.Join(one, "grads_truth.safetensors"))
	copyFile(t, "../checkpoint/testdata/tiny/config.legacy-infinity.json", filepath.Join(one, "config.legacy-infinity.json"))
	for _, name := range []string{"config.json", "pytorch_model.bin"} { // the same weights in the other layout
		copyFile(t, "../checkpoint/testdata/tiny/official/"+name, filepath.Join(one, "official", name))
	}
	model, err := checkpoint.LoadModel(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.SaveModel(filepath.Join(one, "half"), "huggingface", model.Config, model.Tensors, "BF16"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"config.json", "truth.safetensors"} {
		copyFile(t, "../mamba2/testdata/groups/"+name, filepath.Join(root, "sharded", name))
	}
	groups, err := checkpoint.ReadSafetensors("../mamba2/testdata/groups/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.WriteSharded(filepath.Join(root, "sharded"), groups.Tensors, 90_000); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"t1", "raw-dt", "packed-carry", "strong-decay"} {
		copyFile(t, "../recurrence/testdata/"+name+".safetensors", filepath.Join(root, "cases", name+".safetensors"))
	}
	sum, lines := run(t, root)
	for _, line := range lines {
		t.Error(line)
	}
	if sum.Failed != 0 || sum.Passed < 300 {
		t.Errorf("%v", sum)
	}
}

func TestOneBitOfAWeightIsNoticed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"config.json", "model.safetensors"} {
		copyFile(t, "../mamba2/testdata/groups/"+name, filepath.Join(dir, name))
	}
	references(t, "groups", filepath.Join(dir, "truth.safetensors"), "input_ids", "loss.per_token", "state.final")
	if sum, lines := run(t, dir); sum.Failed != 0 || len(lines) != 0 {
		t.Fatalf("%v: %v", sum, lines)
	}
	path := filepath.Join(dir, "model.safetensors")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)-64*1024] ^= 1 // the least significant bit of a float32
	write(t, path, content)
	if sum, lines := run(t, dir); sum.Failed == 0 {
		t.Errorf("%v: %v", sum, lines)
	}
}

func TestManifestGivesHashesAndTolerances(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "m")
	weights(t, dir)
	references(t, "tiny", filepath.Join(dir, "golden.safetensors"), "input_ids", "loss.mean")
	write(t, filepath.Join(root, "manifest.json"), []byte(`{"fixtures": {"m": {
		"evidence": {"loss.mean": {"max_abs_truth": 6.7, "suggested_atol": 1e-12}},
		"files": {"config.json": {"bytes": 823, "sha256": "00"}}}}}`))
	sum, lines := run(t, root)
	all := strings.Join(lines, "\n")
	if !strings.Contains(all, "config.json (hash): SHA-256 is") {
		t.Errorf("no failure for a wrong hash: %v %v", sum, lines)
	}
	if !strings.Contains(all, "loss.mean (float32)") || !strings.Contains(all, "allowed 1e-12") {
		t.Errorf("the manifest's tolerance is not used: %v %v", sum, lines)
	}
}

func TestWrongReferencesFail(t *testing.T) {
	root := t.TempDir()
	weights(t, root)
	references(t, "tiny", filepath.Join(root, "truth.safetensors"), "input_ids", "carry.input_ids", "carry.state0", "carry.conv_state")
	copyFile(t, "../recurrence/testdata/t1.safetensors", filepath.Join(root, "case.safetensors"))
	file, err := checkpoint.ReadSafetensors(filepath.Join(root, "case.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	file.Tensors["y"].Data[3] ^= 0x40 // an exponent
	if err := checkpoint.WriteSafetensors(filepath.Join(root, "case.safetensors"), file.Tensors, nil); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "broken.safetensors"), []byte("not a file of tensors"))
	write(t, filepath.Join(root, "texts.json"), []byte(`{"pairs": [{"text": "a", "ids": [66]}]}`))
	t.Setenv("STUFFED_NEOX", filepath.Join(root, "nowhere.json"))
	sum, lines := run(t, root)
	all := strings.Join(lines, "\n")
	for _, want := range []string{"carry.conv_state (float32)", "case y (float32", "case y (float64", "broken.safetensors", "texts.json (tokenizer)"} {
		if !strings.Contains(all, want) {
			t.Errorf("no failure of %s among %d: %s", want, sum.Failed, all)
		}
	}
}

func TestNothingToVerifyIsAnError(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	note := filepath.Join(empty, "note.txt")
	write(t, note, []byte("nothing"))
	for _, dir := range []string{empty, note, filepath.Join(empty, "missing")} {
		if _, err := verify.Run(context.Background(), d, []string{dir}, nil); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := verify.Run(stopped, d, []string{empty}, nil); err == nil {
		t.Error("an ended context is no error")
	}
}
