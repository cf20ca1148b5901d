package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// saveStep saves a snapshot whose files tell its step.
func saveStep(root string, step int64) error {
	return SaveSnapshot(root, step, func(dir string) error {
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
			return err
		}
		for _, name := range []string{"weights", "data/cursor"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(fmt.Sprintf("%s of %d\n", name, step), 400)), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

func saved(t testing.TB, steps ...int64) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "run")
	for _, s := range steps {
		if err := saveStep(root, s); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSnapshots(t *testing.T) {
	root := saved(t, 10, 20, 9)
	dir, step, skipped, err := LatestSnapshot(root)
	if err != nil || step != 20 || len(skipped) != 0 || VerifySnapshot(dir) != nil {
		t.Fatalf("latest is %d, skipped %v, %v", step, skipped, err)
	}
	if text, err := os.ReadFile(filepath.Join(root, "LATEST")); err != nil || string(text) != "step-9\n" {
		t.Errorf("LATEST %q %v", text, err)
	}
	if err := saveStep(root, 20); err != nil { // again
		t.Error(err)
	}
	if steps, err := Snapshots(root); err != nil || !slices.Equal(steps, []int64{9, 10, 20}) {
		t.Errorf("steps %v %v", steps, err)
	}
	if err := saveStep(root, -1); err == nil || !strings.Contains(err.Error(), "step is -1") {
		t.Errorf("step -1: %v", err)
	}
	if _, _, _, err := LatestSnapshot(filepath.Join(root, "none")); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("no folder: %v", err)
	}
}

// TestDamagedSnapshots: each file cut, emptied, changed by one bit, removed or added: named, and passed over.
func TestDamagedSnapshots(t *testing.T) {
	for _, file := range []string{"weights", "data/cursor", sumsName} {
		for damage, do := range map[string]func(path string, content []byte) error{
			"cut":     func(path string, content []byte) error { return os.Truncate(path, int64(len(content)/2)) },
			"emptied": func(path string, _ []byte) error { return os.Truncate(path, 0) },
			"flipped": func(path string, content []byte) error {
				content[len(content)/3] ^= 4
				return os.WriteFile(path, content, 0o644)
			},
			"removed": func(path string, _ []byte) error { return os.Remove(path) },
			"link":    func(path string, _ []byte) error { return errors.Join(os.Remove(path), os.Symlink("/dev/zero", path)) },
		} {
			root := saved(t, 1, 2)
			path := filepath.Join(root, "step-2", file)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if file == sumsName && damage == "link" {
				continue
			}
			if err := do(path, content); err != nil {
				t.Fatal(err)
			}
			dir, step, skipped, err := LatestSnapshot(root)
			if err != nil || step != 1 || filepath.Base(dir) != "step-1" || len(skipped) != 1 || !strings.Contains(skipped[0], "step-2") {
				t.Errorf("%s %s: step %d, skipped %v, %v", file, damage, step, skipped, err)
			}
		}
	}
	root := saved(t, 1)
	if err := os.WriteFile(filepath.Join(root, "step-1", "stranger"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, skipped, err := LatestSnapshot(root); !errors.Is(err, ErrNoSnapshot) || !strings.Contains(skipped[0], "stranger") {
		t.Errorf("an added file: %v %v", skipped, err)
	}
}

// TestFailedSaveLeavesTheRest: an error or a crash at any point of a save leaves the snapshots before it.
func TestFailedSaveLeavesTheRest(t *testing.T) {
	root := saved(t, 1)
	broken := errors.New("disk on fire")
	for name, write := range map[string]func(dir string) error{
		"at once": func(string) error { return broken },
		"half way": func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "weights"), nil, 0o644), broken)
		},
		"nothing": func(string) error { return nil },
		"a pipe":  func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "link")) },
	} {
		for _, step := range []int64{1, 2} {
			if err := SaveSnapshot(root, step, write); err == nil || !strings.Contains(err.Error(), "earlier ones are untouched") {
				t.Errorf("%s: %v", name, err)
			}
			if _, latest, skipped, err := LatestSnapshot(root); err != nil || latest != 1 || len(skipped) > 0 {
				t.Errorf("%s: latest %d, skipped %v, %v", name, latest, skipped, err)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(root, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Cut off between the two renames that replace a snapshot.
	if err := os.Rename(filepath.Join(root, "step-1"), filepath.Join(root, "step-1"+replacedSuffix)); err != nil {
		t.Fatal(err)
	}
	if _, latest, _, err := LatestSnapshot(root); err != nil || latest != 1 {
		t.Errorf("after a cut replacement: %d %v", latest, err)
	}
}

// TestKilledWhileSaving kills a process that saves without pause; what it leaves always loads.
func TestKilledWhileSaving(t *testing.T) {
	if root := os.Getenv("SNAPSHOT_ROOT"); root != "" {
		for step := int64(1); ; step++ {
			if err := saveStep(root, step%4+1); err != nil {
				t.Fatal(err)
			}
		}
	}
	root := saved(t, 1)
	r := rand.New(rand.NewPCG(1, 1))
	for range 8 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWhileSaving$")
		child.Env = append(os.Environ(), "SNAPSHOT_ROOT="+root)
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+r.IntN(60)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child ended by itself")
		}
		dir, step, skipped, err := LatestSnapshot(root)
		if err != nil || len(skipped) > 0 {
			t.Fatalf("step %d, skipped %v, %v", step, skipped, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "weights")); err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("weights of %d\n", step)) {
			t.Fatalf("step %d holds %.20q %v", step, text, err)
		}
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		steps  []int64
		last   int
		ladder bool
		want   []int64
	}{
		{[]int64{1, 2, 3, 4, 5}, 2, false, []int64{4, 5}},
		{[]int64{1, 2, 3, 4, 5}, 9, false, []int64{1, 2, 3, 4, 5}},
		{[]int64{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130}, 1, true, []int64{10, 20, 30, 40, 60, 80, 120, 130}},
		{[]int64{0, 5, 7, 11, 16, 33}, 1, true, []int64{0, 5, 11, 16, 33}},
		{nil, 1, true, nil},
	} {
		root := saved(t, c.steps...)
		if len(c.steps) > 0 {
			if err := os.Mkdir(filepath.Join(root, "step-77.tmp"), 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		removed, err := Prune(root, c.last, c.ladder)
		got, _ := Snapshots(root)
		if err != nil || !slices.Equal(got, c.want) || len(removed) != len(c.steps)-len(c.want) {
			t.Errorf("%v, last %d, ladder %v: %v stay, want %v (%v)", c.steps, c.last, c.ladder, got, c.want, err)
		}
		if left, _ := filepath.Glob(filepath.Join(root, "*.tmp")); len(left) > 0 {
			t.Errorf("unfinished folders stay: %v", left)
		}
	}
	if _, err := Prune(t.TempDir(), 0, false); err == nil || !strings.Contains(err.Error(), "keepLast is 0") {
		t.Errorf("keepLast 0: %v", err)
	}
}
