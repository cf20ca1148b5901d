package study

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Unsuitable file systems are rejected with advice, and the trial leaves nothing behind.
func TestUnfitFileSystems(t *testing.T) {
	s := testStore(t, t.TempDir())
	over := func(from, to string) error { // as object stores mounted as folders do
		return errors.Join(os.RemoveAll(to), os.Rename(from, to))
	}
	always := func(path string, mode os.FileMode) error { return os.MkdirAll(path, mode) }
	for want, try := range map[string]func() error{
		"refuse to rename a folder over one that holds files": func() error { return s.try(os.Mkdir, over) },
		"rename a folder (operation not supported)":           func() error { return s.try(os.Mkdir, func(_, _ string) error { return syscall.ENOTSUP }) },
		"tell that a folder is there already":                 func() error { return s.try(always, os.Rename) },
	} {
		err := try()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "put the store on a local disk, NFS or Lustre with --store") {
			t.Errorf("%q: %v", want, err)
		}
		if left, _ := os.ReadDir(filepath.Join(s.Dir, "tmp")); len(left) > 0 {
			t.Errorf("%q: %s is left", want, left[0].Name())
		}
	}
}

// A store that cannot be created is rejected by name, with advice.
func TestUnwritableStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := OpenStore(filepath.Join(file, "store"))
	for _, want := range []string{"store " + file, "not a directory", "may write to", "--store"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// Without Slurm the message says what to install and what to run instead; nothing is recorded as submitted.
func TestNoSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := testStore(t, t.TempDir())
	j := &Job{Name: "n", Tasks: 1, Time: "1:00", Log: filepath.Join(s.Dir, "jobs")}
	_, err := s.Submit(t.Context(), j)
	for _, want := range []string{"no Slurm", "slurm-client", "stuffed study run --workers N"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if _, err := os.Stat(j.Log); err == nil {
		t.Error("a folder of jobs was made")
	}
}
