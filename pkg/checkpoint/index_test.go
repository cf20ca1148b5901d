package checkpoint

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestModelsAreFoundThroughAnIndex(t *testing.T) {
	const models = "../../datasets/models"
	text, err := os.ReadFile(filepath.Join(models, IndexName))
	if err != nil {
		t.Fatal(err)
	}
	var index map[string]string
	if err := json.Unmarshal(text, &index); err != nil || len(index) == 0 {
		t.Fatalf("%v: %s", err, text)
	}
	for name := range index {
		folder, err := Folder(filepath.Join(models, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if file, err := ReadWeights(folder); err != nil || len(file.Tensors) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Folder(filepath.Join(models, "absent")); err == nil || !strings.Contains(err.Error(), "text-t64") {
		t.Errorf("a name that is not in the index: %v", err)
	}
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "absent"), ""} {
		if got, err := Folder(path); got != path || err != nil {
			t.Errorf("without an index %q becomes %q, %v", path, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, IndexName), []byte("[]"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Folder(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), IndexName) {
		t.Errorf("a damaged index: %v", err)
	}
}
