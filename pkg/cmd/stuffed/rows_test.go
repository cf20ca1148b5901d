package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"stuffed/pkg/collapse"
	"stuffed/pkg/eval"
	"stuffed/pkg/intervene"
	"stuffed/pkg/paper"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// The shipped tables go through their row types and come out byte for byte. Columns that others put in front or at the end stay aside.
func TestShippedTablesHaveTheirRows(t *testing.T) {
	again[intervene.Response](t, "interventions/dose.csv")
	again[intervene.Result](t, "interventions/causes.csv")
	again[intervene.Match](t, "interventions/matched.csv")
	again[intervene.Bound](t, "interventions/bounded.csv")
	again[intervene.Bound](t, "interventions/bounded_sizes.csv")
	again[intervene.Result](t, "mitigations/table.csv")
	again[intervene.Tried](t, "mitigations/sweep.csv")
	again[intervene.Mean](t, "mitigations/summary.csv")
	again[intervene.EqualRow](t, "memory/equal.csv")
	again[eval.Gap](t, "memory/oracle.csv", "model", "train_length")
	again[eval.Remembrance](t, "memory/remembrance.csv", "model", "train_length", "times", "read")
	again[eval.Covered](t, "memory/states.csv", "model", "train_length")
	again[eval.HeadCoherence](t, "memory/coherence.csv", "model", "train_length")
	again[paper.PromptRow](t, "probes/prompts.csv")
	again[paper.ComponentRow](t, "probes/components.csv")
	rows := "text-law/rows/018b9fc03882/"
	again[study.TrainingRow](t, rows+"training.parquet")
	again[study.LossRow](t, rows+"loss.parquet")
	again[study.OutcomeRow](t, rows+"outcome.parquet")
	again[study.HeadRow](t, rows+"heads.parquet")
	again[study.StateRow](t, rows+"state.parquet")
	again[study.PromptLossRow](t, rows+"prompt_loss.parquet")
	again[study.PromptHeadRow](t, rows+"prompt_heads.parquet")
	again[study.PromptStateRow](t, rows+"prompt_state.parquet")
	again[study.AgeRow](t, "architectures/rows/1a9a84166e42/age.parquet")
}

// again reads a table of the studies as rows and compares what they write.
func again[R any](t *testing.T, name string, aside ...string) {
	t.Helper()
	shipped, err := table.Read(filepath.Join("..", "..", "..", "datasets", "study", name))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := table.Rows[R](shipped)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	columns := slices.DeleteFunc(shipped.Names(), func(n string) bool { return slices.Contains(aside, n) })
	if got := table.Of(rows).Names(); !slices.Equal(got, columns) {
		t.Fatalf("%s has the columns %v, its row type %v", name, columns, got)
	}
	dir := t.TempDir()
	write := func(t *testing.T, file string, of *table.Table) []byte {
		path := filepath.Join(dir, file)
		if err := of.Write(path); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if got, want := write(t, "rows.csv", table.Of(rows)), write(t, "shipped.csv", shipped.Without(aside...)); !bytes.Equal(got, want) {
		t.Errorf("%s: its %d rows write other values", name, len(rows))
	}
}

// The help of a command says what each column of its table holds.
func TestHelpDocumentsColumns(t *testing.T) {
	for command, columns := range map[string][]string{
		"loss":          {table.Help[eval.LossRow](), table.Help[eval.MeanLossRow]()},
		"memory":        {table.Help[eval.Gap](), table.Help[eval.Covered]()},
		"memory equal":  {table.Help[intervene.EqualRow]()},
		"mitigate":      {table.Help[intervene.Result](), table.Help[intervene.Tried](), table.Help[intervene.Mean]()},
		"intervene":     {table.Help[intervene.Response]()},
		"probes":        {table.Help[paper.PromptRow](), table.Help[paper.ComponentRow]()},
		"matched":       {table.Help[intervene.Match]()},
		"collapse":      {table.Help[collapse.SweepRow]()},
		"bound study":   {table.Help[paper.HeldRow]()},
		"bounded":       {table.Help[intervene.Bound]()},
		"task run":      {table.Help[task.Row](), table.Help[task.SummaryRow]()},
		"task noise":    {table.Help[eval.NoiseRow]()},
		"task channels": {table.Help[eval.ChannelRow]()},
		"task rank":     {table.Help[eval.Rank]()},
		"task ask":      {table.Help[eval.LongTextRow]()},
		"study collect": {table.Help[study.OutcomeRow](), table.Help[study.StateRow]()},
	} {
		root, out := &cobra.Command{}, &bytes.Buffer{}
		for _, c := range commands {
			root.AddCommand(c())
		}
		root.SetOut(out)
		root.SetArgs(append(strings.Fields(command), "--help"))
		if err := root.Execute(); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for _, want := range columns {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s --help does not contain:\n%s", command, want)
			}
		}
	}
}
