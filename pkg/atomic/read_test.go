package atomic

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAndHash(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "abc")
	if err := Bytes(path, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	if content, err := Read(path, 3); err != nil || string(content) != "abc" {
		t.Errorf("read %q, %v", content, err)
	}
	sum, size, err := Hash(path)
	if want := "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; sum != want || size != 3 || err != nil {
		t.Errorf("hash %s of %d bytes, %v", sum, size, err)
	}
	if _, err := Read(path, 2); err == nil || !strings.Contains(err.Error(), "abc: 3 bytes, want a regular file of at most 2") {
		t.Errorf("a file above the limit: %v", err)
	}
	if _, _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := Open(path + "d"); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := Hash(dir); err == nil {
		t.Error("a folder has a hash")
	}
}

func TestPointersOfGitLFSAreNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	text := "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() error{
		"Open": func() error { _, _, err := Open(path); return err },
		"Read": func() error { _, err := Read(path, 1<<20); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), "Git LFS pointer") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
