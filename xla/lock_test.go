package xla

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The texts of the Triton kernels are those that their sources give: kernels.lock, written by make kernels, holds the hashes
// of both, of the program that writes them and the version of Triton.
func TestKernelsAreThoseOfTheirSources(t *testing.T) {
	const again = "; run make kernels and commit what it changes"
	lock, err := os.ReadFile("../kernels.lock")
	if err != nil {
		t.Fatal(err)
	}
	version, list, _ := strings.Cut(string(lock), "\n")
	pinned, err := os.ReadFile("../.ci/requirements-kernels.txt")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(version, " ", "==", 1) + " "; !strings.Contains(string(pinned), "\n"+want) {
		t.Errorf("kernels.lock is of %s, .ci/requirements-kernels.txt pins another version%s", version, again)
	}
	locked := map[string]string{}
	for line := range strings.Lines(list) {
		hash, path, _ := strings.Cut(strings.TrimSpace(line), "  ")
		locked[path] = hash
	}
	there := map[string]bool{}
	check := func(path string) {
		data, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		there[path] = true
		switch hash := fmt.Sprintf("%x", sha256.Sum256(data)); locked[path] {
		case hash:
		case "":
			t.Errorf("%s is not in kernels.lock%s", path, again)
		default:
			t.Errorf("%s is not the file of kernels.lock%s", path, again)
		}
	}
	check("xla/triton/make.py")
	err = fs.WalkDir(os.DirFS(".."), "pkg", func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && filepath.Base(filepath.Dir(path)) == "kernels" && (ext == ".py" || ext == ".ttir") {
			check(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range locked {
		if !there[path] {
			t.Errorf("%s of kernels.lock is gone%s", path, again)
		}
	}
	if len(there) < 10 {
		t.Errorf("only %d sources and texts found", len(there))
	}
}
