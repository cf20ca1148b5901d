package paper

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/bound"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// TestPasskeyReport: T_recall is the last length before the first that misses the level, and rows that have not run are named.
func TestPasskeyReport(t *testing.T) {
	root := filepath.Join("..", "..", study.Shipped)
	text, err := PasskeyReport(root)
	for _, want := range []string{"at 256, 512, 1,024, 2,048, 4,096, 8,192 tokens", "N 64, seed 1: 100 %, 100 %, 67 %", "T_recall 512 tokens, not 1,024", "128 pairs 0.719", "N 16, seed 3: 95 %, 98 %, 53 %, 23 %, 12 %, 2 %, T_recall 512 tokens"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%q is not in (%v)\n%s", want, err, text)
		}
	}
	for id, rows := range map[string]int{"12_passkey": 6, "12_pairs": 5} {
		if f, err := Draw(id, root); err != nil || f.Table.Rows() < rows {
			t.Errorf("%s: %d rows, %v", id, f.Table.Rows(), err)
		}
	}
}

// The words by state size are those of the table, counted here without the report's reductions: 3 seeds of 10 depths of 10.
func TestPasskeyReportBySize(t *testing.T) {
	root := filepath.Join("..", "..", study.Shipped)
	text, err := PasskeyReport(root)
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		Task   string  `parquet:"task" doc:"name"`
		State  int     `parquet:"state" doc:"N"`
		Seed   int     `parquet:"seed" doc:"of weights"`
		Length int     `parquet:"length" doc:"tokens"`
		Tokens int     `parquet:"tokens" doc:"trained on"`
		Exact  float64 `parquet:"exact" doc:"share"`
	}
	all, err := study.Read(root, PasskeyPlan, "task")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table.Rows[cell](all)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	for _, r := range rows {
		last = max(last, r.Tokens)
	}
	sum, n, seen := map[int]float64{}, map[int]float64{}, map[int]bool{}
	for _, r := range rows {
		if seen[r.State] = true; r.Task == "passkey" && r.Length == 2048 && r.Tokens == last {
			sum[r.State], n[r.State] = sum[r.State]+100*r.Exact, n[r.State]+1
		}
	}
	for state := range seen {
		_, said, _ := strings.Cut(text, "By state size")
		_, said, _ = strings.Cut(said, fmt.Sprintf("N %d: ", state))
		if want := fmt.Sprintf(", %.0f %% [", sum[state]/n[state]); n[state] == 0 || !strings.Contains(strings.Split(said, ";")[0], want) {
			t.Errorf("N %d at 2,048 tokens: %q is not in %q", state, want, said)
		}
	}
}

// TestPasskeysHoldBounds: no model of the study recalls more of a list than 32 bits for each number that it carries allow.
func TestPasskeysHoldBounds(t *testing.T) {
	type cell struct {
		Task     string  `parquet:"task" doc:"name"`
		Length   int     `parquet:"length" doc:"tokens"`
		Accuracy float64 `parquet:"accuracy" doc:"share of answers"`
		Carried  float64 `parquet:"n_s_carried" doc:"millions of numbers"`
	}
	all, err := study.Read(filepath.Join("..", "..", study.Shipped), PasskeyPlan, "task")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table.Rows[cell](all)
	if err != nil || len(rows) == 0 {
		t.Fatal(len(rows), err)
	}
	for _, r := range rows {
		items, values := r.Length/4, 64
		if r.Task == "passkey" {
			items, values = 5, 10
		}
		if held, there := bound.Information(items, values, 1-r.Accuracy), stateBits*1e6*r.Carried; !(held <= there) {
			t.Errorf("%s, %d tokens: %g bits in %g", r.Task, r.Length, held, there)
		}
	}
}

// TestMultikeyReport: intervals that lie apart from those of the model as it is help or harm; a table that is not there is said to be so.
func TestMultikeyReport(t *testing.T) {
	root := t.TempDir()
	text, err := MultikeyReport(root)
	if err != nil || !strings.Contains(text, "Not there") || !strings.Contains(text, "--mitigate all") {
		t.Errorf("%s %v", text, err)
	}
	if _, err := Draw("14_multikey", root); !Unseen(err) {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(root, "mitigations"), 0o755); err != nil {
		t.Fatal(err)
	}
	rows := "method,parameters,length,group,accuracy,accuracy_low,accuracy_high\n" +
		"none,,64,pairs 16,0.5,0.4,0.6\nnorm_clamp,a,64,pairs 16,0.7,0.65,0.75\nwindow,a,64,pairs 16,0.3,0.2,0.35\nforget,a,64,pairs 16,0.55,0.5,0.65\n"
	if err := os.WriteFile(filepath.Join(root, "mitigations", "multikey.csv"), []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err = MultikeyReport(root)
	if want := "**pairs 16, 64 tokens**: 0.500 as it is. Of 3 mitigations, those that help: norm clamp 0.700; those that harm: method 3: window 0.300."; err != nil || !strings.Contains(text, want) {
		t.Errorf("%s\nwant %s (%v)", text, want, err)
	}
	if f, err := Draw("14_multikey", root); err != nil || f.Table.Rows() != 4 {
		t.Error(f.Table.Rows(), err)
	}
}
