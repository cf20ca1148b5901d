package train

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestReadRunsTellsModelsApart(t *testing.T) {
	dir := t.TempDir()
	for name, lines := range map[string]string{
		"one":  `{"step":1,"tokens":64,"replica":0,"policy":"zero","lr":0.1,"seed":0,"loss":5}` + "\n",
		"both": `{"step":1,"tokens":64,"replica":0,"policy":"zero","lr":0.1,"seed":0,"loss":4}` + "\n" + `{"step":1,"tokens":64,"replica":1,"policy":"passed","lr":0.1,"seed":0,"loss":3}` + "\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "metrics.jsonl"), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := ReadRuns(filepath.Join(dir, "one"), filepath.Join(dir, "both"))
	if err != nil {
		t.Fatal(err)
	}
	names, _ := runs.Text("run")
	losses, _ := runs.Float("loss")
	if got := fmt.Sprint(names, losses); got != "[one both policy zero both policy passed] [5 4 3]" {
		t.Error(got)
	}
	if _, err := ReadRuns(filepath.Join(dir, "none")); err == nil {
		t.Error("a run that is not there")
	}
}
