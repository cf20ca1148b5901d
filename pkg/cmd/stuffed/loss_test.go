package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/manifest"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// smallModel saves an untrained byte model and returns its folder.
func smallModel(t *testing.T) string {
	t.Helper()
	c := mamba2.Default(16, 1, 272)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "model")
	if err := models.Save(dir, m, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLossCommand(t *testing.T) {
	dir, out := smallModel(t), t.TempDir()
	text := filepath.Join(out, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("All work and no play. ", 10)), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(out, "l.csv")
	args := []string{"--model", dir, "--backend", "go", "--input", text, "--length", "0", "--bucket", "16", "--piece", "64", "--output", path, "--mean", filepath.Join(out, "m.csv")}
	for range 2 { // the second time everything is there
		if _, err := execute(lossCommand(), args...); err != nil {
			t.Fatal(err)
		}
	}
	l, err := table.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := l.Int("tokens")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, n := range tokens {
		sum += n
	}
	if sum != 219 || l.Rows() != 14 {
		t.Errorf("%d losses in %d rows, want 219 in 14", sum, l.Rows())
	}
	raw, err := os.ReadFile(manifest.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	var note manifest.Manifest
	if err := json.Unmarshal(raw, &note); err != nil {
		t.Fatal(err)
	}
	if len(note.Files) != 2 || note.Inputs["notes.txt"] == "" || note.Inputs["model/config.json"] == "" || note.Backend != "go" {
		t.Errorf("manifest %s", raw)
	}
	for want, args := range map[string][]string{
		"other options": {"--model", dir, "--backend", "go", "--input", text, "--length", "0", "--bucket", "8", "--output", path},
		`length is "x"`: {"--model", dir, "--backend", "go", "--length", "x", "--output", path},
		`kind "poem"`:   {"--model", dir, "--backend", "go", "--kind", "poem", "--output", path},
		"config.json":   {"--model", filepath.Join(out, "absent"), "--output", path},
		"only 272 rows": {"--model", dir, "--backend", "go", "--tokenizer", "../../../.cache/20B_tokenizer.json", "--output", path},
		"id 300":        {"--model", dir, "--backend", "go", "--kind", "constant", "--constant", "300", "--length", "8", "--output", path + ".parquet"},
	} {
		_, err := execute(lossCommand(), args...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}
