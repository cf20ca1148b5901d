package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

// What the command writes is what collapse reads.
func TestTraceCommand(t *testing.T) {
	dir, out := smallModel(t), t.TempDir()
	path := filepath.Join(out, "T.csv")
	args := []string{"--model", dir, "--backend", "go", "--kind", "newlines", "--length", "160", "--bucket", "8", "--piece", "64", "--window",
		"--channels", "0", "--entries", "1/2/3", "--histogram", "15,159", "--train-length", "64", "--output", path}
	for range 2 { // the second time everything is there
		if _, err := execute(traceCommand(), args...); err != nil {
			t.Fatal(err)
		}
	}
	for name, rows := range map[string]int{"T.csv": 20 * 4, "T.losses.csv": 20, "T.window.csv": 20 * 3, "T.channels.csv": 20 * 40, "T.entries.csv": 20, "T.histograms.csv": 4 * 2 * 101} {
		got, err := table.Read(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		if got.Rows() != rows {
			t.Errorf("%s has %d rows, want %d", name, got.Rows(), rows)
		}
	}
	verdict := filepath.Join(out, "V.json")
	if _, err := execute(collapseCommand(), "--states", path, "--losses", filepath.Join(out, "T.losses.csv"), "--train-length", "64", "--output", verdict); err != nil {
		t.Fatal(err)
	}
	ids := filepath.Join(out, "ids.jsonl")
	if err := os.WriteFile(ids, []byte("[1, 2, 3, 4]\n[5, 6]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(out, "ids.parquet")
	if _, err := execute(traceCommand(), "--model", dir, "--backend", "go", "--tokens", ids, "--bucket", "1", "--output", other); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Read(other); err != nil || got.Rows() != 6*4 {
		t.Errorf("%v, %v", got, err)
	}
	fresh := filepath.Join(out, "fresh.parquet")
	for want, more := range map[string][]string{
		"training length 64":      {"--kind", "newlines", "--length", "64", "--train-length", "64"},
		`column "median"`:         {"--columns", "median", "--length", "64"},
		"head 4 does not exist":   {"--entries", "4/0/0", "--length", "64"},
		"want HEAD/CHANNEL/STATE": {"--entries", "4", "--length", "64"},
		"position 64":             {"--histogram", "64", "--length", "64"},
		"layer 3 does not exist":  {"--channels", "3", "--length", "64"},
		"no such file":            {"--tokens", filepath.Join(out, "absent")},
	} {
		_, err := execute(traceCommand(), append([]string{"--model", dir, "--backend", "go", "--output", fresh}, more...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", more, err, want)
		}
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a refused trace left a table")
	}
}
