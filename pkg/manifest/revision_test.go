package manifest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts[:len(parts)-1]...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(parts[len(parts)-1]), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRevisionOfRepository(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e@example.org"}, args...)...)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	script, err := os.ReadFile("../../.ci/revision")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".ci", "revision", string(script))
	write(t, dir, "go.mod", "module stuffed\n")
	write(t, dir, "figures", "a", "a.csv", "x\n")
	t.Setenv(RevisionVariable, "")
	check := func(what, want string) {
		t.Helper()
		if got := repository(dir); got != want {
			t.Errorf("%s: revision %q, not %q", what, got, want)
		}
		out, err := exec.Command("bash", filepath.Join(dir, ".ci", "revision")).Output()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: .ci/revision prints %q (%v), not %q", what, got, err, want)
		}
	}
	check("no repository", "")
	git("init", "--quiet")
	git("add", ".")
	git("commit", "--quiet", "-m", "first")
	head := git("rev-parse", "HEAD")
	check("clean", head)
	write(t, dir, "figures", "a", "a.csv", "y\n")
	write(t, dir, "README.md", "text\n")
	check("results and text changed", head)
	write(t, dir, "pkg", "new", "new.go", "package new\n")
	check("a new source", head+"+")
	if got := repository(filepath.Join(dir, "pkg")); got != "" {
		t.Errorf("a copy inside the repository of another project: %q", got)
	}
}

func TestRunSaysWhereItComesFrom(t *testing.T) {
	m, err := New(map[string]int{"n": 1}, 3)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"command", "date", "revision", "changed", "versions", "options", "seeds"} {
		if _, there := got[name]; !there {
			t.Errorf("the manifest has no %q: %s", name, text)
		}
	}
	if _, err := time.Parse(time.RFC3339, m.Date); err != nil {
		t.Error(err)
	}
	want := repository("../..")
	if hash, changed := Revision(); want != "" && strings.TrimSuffix(want, "+") != hash && os.Getenv(RevisionVariable) == "" {
		t.Errorf("revision %q (changed: %v), the repository says %q", hash, changed, want)
	}
}

// The sources of the revision are consulted in order; the first one with an answer wins.
func TestStampComesFirst(t *testing.T) {
	if fromArchive() != "" {
		t.Skip("this is an archive of the repository, which names its revision")
	}
	defer func(old string) { archive = old }(archive)
	archive = "0123abc\n"
	if fromArchive() != "0123abc" {
		t.Errorf("archive: %q", fromArchive())
	}
}

// A program without a linker stamp, such as a notebook cell, asks the repository it runs in; inside the image, the variable.
func TestUnstampedProgramsKnowTheirRevision(t *testing.T) {
	if os.Getenv("PRINT_REVISION") != "" {
		hash, changed := Revision()
		fmt.Printf("revision %s %v\n", hash, changed)
		os.Exit(0)
	}
	if fromArchive() != "" {
		t.Skip("this is an archive of the repository, which names its revision")
	}
	notebooks, err := filepath.Abs("../../notebooks")
	if err != nil {
		t.Fatal(err)
	}
	hash, changed := strings.CutSuffix(repository("../.."), "+")
	for _, c := range []struct{ what, dir, variable, want string }{
		{"a cell", notebooks, "", fmt.Sprintf("revision %s %v", hash, changed)},
		{"in the image", t.TempDir(), "0123abc", "revision 0123abc false"},
		{"in an image of a changed tree", t.TempDir(), "0123abc+", "revision 0123abc true"},
		{"elsewhere", t.TempDir(), "", "revision  false"},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestUnstampedProgramsKnowTheirRevision$")
		child.Dir, child.Env = c.dir, append(os.Environ(), "PRINT_REVISION=1", RevisionVariable+"="+c.variable)
		out, err := child.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.what, got, err, c.want)
		}
	}
}
