package programs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpenFindsTheFolder(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv(FolderVariable, "")
	t.Setenv(LimitVariable, "")
	s, err := Open()
	if err != nil || s.Folder != filepath.Join(cache, "stuffed", "programs") || s.Limit != defaultLimit<<20 {
		t.Fatalf("%+v, %v", s, err)
	}
	if info, err := os.Stat(s.Folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	own := filepath.Join(t.TempDir(), "own")
	t.Setenv(FolderVariable, own)
	t.Setenv(LimitVariable, "5")
	if s, err := Open(); err != nil || s.Folder != own || s.Limit != 5<<20 {
		t.Errorf("%+v, %v", s, err)
	}
	t.Setenv(LimitVariable, "much")
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "much") {
		t.Errorf("limit: %v", err)
	}
	t.Setenv(FolderVariable, "off")
	if _, err := Open(); !errors.Is(err, ErrOff) {
		t.Errorf("off: %v", err)
	}
}

// Others could put their own code into a folder that they may write to.
func TestOpenRefusesFoldersOfOthers(t *testing.T) {
	t.Setenv(LimitVariable, "")
	for _, mode := range []os.FileMode{0o777, 0o720, 0o702} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		t.Setenv(FolderVariable, dir)
		if _, err := Open(); err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestIdentityDependsOnThePlugin(t *testing.T) {
	s := store(t, 1<<20)
	plugin := filepath.Join(t.TempDir(), "plugin.so")
	identity := func(content string) []byte {
		t.Helper()
		if err := os.WriteFile(plugin, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		id, err := s.Identity(plugin)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a := identity("one")
	if again, err := s.Identity(plugin); err != nil || !bytes.Equal(a, again) {
		t.Errorf("%s, %s, %v", a, again, err)
	}
	later := time.Now().Add(time.Second)
	identity("two")
	if err := os.Chtimes(plugin, later, later); err != nil {
		t.Fatal(err)
	}
	b, _ := s.Identity(plugin)
	if bytes.Equal(a, b) {
		t.Error("another plug-in, the same identity")
	}
	t.Setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
	if c, _ := s.Identity(plugin); bytes.Equal(b, c) {
		t.Error("another XLA_FLAGS, the same identity")
	}
}

func TestProcessorNamesItsFeatures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpuinfo")
	text := "processor\t: 0\nmodel name\t: A\ncpu MHz\t: 1\nflags\t: avx2 avx512f\n\nprocessor\t: 1\nflags\t: other\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(processor(path)); got != "[model name\t: A flags\t: avx2 avx512f]" {
		t.Errorf("%q", got)
	}
}

func ExampleStore() {
	folder, err := os.MkdirTemp("", "programs")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	s := &Store{Folder: folder, Limit: 1 << 20}
	key := Key([]byte("text of the program"), []byte("options"))
	if err := s.Put(Entry{Key: key, Name: "step"}, []byte("machine code")); err != nil {
		panic(err)
	}
	program, entry, err := s.Get(key)
	fmt.Printf("%s: %s, %v\n", entry.Name, program, err)
	// Output: step: machine code, <nil>
}
