package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/bound"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

func TestTaskCommands(t *testing.T) {
	dir := t.TempDir()
	records, answers := filepath.Join(dir, "t.jsonl"), filepath.Join(dir, "a.jsonl")
	if _, err := execute(taskCommand(), "write", "--task", "mqar", "--length", "128", "--count", "3", "--seed", "2", "--set", "pairs=4", "--output", records); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(records)
	if err != nil {
		t.Fatal(err)
	}
	var right strings.Builder
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		var r task.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.IDs) != 128 || len(r.Answers) != 4 || r.Group != "pairs 4" || r.Seed != 2 {
			t.Fatalf("%v: %s", err, line)
		}
		a, err := json.Marshal(task.Answer{IDs: r.Answers})
		if err != nil {
			t.Fatal(err)
		}
		right.Write(append(a, '\n'))
	}
	if err := os.WriteFile(answers, []byte(right.String()), 0o644); err != nil || len(lines) != 3 {
		t.Fatal(len(lines), err)
	}
	out, err := execute(taskCommand(), "score", "--input", records, "--answers", answers)
	var s task.Score
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Accuracy != 1 || s.Tasks["mqar"].Groups["pairs 4"].Records != 3 {
		t.Error(out, err)
	}
	if out, err = execute(taskCommand(), "list"); err != nil || !strings.Contains(out, "phone-book") || !strings.Contains(out, "pairs=0") {
		t.Error(out, err)
	}
	for want, args := range map[string][]string{
		"choose length ≥ 128":       {"write", "--task", "mqar", "--length", "64", "--set", "pairs=32", "--output", records},
		`task "x" is unknown`:       {"write", "--task", "x", "--length", "64", "--output", records},
		"count is 0":                {"write", "--task", "mqar", "--length", "64", "--count", "0", "--output", records},
		"records: open":             {"score", "--input", filepath.Join(dir, "none"), "--answers", answers},
		`param "pairs": must be`:    {"write", "--task", "mqar", "--length", "64", "--set", "pairs", "--output", records},
		"no --output given":         {"write", "--task", "mqar", "--length", "64"},
		`length is "many"`:          {"write", "--task", "mqar", "--length", "many", "--output", records},
		"model's vocabulary only 2": {"run", "--model", "preset:byte", "--backend", "go", "--task", "mqar", "--length", "64", "--output", filepath.Join(dir, "r.csv")},
	} {
		if _, err := execute(taskCommand(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestBoundCommand(t *testing.T) {
	out, err := execute(boundCommand(), "--items", "8", "--values", "16", "--scalars", "32", "--bits", "1")
	var all []bound.Bound
	if err != nil || json.Unmarshal([]byte(out), &all) != nil || len(all) != 6 || *all[0].NeedBits != 32 || !*all[0].Possible {
		t.Error(out, err)
	}
	if _, err := execute(boundCommand(), "--items", "8", "--values", "16", "--scalars", "32", "--error", "-1"); err == nil || !strings.Contains(err.Error(), "error is -1") {
		t.Error(err)
	}
}

// TestStateTests runs what is measured of the state on an untrained model.
func TestStateTests(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]string{"noise": "bits of a number", "channels": "share of the channels", "rank": "effective ranks"} {
		output := filepath.Join(dir, name+".csv")
		args := []string{name, "--model", "preset:byte", "--backend", "go", "--task", "mqar", "--length", "32", "--set", "vocab=64", "--set", "pairs=2", "--count", "1", "--output", output}
		args = append(args, map[string][]string{"noise": {"--sigma", "0,1"}, "channels": {"--share", "0,0.5"}, "rank": {"--positions", "8"}}[name]...)
		if _, err := execute(taskCommand(), args...); err != nil {
			t.Errorf("%s (%s): %v", name, want, err)
			continue
		}
		rows, err := table.Read(output)
		if err != nil || rows.Rows() < 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A task under a plan has the rows of the model as it is, changed; under mitigations, the means of each and of none.
func TestTaskUnderInterventions(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("plan.json"), []byte(`[{"kind": "alpha_scale", "value": 0.5}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	ask := func(output string, more ...string) (*table.Table, error) {
		args := []string{"run", "--model", "preset:byte", "--backend", "go", "--task", "recall-list", "--length", "32", "--count", "2",
			"--set", "keys=192", "--set", "values=64", "--set", "pairs=4", "--output", path(output)}
		if _, err := execute(taskCommand(), append(args, more...)...); err != nil {
			return nil, err
		}
		return table.Read(path(output))
	}
	losses := func(rows *table.Table, err error) []float64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v, err := rows.Float("loss")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	plain, planned := losses(ask("plain.csv")), losses(ask("plan.csv", "--plan", path("plan.json")))
	if len(planned) != 2 || planned[0] == plain[0] {
		t.Errorf("losses %v, under the plan %v", plain, planned)
	}
	rows, err := ask("m.csv", "--mitigate", "window", "--choosing", "1", "--train-length", "16")
	if mean := losses(rows, err); len(mean) != 2 || math.Abs(mean[0]-(plain[0]+plain[1])/2) > 1e-6 {
		t.Errorf("means %v, losses as it is %v", mean, plain)
	}
	for want, more := range map[string][]string{
		"not both":                  {"--plan", path("plan.json"), "--mitigate", "window"},
		`method "windw": unknown`:   {"--mitigate", "none,windw", "--train-length", "16"},
		`method "every": unknown`:   {"--mitigate", "every", "--train-length", "16"},
		"choosing is 0 sequences":   {"--mitigate", "window", "--train-length", "16", "--choosing", "0"},
		"training length 2 tokens":  {"--mitigate", "window", "--train-length", "2"},
		"no such file or directory": {"--plan", path("none.json")},
	} {
		if _, err := ask("bad.csv", more...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if left, err := filepath.Glob(path("bad.csv*")); err != nil || len(left) > 0 { // or the command with its flags put right is refused
			t.Fatalf("%q leaves %v (%v)", want, left, err)
		}
	}
}
