//go:build !noxla

package xla

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"stuffed/xla/programs"
)

const child = "STUFFED_TEST_CHILD"

// TestMain lets the tests of this file start themselves as another process that runs one program.
func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	d, err := Open("cpu")
	if err != nil {
		fmt.Println("absent:", err)
		os.Exit(0)
	}
	e := graph.MustNewExec(d.Backend, func(x *graph.Node) []*graph.Node {
		MarkDonor(x)
		return []*graph.Node{graph.Softmax(graph.Mul(graph.Exp(x), graph.Sin(x)), -1), graph.ReduceAllSum(x)}
	}).WithName(os.Getenv(child))
	out := e.MustCall([]float32{0.1, 2, -3.5, 4})
	fmt.Println(out[0].Value(), out[1].Value())
	os.Exit(0)
}

// run runs the program in a process of its own and returns its results and what became of the program.
func run(t *testing.T, folder, name string) (results, log string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), child+"="+name, "STUFFED_PROGRAMS="+folder, logVariable+"=1")
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return stdout.String(), stderr.String()
}

func TestProgramsAreFoundByAnotherProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "programs")
	first, log := run(t, folder, "one")
	if strings.HasPrefix(first, "absent") {
		t.Logf("no XLA here (%s): nothing is compiled", strings.TrimSpace(first))
		return
	}
	if !strings.Contains(log, "compiled in") || strings.Contains(log, "not kept") {
		t.Fatalf("first process: %s", log)
	}
	second, log := run(t, folder, "two") // another name, the same program
	if strings.Contains(log, "compiled in") || !strings.Contains(log, "found in") || second != first {
		t.Errorf("second process: %s, %s, first %s", log, second, first)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.program"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Truncate(f, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if results, log := run(t, folder, "three"); results != first || !strings.Contains(log, "compiled in") {
		t.Errorf("damaged: %s, %s", results, log)
	}
	spoil(t, folder) // passes the checksum, is refused by the plug-in
	if results, log := run(t, folder, "four"); results != first || !strings.Contains(log, "refused") {
		t.Errorf("no machine code: %s, %s", results, log)
	}
	if results, log := run(t, "off", "five"); results != first || strings.Contains(log, "found") {
		t.Errorf("off: %s, %s", results, log)
	}
}

// spoil replaces every program of the folder by bytes that are none, under its key.
func spoil(t *testing.T, folder string) {
	t.Helper()
	s := &programs.Store{Folder: folder, Limit: 1 << 20}
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := s.Put(e, []byte("no machine code")); err != nil {
			t.Fatal(err)
		}
	}
}
