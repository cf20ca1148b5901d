package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
)

func TestPasskeyCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.jsonl")
	for _, variant := range prompt.PasskeyVariants() {
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
			var r prompt.Record
			if err := json.Unmarshal(s.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if len(r.IDs) != 512 || r.Seed != 7 || r.Variant != variant || r.Depth != (float64(lines/3)+0.5)/4 || prompt.Oracle(r) != r.Answer {
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
