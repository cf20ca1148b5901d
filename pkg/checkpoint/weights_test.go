package checkpoint

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWeightFilesAlone: under any name, in its folder or by its path, a weight file holds the same tensors.
func TestWeightFilesAlone(t *testing.T) {
	want, err := ReadWeights("testdata/tiny/official")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("testdata/tiny/official/pytorch_model.bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"RWKV-x060-World-1B6.pth", "model.pt", "other.bin"} {
		dir := t.TempDir()
		write := func(name string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		file := write(name)
		write("training_args.bin")
		for _, path := range []string{dir, file} {
			got, err := ReadWeights(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			names := func(f *File) []string { return slices.Sorted(maps.Keys(f.Tensors)) }
			if !slices.Equal(names(got), names(want)) {
				t.Errorf("%s: %v, want %v", path, names(got), names(want))
			}
		}
		write("second.pth")
		if _, err := ReadWeights(dir); err == nil || !strings.Contains(err.Error(), "second.pth") {
			t.Errorf("several files: %v", err)
		}
		if _, err := ReadWeights(write("model.gguf")); err == nil || !strings.Contains(err.Error(), ".safetensors, .pth, .pt or .bin") {
			t.Errorf("another kind: %v", err)
		}
	}
	if _, err := ReadWeights(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Errorf("an empty folder: %v", err)
	}
}
