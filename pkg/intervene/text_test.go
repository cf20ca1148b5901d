package intervene

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
)

// ownModel is a byte model with random weights in a folder of transformers' layout, and a text beside it.
func ownModel(t *testing.T) (model *models.Opened, texts prompt.Texts) {
	t.Helper()
	c := mamba2.Default(16, 2, 272)
	c.HeadDim, c.State, c.Chunk = 8, 4, 8
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := models.Save(filepath.Join(dir, "model"), m, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "own.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("All work and no play. ", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	model, err = models.Open(filepath.Join(dir, "model"), "go", "")
	if err != nil {
		t.Fatal(err)
	}
	return model, prompt.Texts{Kind: "documents", Corpus: text}
}

func TestOnTextShowsBothLosses(t *testing.T) {
	m, texts := ownModel(t)
	none, err := OnText(context.Background(), m, texts, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	change, err := none.Float("change")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range change {
		if v != 0 {
			t.Fatalf("an empty plan changes token %d by %v", i, v)
		}
	}
	ablated, err := OnText(context.Background(), m, texts, Ablate(Head{1, 2}), 1)
	if err != nil {
		t.Fatal(err)
	}
	loss, _ := ablated.Float("loss")
	changed, _ := ablated.Float("changed")
	change, _ = ablated.Float("change")
	text, err := ablated.Text("text")
	if err != nil {
		t.Fatal(err)
	}
	moved := 0.0
	for i := range loss {
		if math.Abs(changed[i]-loss[i]-change[i]) > 1e-12 {
			t.Errorf("token %d: %v − %v is not %v", i, changed[i], loss[i], change[i])
		}
		moved = max(moved, math.Abs(change[i]))
	}
	if moved == 0 || strings.Join(text, "") != strings.Repeat("All work and no play. ", 8)[1:] {
		t.Errorf("moved by %v at most; text %q", moved, text)
	}
	if _, err := OnText(context.Background(), m, texts, Ablate(Head{5, 0}), 1); err == nil || !strings.Contains(err.Error(), "5") {
		t.Errorf("a layer that is not there: %v", err)
	}
}
