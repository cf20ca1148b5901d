package study

import (
	"strings"
	"testing"
)

const tiny = `{"name": "tiny", "about": "a test", "base": {
 "data": {"kind": "recall", "keys": 24, "values": 8, "gap_share": 0.5},
 "model": {"layers": 1, "width": 16, "head_dim": 8, "expand": 2, "state": 4},
 "train": {"length": 16, "tokens": 1024, "step_tokens": 128, "rate": 0.002, "weight_decay": 0.1, "clip": 1,
  "warm_up": 2, "final": 0.2, "chain": 4, "compute": "float32"},
 "policies": ["zero", "carried"], "seeds": [1, 2], "evaluate": {"times": 16, "sequences": 2, "shares": [0.5]}},
 "groups": [
  {"name": "grid", "axes": [{"field": "model.state", "values": [4, 8]}, {"field": "train.length", "values": [16, 32]}]},
  {"name": "control", "set": {"data.gap_share": 0, "data.gap": 8}, "cells": [{"train.length": 16}, {"train.length": 64}]}]}`

func TestPlanExpands(t *testing.T) {
	p, err := ParsePlan([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 { // 4 of the grid, 2 of the control, one of which the grid has too
		t.Fatalf("%d rows, want 5", len(rows))
	}
	var labels []string
	seen := map[string]bool{}
	for _, r := range rows {
		labels = append(labels, r.Label)
		if seen[r.Hash] {
			t.Errorf("hash %s twice", r.Hash)
		}
		seen[r.Hash] = true
		if len(r.Config.Replicas()) != 4 {
			t.Errorf("%d replicas, want 4", len(r.Config.Replicas()))
		}
	}
	if got := strings.Join(rows[0].Groups, " "); got != "grid control" {
		t.Errorf("row 1 (%s) belongs to %q, want grid and control", labels[0], got)
	}
	if rows[1].Config.Data.Gap != 16 || rows[4].Config.Data.Gap != 8 {
		t.Errorf("gaps %d and %d, want 16 (half of 32) and 8 (fixed)", rows[1].Config.Data.Gap, rows[4].Config.Data.Gap)
	}
	again, _ := ParsePlan([]byte(tiny))
	if twice, _ := again.Rows(); twice[2].Hash != rows[2].Hash {
		t.Error("the same plan gives other hashes")
	}
}

func TestPlanBadInput(t *testing.T) {
	for want, change := range map[string][2]string{
		`unknown field "heads"`: {`"layers": 1`, `"heads": 1`},
		"policies holds":        {`"carried"`, `"lost"`},
		"train.length = 4":      {`"values": [16, 32]`, `"values": [4]`},
		"head_dim":              {`"head_dim": 8`, `"head_dim": 7`},
		"data.kind":             {`"recall"`, `"music"`},
		"at least one group":    {`"groups": [`, `"groups": [], "x": [`},
		"chains of 2":           {`"chain": 4`, `"chain": 1`},
		"shares":                {`[0.5]`, `[1.5]`},
		"keep holds":            {`"seeds": [1, 2]`, `"keep": ["zero-3"], "seeds": [1, 2]`},
	} {
		text := strings.Replace(tiny, change[0], change[1], 1)
		if text == tiny {
			t.Fatalf("%q changes nothing", change[0])
		}
		_, err := ParsePlan([]byte(text))
		if want == "at least one group" && err != nil {
			continue // the stray key is refused first
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s → %s: error %v, want %q", change[0], change[1], err, want)
		}
	}
}
