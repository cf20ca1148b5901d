package hub

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPythonSharesTheCache: each program finds offline what the other has fetched. It needs huggingface_hub in STUFFED_PYTHON or .venv.
func TestPythonSharesTheCache(t *testing.T) {
	python := os.Getenv("STUFFED_PYTHON")
	if python == "" {
		python = "../../.venv/bin/python"
	}
	if out, err := exec.Command(python, "-c", "import huggingface_hub").CombinedOutput(); err != nil {
		t.Skipf("%s has no huggingface_hub (set STUFFED_PYTHON to one that has): %v %s", python, err, strings.TrimSpace(string(out)))
	}
	run := func(call string) string {
		t.Helper()
		out, err := exec.Command(python, "-c", "import huggingface_hub as h\nprint("+call+")").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", call, err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return lines[len(lines)-1]
	}
	s, c, name := tiny(t)
	t.Setenv("HF_HUB_DISABLE_XET", "1")
	dir := fetch(t, c, name)
	if got := run(`h.hf_hub_download("org/tiny", "model.safetensors", local_files_only=True)`); got != filepath.Join(dir, "model.safetensors") {
		t.Errorf("Python finds %s, want it in %s", got, dir)
	}
	s.Requests()
	if got := run(`h.snapshot_download("org/tiny", allow_patterns=["*.json", "*.safetensors"])`); got != dir {
		t.Errorf("Python's snapshot is %s, want %s", got, dir)
	}
	for _, r := range stored(s) {
		t.Errorf("Python fetched again: %s", r)
	}
	t.Setenv("HF_HOME", t.TempDir())
	want := run(`h.snapshot_download("org/tiny")`)
	t.Setenv("HF_HUB_OFFLINE", "1")
	if got := fetch(t, client(t), name); got != want {
		t.Errorf("here %s, Python's %s", got, want)
	}
	if got := run(`h.scan_cache_dir().warnings`); got != "[]" {
		t.Errorf("Python's warnings on the cache: %s", got)
	}
}
