package main

import (
	"strings"
	"testing"
)

// What a host does not have, or a command does not know, is refused before anything runs.
func TestScalingRefuses(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "0,1")
	for want, args := range map[string][]string{
		"--devices asks for 4, but this host has 2 (cuda)": {"--backend", "cuda", "--devices", "1,4"},
		"--devices asks for 8, but this host has 4 (cpu)":  {"--backend", "cpu", "--devices", "8"},
		"hold 0; choose 1 or more":                         {"--backend", "cpu", "--workers", "0"},
		`--only names "speed"`:                             {"--backend", "cpu", "--only", "speed"},
		"--steps is 0":                                     {"--backend", "cpu", "--steps", "0"},
	} {
		if err := runCommand(benchScaling(), args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	if err := runCommand(benchGrowth(), "--only", "height"); err == nil || !strings.Contains(err.Error(), "choose from T, one call") {
		t.Error(err)
	}
	if err := runCommand(lossCommand(), "--model", smallModel(t), "--backend", "go", "--devices", "2", "--kind", "newlines", "--length", "32", "--output", t.TempDir()+"/l.csv"); err == nil ||
		!strings.Contains(err.Error(), "--devices: 2 asked for, go has 1") {
		t.Error(err)
	}
}
