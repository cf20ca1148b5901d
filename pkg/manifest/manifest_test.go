package manifest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/manifest"
)

func start(t *testing.T, result string, options any) (*manifest.Manifest, error) {
	t.Helper()
	m, err := manifest.New(options, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	return m, m.Start(result)
}

func TestStartContinuesOnlyWhatIsTheSame(t *testing.T) {
	result := filepath.Join(t.TempDir(), "new", "loss.csv")
	m, err := start(t, result, map[string]int{"bucket": 8})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, result, map[string]int{"bucket": 16}); err != nil {
		t.Errorf("no row is there yet: %v", err)
	}
	if _, err = start(t, result, map[string]int{"bucket": 8}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(result, []byte("position\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, result, map[string]int{"bucket": 8}); err != nil {
		t.Errorf("the same options: %v", err)
	}
	if _, err := start(t, result, map[string]int{"bucket": 16}); err == nil || !strings.Contains(err.Error(), "other options") {
		t.Errorf("other options: %v", err)
	}
	if err := m.Finish(result); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(manifest.Path(result))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, result, map[string]int{"bucket": 8}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(manifest.Path(result)); err != nil || string(again) != string(text) {
		t.Errorf("a finished result lost its manifest when it was started again (%v): %s", err, again)
	}
	var read manifest.Manifest
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Files["loss.csv"]) != 64 || read.Versions["go"] == "" || len(read.Seeds) != 2 || read.Config == "" {
		t.Errorf("manifest %s", text)
	}
	if strings.Contains(string(text), filepath.Dir(result)) || strings.Contains(string(text), os.TempDir()+"/") {
		t.Errorf("a path of this machine in %s", text)
	}
}

func TestInputFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := manifest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Input(dir); err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(dir) + "/config.json"
	if m.Inputs[name] != "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" {
		t.Errorf("inputs %v", m.Inputs)
	}
	if err := m.Input(filepath.Join(dir, "absent")); err == nil {
		t.Error("an input that is not there")
	}
}
