//go:build !race

// Excluded from the race detector; see train_test.go for the reason.

package study

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/xla"
)

// smallest shrinks a row of the plan architectures to a size that the pure-Go backend handles in a moment, keeping the architecture's own
// options.
func smallest(t *testing.T, row Row) Row {
	t.Helper()
	c := row.Config
	text, err := json.Marshal(c.Train.Model)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{"num_hidden_layers": 2, "layers": 2, "hidden_size": 16, "width": 16, "num_heads": 2, "num_attention_heads": 2,
		"head_dim": 8, "head_size": 8, "expand_ratio": 8, "state": 4, "state_size": 4, "intermediate_size": 16, "attention_hidden_size": 0, "num_v_heads": 0, "chunk": 16} {
		if _, has := fields[name]; has {
			fields[name] = value
		}
	}
	if text, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	var model lm.Any
	if err := json.Unmarshal(text, &model); err != nil {
		t.Fatal(err)
	}
	c.Train.Model = model
	c.Train.TrainLength, c.Train.BatchTokens, c.Train.Steps, c.Train.Warmup, c.Train.StepsPerCall, c.Train.Compute = 32, 64, 2, 1, 1, "f32"
	c.Evaluate.Length, c.Evaluate.Sequences, c.Evaluate.Traced = 96, 1, 1
	if p := c.Evaluate.Prompts; p != nil {
		c.Train.Data.Path, p.Kinds, p.Traced, p.Sequences, p.Lead = "", []string{"newlines", "documents"}, []string{"newlines"}, 1, 8
	}
	if err := c.Validate(); err != nil {
		t.Fatalf("%s: %v", row.Label, err)
	}
	row.Config, row.Hash = c, c.Hash()
	return row
}

// Every architecture of the plan trains, is measured and exposes its states, on text and on the recall stream; the tables name it.
func TestArchitecturesAreMeasured(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	p, err := ReadPlan("architectures")
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	for _, row := range all[:26] { // text at T 512 and recall at T 64
		rows = append(rows, smallest(t, row))
	}
	s := testStore(t, t.TempDir())
	w := Worker{Store: s, Runner: &Trainer{Device: d}, Log: t.Logf}
	if sum, err := w.Run(context.Background(), rows); err != nil || sum.Done != len(rows) {
		t.Fatalf("%+v, %v", sum, err)
	}
	dir := filepath.Join(s.Dir, "tables")
	if _, _, err := s.Collect(rows, dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"outcome": 13, "prompt_loss": 13, "prompt_state": 12, "heads": 12} {
		got, err := table.Read(filepath.Join(dir, name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		architectures, err := got.Text("architecture")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, a := range architectures {
			seen[a] = true
		}
		if len(seen) != want || seen["llama"] != (want == 13) {
			t.Errorf("%s shows %v, want %d architectures, llama among them only where no state is asked for", name, seen, want)
		}
		if name != "prompt_loss" {
			continue
		}
		loss, err := got.Float("loss")
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range loss {
			if !(v > 2 && v < 12) {
				t.Errorf("%s: loss %g before it has learned, want about ln 272", architectures[i], v)
			}
		}
	}
	if labels := rows[1].Label + rows[12].Label; !strings.Contains(labels, "gated-deltanet") || !strings.Contains(labels, "rwkv4") {
		t.Errorf("labels %q do not name the architectures", labels)
	}
}
