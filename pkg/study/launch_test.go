package study

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestNamesItsGPU is the worker of TestLaunchSharesGPUs: it writes the name of the GPU that it sees.
func TestNamesItsGPU(t *testing.T) {
	dir := os.Getenv("STUFFED_TEST_GPUS")
	if dir == "" {
		return
	}
	f, err := os.CreateTemp(dir, "worker")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(os.Getenv("CUDA_VISIBLE_DEVICES")); err != nil {
		t.Fatal(err)
	}
}

// Workers are assigned one GPU each, round-robin; without GPUs they inherit this process's environment. CUDA_VISIBLE_DEVICES restricts the
// list.
func TestLaunchSharesGPUs(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "4,7")
	if got := GPUs(); !slices.Equal(got, []string{"4", "7"}) {
		t.Errorf("GPUs %q", got)
	}
	for _, c := range []struct{ gpus, want []string }{{[]string{"4", "7"}, []string{"4", "4", "7"}}, {nil, []string{"4,7", "4,7", "4,7"}}} {
		dir := t.TempDir()
		t.Setenv("STUFFED_TEST_GPUS", dir)
		if err := Launch(t.Context(), 3, c.gpus, []string{"-test.run=^TestNamesItsGPU$"}, time.Second); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "worker*"))
		if err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(text))
		}
		slices.Sort(seen)
		if !slices.Equal(seen, c.want) {
			t.Errorf("GPUs %q: the workers see %q, want %q", c.gpus, seen, c.want)
		}
	}
}
