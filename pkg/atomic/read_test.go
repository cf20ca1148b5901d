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
