package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/hub/hubtest"
)

func fetchOutput(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := fetchCommand()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.Execute()
	return out.String(), err
}

// TestFetch prints the folder that holds what was asked for.
func TestFetch(t *testing.T) {
	s := hubtest.New(t)
	s.AddFolder(t, "org/tiny", "../../checkpoint/testdata/tiny")
	for _, c := range []struct {
		args  []string
		files int
	}{{[]string{"org/tiny", "--only", "config"}, 1}, {[]string{"org/tiny", "--verify"}, 2}} {
		out, err := fetchOutput(t, c.args...)
		if err != nil {
			t.Fatal(err)
		}
		dir := strings.TrimSpace(out)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != c.files || !strings.HasPrefix(dir, os.Getenv("HF_HOME")) {
			t.Errorf("%v: %s holds %v %v, want %d files", c.args, dir, entries, err, c.files)
		}
	}
	if _, err := os.Stat(filepath.Join(os.Getenv("HF_HOME"), "hub", "models--org--tiny", "refs", "main")); err != nil {
		t.Error(err)
	}
	if out, err := fetchOutput(t, "--list"); err != nil || !strings.Contains(out, "state-spaces/mamba2-370m") {
		t.Errorf("%s %v", out, err)
	}
	for want, args := range map[string][]string{
		"no model named": {}, "not a name on the hub": {"tiny"}, "--only": {"org/tiny", "--only", "weights"}, "no model of that name": {"org/none"}, "no tokenizer": {"org/tiny", "--only", "tokenizer"},
	} {
		if _, err := fetchOutput(t, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one that says %q", args, err, want)
		}
	}
}
