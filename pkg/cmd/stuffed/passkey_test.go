package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/eval"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

func TestPasskeyCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.jsonl")
	for _, variant := range eval.PasskeyVariants()[:3] {
		_, err := execute(passkeyCommand(), "--prompts-only", "--variant", variant, "--tokenizer", "bytes", "--length", "512", "--depths", "4",
			"--trials", "3", "--seed", "7", "--output", path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for s := bufio.NewScanner(f); s.Scan(); lines++ {
			var r task.Prompt
			if err := json.Unmarshal(s.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if len(r.IDs) != 512 || r.Seed != 7 || r.Variant != variant || r.Depth != (float64(lines/3)+0.5)/4 || !strings.Contains(r.Text, "is "+r.Answer+". Remember it.") {
				t.Errorf("record %d: %+v", lines, r)
			}
		}
		f.Close()
		if lines != 12 {
			t.Errorf("%s: %d records, want 12", variant, lines)
		}
	}
	kept, _ := os.ReadFile(path)
	for want, args := range map[string][]string{
		"choose length ≥ 187": {"--prompts-only", "--length", "64", "--output", path},
		`variant "x"`:         {"--prompts-only", "--variant", "x", "--output", path},
		"0 trials":            {"--prompts-only", "--trials", "0", "--output", path},
		`depths is "2,3"`:     {"--prompts-only", "--depths", "2,3", "--output", path},
		"no --output":         {"--prompts-only"},
		"missing.json":        {"--prompts-only", "--tokenizer", "missing.json", "--output", path},
	} {
		if _, err := execute(passkeyCommand(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(kept) {
		t.Error("a failed run touched the file that was there")
	}
}

func TestPasskeyCommandAsksAModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.parquet")
	args := []string{"--model", smallModel(t), "--backend", "go", "--piece", "64", "--depths", "2", "--generate", "2", "--output", path}
	for _, lengths := range []string{"192", "192,256"} {
		if _, err := execute(passkeyCommand(), append(args, "--lengths", lengths)...); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := table.Read(path)
	if err != nil || rows.Rows() != 4 {
		t.Fatalf("%v rows, %v, want 4", rows, err)
	}
	for want, bad := range map[string][]string{
		"give --model":        {"--output", path},
		`lengths are "1:2"`:   append(args, "--lengths", "1:2"),
		"choose length ≥ 187": append(args, "--lengths", "64,192"),
		"other options":       append(args, "--lengths", "192", "--seed", "9"),
	} {
		if _, err := execute(passkeyCommand(), bad...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", bad, err, want)
		}
	}
}
