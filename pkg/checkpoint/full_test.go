//go:build linux

package checkpoint

import (
	"bytes"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestFullDisk lets no file grow beyond 64 KiB: what is there stays as it was, and nothing half-written stays.
func TestFullDisk(t *testing.T) {
	root := saved(t, 1)
	dir := filepath.Join(t.TempDir(), "model")
	m, err := LoadModel("testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveModel(dir, LayoutHuggingFace, m.Config, m.Tensors, "F32"); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, singleName))
	if err != nil {
		t.Fatal(err)
	}

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := syscall.Rlimit{Cur: 64 << 10, Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	errs := map[string]error{
		"model over another": SaveModel(dir, LayoutHuggingFace, m.Config, m.Tensors, "BF16"),
		"new model":          SaveModel(dir+"2", LayoutOfficial, m.Config, m.Tensors, ""),
		"shards":             WriteSharded(filepath.Dir(dir), m.Tensors, 100<<10),
		"snapshot": SaveSnapshot(root, 2, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "weights"), make([]byte, 100<<10), 0o644)
		}),
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}

	for name, err := range errs {
		if err == nil {
			t.Errorf("%s: no error on a full disk", name)
		}
	}
	if after, err := os.ReadFile(filepath.Join(dir, singleName)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the model that was there changed (%v)", err)
	}
	if _, err := LoadModel(dir); err != nil {
		t.Errorf("the model that was there: %v", err)
	}
	if _, step, skipped, err := LatestSnapshot(root); err != nil || step != 1 || len(skipped) > 0 {
		t.Errorf("latest snapshot %d, skipped %v, %v", step, skipped, err)
	}
	for _, folder := range []string{dir, filepath.Dir(dir), root} {
		for _, pattern := range []string{".*", "*.tmp", "model2", "*.index.json"} {
			if left, _ := filepath.Glob(filepath.Join(folder, pattern)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
}
