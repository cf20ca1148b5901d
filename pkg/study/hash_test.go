package study

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"stuffed/pkg/train"
)

// Every shipped row is stored under the hash of its configuration, and every shipped model records that of its run.
func TestShippedHashes(t *testing.T) {
	rows, err := filepath.Glob("../../datasets/study/*/rows/*/row.json")
	if err != nil || len(rows) == 0 {
		t.Fatalf("no shipped rows (%v)", err)
	}
	again, err := filepath.Glob("../../datasets/study/again/*/rows/*/row.json") // second trainings
	if err != nil || len(again) == 0 {
		t.Fatalf("no rows that were trained again (%v)", err)
	}
	rows = append(rows, again...)
	for _, path := range rows {
		var row Row
		readJSON(t, path, &row)
		want := filepath.Base(filepath.Dir(path))
		if got := row.Config.Hash(); got != want || row.Hash != want {
			t.Errorf("%s: configuration hashes to %s, row says %s: a new field needs the tag hash:\"unless-default\" (see package identity)", path, got, row.Hash)
		}
	}
	var models []string
	err = filepath.WalkDir("../../datasets", func(path string, d fs.DirEntry, err error) error {
		if filepath.Base(path) == "training.json" {
			models = append(models, path)
		}
		return err
	})
	if err != nil || len(models) < 24 {
		t.Fatalf("%d shipped models (%v), there are 24 or more", len(models), err)
	}
	for _, path := range models {
		var made struct {
			Hash   string       `json:"config_hash"`
			Config train.Config `json:"config"`
		}
		readJSON(t, path, &made)
		if got := made.Config.Hash(); got != made.Hash {
			t.Errorf("%s: configuration hashes to %s, file says %s", path, got, made.Hash)
		}
	}
}

// The hashes of the default run and the byte preset are unchanged, since snapshots, saved models and caches are named after them.
func TestKnownHashes(t *testing.T) {
	c := train.DefaultConfig()
	for _, known := range []struct{ set, want string }{{"", "ddf2610d9aee 96b7fbb38404"}, {"preset=byte", "8b55be50fc82 4231c43eaae4"}, {"model.width=64", "1b142681f9a2 884a795cbc2a"}} {
		if known.set != "" {
			if err := c.Set(known.set); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.Hash() + " " + c.Model.Hash(); got != known.want {
			t.Errorf("%q hashes to %s, not %s", known.set, got, known.want)
		}
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
