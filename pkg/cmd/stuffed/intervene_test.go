package main

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// recallModel writes a small model with random weights.
func recallModel(t *testing.T) string {
	t.Helper()
	config := mamba2.Default(16, 2, 32)
	config.HeadDim, config.State = 8, 4
	m, err := mamba2.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "small")
	if err := models.Save(dir, m, w, 0, "huggingface", "F32"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runCommand(c *cobra.Command, args ...string) error {
	c.SetArgs(args)
	c.SilenceUsage, c.SilenceErrors = true, true
	return c.ExecuteContext(context.Background())
}

func TestInterveneAndMitigateWriteTables(t *testing.T) {
	model, dir := recallModel(t), t.TempDir()
	common := []string{"--model", model, "--backend", "go", "--train-length", "8", "--gap", "4", "--keys", "24", "--values", "8",
		"--multiples", "1,4", "--sequences", "2", "--piece", "32"}
	plan := filepath.Join(dir, "plan.json")
	write := func(text string) {
		if err := os.WriteFile(plan, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := func(args ...string) []string { return append(append([]string{}, common...), args...) }
	rows := func(path string) int {
		t.Helper()
		tab, err := table.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + ".manifest.json"); err != nil {
			t.Error(err)
		}
		return tab.Rows()
	}
	write(`[{"kind": "alpha_clamp", "heads": [{"layer": 0, "head": 3}], "high": 0.5, "from": 8}]`)
	out := filepath.Join(dir, "plan.csv")
	if err := runCommand(interveneCommand(), with("--plan", plan, "--output", out)...); err != nil {
		t.Fatal(err)
	}
	if n := rows(out); n != 4 {
		t.Errorf("%d rows of the plan", n)
	}
	out = filepath.Join(dir, "dose.csv")
	if err := runCommand(interveneCommand(), with("--kind", "a_scale", "--doses", "1,2", "--heads", "top:1", "--random", "1", "--output", out)...); err != nil {
		t.Fatal(err)
	}
	if n := rows(out); n != 2*(1+2+2) {
		t.Errorf("%d rows of the doses", n)
	}
	out = filepath.Join(dir, "causes.csv")
	if err := runCommand(interveneCommand(), with("--causes", "1", "--output", out)...); err != nil {
		t.Fatal(err)
	}
	if n := rows(out); n != 2*10 {
		t.Errorf("%d rows of the causes", n)
	}
	out = filepath.Join(dir, "m.parquet")
	if err := runCommand(mitigateCommand(), with("--methods", "window", "--choosing", "1", "--summary", filepath.Join(dir, "s.csv"), "--output", out)...); err != nil {
		t.Fatal(err)
	}
	if n := rows(out); n != 4 {
		t.Errorf("%d rows of mitigations", n)
	}
	for _, bad := range []struct {
		plan, want string
		args       []string
	}{
		{`[{"kind": "ablate", "heads": [{"layer": 0, "head": 9}]}]`, "head 0.9 does not exist", []string{"--plan", plan}},
		{`[{"kind": "ablate"}, {"kind": "delta_scale", "value": 0.5}]`, "contradict", []string{"--plan", plan}},
		{`[{"kind": "ablate", "haeds": []}]`, "haeds", []string{"--plan", plan}},
		{`[]`, "is not layer.head", []string{"--kind", "a_scale", "--doses", "1", "--heads", "x"}},
		{`[]`, "want 1 … ", []string{"--causes", "99"}},
		{`[]`, "outside", []string{"--kind", "alpha_scale", "--doses", "2", "--heads", "0.1"}},
	} {
		write(bad.plan)
		err := runCommand(interveneCommand(), with(append(bad.args, "--output", filepath.Join(dir, "bad.csv"))...)...)
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s %v: %v, want %q", bad.plan, bad.args, err, bad.want)
		}
	}
	err := runCommand(mitigateCommand(), with("--methods", "hope", "--output", filepath.Join(dir, "bad.csv"))...)
	if err == nil || !strings.Contains(err.Error(), "hope") {
		t.Error(err)
	}
}

func TestInterveneOnOwnText(t *testing.T) {
	model, dir := smallModel(t), t.TempDir()
	text, output := filepath.Join(dir, "own.txt"), filepath.Join(dir, "i.csv")
	if err := os.WriteFile(text, []byte(strings.Repeat("All work and no play. ", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"--model", model, "--backend", "go", "--input", text, "--output", output}
	if err := runCommand(interveneCommand(), append(common, "--kind", "ablate", "--heads", "0.1")...); err != nil {
		t.Fatal(err)
	}
	got, err := table.Read(output)
	if err != nil || got.Rows() < 80 || got.Require("loss", "changed", "change", "text") != nil {
		t.Fatalf("%v, %v", got, err)
	}
	// Heads that do what they do on the same text change nothing, on another text something.
	other := filepath.Join(dir, "other.txt")
	if err := os.WriteFile(other, []byte(strings.Repeat("zzz 123 ", 12)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{text, other} {
		output := filepath.Join(t.TempDir(), "patched.csv")
		if err := runCommand(interveneCommand(), append(common, "--patch", from, "--heads", "0.0,0.1", "--length", "16", "--output", output)...); err != nil {
			t.Fatal(err)
		}
		most := 0.0
		if got, err = table.Read(output); err != nil {
			t.Fatal(err)
		}
		change, err := got.Float("change")
		if err != nil || len(change) != 15 || got.Require("text") != nil {
			t.Fatal(err, len(change))
		}
		for _, v := range change {
			most = max(most, math.Abs(v))
		}
		if (most > 1e-5) != (from == other) {
			t.Errorf("patched from %s: largest change %g", filepath.Base(from), most)
		}
	}
	for name, args := range map[string][]string{"--heads": {"--kind", "ablate", "--heads", "top:1"}, "--doses": {"--kind", "alpha_clamp_high", "--heads", "0.1"},
		"--bucket": {"--patch", other, "--heads", "0.1", "--bucket", "2"}, "[kind patch]": {"--kind", "ablate", "--patch", other, "--heads", "0.1"}} {
		if err := runCommand(interveneCommand(), append(common, args...)...); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
