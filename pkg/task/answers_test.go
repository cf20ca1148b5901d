package task

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sheet writes answers as JSON lines.
func sheet(t *testing.T, path string, answers ...Answer) string {
	t.Helper()
	var b strings.Builder
	for _, a := range answers {
		line, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScoreFiles(t *testing.T) {
	dir := t.TempDir()
	numbers, words := filepath.Join(dir, "numbers.jsonl"), filepath.Join(dir, "words.jsonl")
	mqar, passkey := open(t, "mqar", 64, "pairs=2"), open(t, "passkey", 256)
	for path, task := range map[string]*Task{numbers: mqar, words: passkey} {
		if err := task.Write(path, 0, 0, 4); err != nil {
			t.Fatal(err)
		}
	}
	a := func(i int64) []int32 { return record(t, mqar, 0, i).Answers }
	s, err := ScoreFiles(numbers, sheet(t, filepath.Join(dir, "a"), Answer{IDs: a(0)}, Answer{IDs: a(1)}, Answer{IDs: []int32{a(2)[0], 0}}, Answer{IDs: []int32{0, 0}}))
	if err != nil || s.Records != 4 || s.Accuracy != 0.625 || s.Exact != 0.5 || s.Tasks["mqar"].Groups["pairs 2"].Accuracy != 0.625 {
		t.Error(s, err)
	}
	key := func(i int64) string { return record(t, passkey, 0, i).Answer }
	s, err = ScoreFiles(words, sheet(t, filepath.Join(dir, "b"), Answer{Text: key(0) + ". Remember it."}, Answer{Text: "The key is" + key(1)}, Answer{Text: key(2) + "7"}, Answer{Text: "none"}))
	if err != nil || s.Accuracy != 0.75 || s.Exact != 0.25 || len(s.Tasks["passkey"].Groups) != 4 {
		t.Error(s, err)
	}
	for want, lines := range map[string][]Answer{
		"has 1 lines":                      {{IDs: a(0)}},
		"has more than the 4 records":      {{IDs: a(0)}, {IDs: a(1)}, {IDs: a(2)}, {IDs: a(3)}, {IDs: a(0)}},
		"line 1: 1 answer_ids, the record": {{IDs: a(0)[:1]}},
		"give answer_ids":                  {{Text: "x"}},
	} {
		if _, err := ScoreFiles(numbers, sheet(t, filepath.Join(dir, "c"), lines...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for want, line := range map[string]string{
		"line 1: neither answer_ids nor text": `{}`,
		"nor text; a line is":                 `{"answr_ids": [1, 2]}`,
		"line 1: answer_ids of number 1.5":    `{"answer_ids": [1.5, 2]}`,
	} {
		path := filepath.Join(dir, "f")
		if err := os.WriteFile(path, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ScoreFiles(numbers, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
		if _, err := ScoreFiles(path, numbers); err == nil || !strings.Contains(err.Error(), "records: f, line 1: ") {
			t.Errorf("%s as a record: %v", line, err)
		}
	}
	if err := mqar.Write(filepath.Join(dir, "h"), 0, -1, 1); err == nil || !strings.Contains(err.Error(), "first is -1") {
		t.Error("an index below 0:", err)
	}
	silent := filepath.Join(dir, "g")
	if err := os.WriteFile(silent, []byte(strings.Repeat("{\"text\": \"\"}\n", 4)), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err := ScoreFiles(words, silent); err != nil || s.Accuracy != 0 {
		t.Error("a model that says nothing is wrong:", s, err)
	}
	if _, err := ScoreFiles(sheet(t, filepath.Join(dir, "e")), filepath.Join(dir, "e")); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Error(err)
	}
}
