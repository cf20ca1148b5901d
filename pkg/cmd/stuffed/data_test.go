package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// execute runs one command as the command line would.
func execute(c *cobra.Command, args ...string) (string, error) {
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

func smallCorpus(t *testing.T) string {
	t.Helper()
	var lines strings.Builder
	for split, texts := range map[string][]string{"train": {"the cat sat on the mat and the dog sat on the cat", "the dog ate"}, "valid": {"the cat sat", "the dog ate"}} {
		for _, text := range texts {
			line, _ := json.Marshal(map[string]string{"text": text, "split": split, "domain": "x"})
			lines.Write(append(line, '\n'))
		}
	}
	path := filepath.Join(t.TempDir(), "c.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDataCommand(t *testing.T) {
	corpus, cache := smallCorpus(t), filepath.Join(t.TempDir(), "cache")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"stats"}, []string{"x  train          2     60", "all    all          4     82"}},
		{[]string{"dedup"}, []string{"exact  1.000", "1 exact and 0 near copies"}},
		{[]string{"build", "--cache", cache}, []string{"1 exact and 0 near copies", "1 kept (49 bytes, 50 tokens)", "cached before: false"}},
		{[]string{"build", "--cache", cache}, []string{"cached before: true"}},
		{[]string{"baseline", "--domain", "x", "--order", "3"}, []string{"2-gram", "3-gram", "valid alone", "valid after train"}},
	} {
		out, err := execute(dataCommand(), append(c.args, "--corpus", corpus)...)
		if err != nil {
			t.Fatal(c.args, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: %q is not in\n%s", c.args, w, out)
			}
		}
	}
	for want, args := range map[string][]string{
		"near_duplicates is 0.1": {"dedup", "--near", "0.1", "--corpus", corpus},
		"does not exist":         {"stats", "--corpus", "missing.jsonl"},
		"order is 9":             {"baseline", "--order", "9", "--corpus", corpus, "--domain", "x"},
		"0 train and 0 valid":    {"baseline", "--corpus", corpus},
		"empty after filtering":  {"build", "--split", "test", "--corpus", corpus, "--cache", cache},
	} {
		if _, err := execute(dataCommand(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}
