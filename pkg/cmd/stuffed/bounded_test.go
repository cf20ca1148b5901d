package main

import (
	"os"
	"path/filepath"
	"testing"

	"stuffed/pkg/table"
)

func TestBoundedOnNewlines(t *testing.T) {
	t.Chdir(t.TempDir())
	model := smallModel(t)
	if err := os.WriteFile(filepath.Join(model, "training.json"), []byte(`{"config": {"train_length": 16}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--model", model, "--backend", "go", "--length", "96", "--lead", "8", "--sequences", "2", "--doses", "0.1", "--heads", "1", "--controls", "1", "--output", "b.csv"}
	if err := runCommand(boundedCommand(), args...); err != nil {
		t.Fatal(err)
	}
	got, err := table.Read("b.csv")
	if err != nil || got.Rows() != 3 || got.Require("excess", "achieved", "growth", "documents") != nil {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := os.Stat("b.csv.manifest.json"); err != nil {
		t.Error(err)
	}
	if err := runCommand(boundedCommand(), append(args, "--kind", "poem")...); err == nil {
		t.Error("an unknown prompt passes")
	}
}
