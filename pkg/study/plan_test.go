package study

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const tiny = `{"name": "tiny", "about": "a test", "base": {
 "train": {"data": {"keys": 24, "values": 8}, "model": {"layers": 1, "width": 16, "head_dim": 8, "state": 4},
  "train_length": 16, "batch_tokens": 128, "warmup": 2, "chain": 4, "policy": ["zero", "carried"], "seeds": [1, 2]},
 "tokens": 1024, "gap_share": 0.5, "evaluate": {"times": 16, "sequences": 4, "traced": 2, "shares": [0.5]}},
 "groups": [
  {"name": "grid", "axes": [{"field": "train.model.state", "values": [4, 8]}, {"field": "train.train_length", "values": [16, 32]}]},
  {"name": "control", "set": {"gap_share": 0, "train.data.gap": 8}, "cells": [{"train.train_length": 16}, {"train.train_length": 64}]}]}`

func TestPlanExpands(t *testing.T) {
	p, err := ParsePlan([]byte(tiny))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 5 { // 4 of the grid and 2 of the control, one of which is also in the grid
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
		if len(r.Config.Train.Members()) != 4 {
			t.Errorf("%d members, want 4", len(r.Config.Train.Members()))
		}
	}
	if got := strings.Join(rows[0].Groups, " "); got != "grid control" {
		t.Errorf("row 1 (%s) belongs to %q, want grid and control", labels[0], got)
	}
	if rows[1].Config.Train.Data.Gap != 16 || rows[4].Config.Train.Data.Gap != 8 {
		t.Errorf("gaps %d and %d, want 16 (half of 32) and 8 (fixed)", rows[1].Config.Train.Data.Gap, rows[4].Config.Train.Data.Gap)
	}
	if some, err := Named(rows, []string{rows[3].Hash, rows[1].Hash}); err != nil || len(some) != 2 || some[0].Hash != rows[1].Hash {
		t.Errorf("two rows by name: %d, %v", len(some), err)
	}
	if _, err := Named(rows, []string{"none"}); err == nil {
		t.Error("a row that is not in the plan is found")
	}
	again, _ := ParsePlan([]byte(tiny))
	if twice, _ := again.Rows(); twice[2].Hash != rows[2].Hash {
		t.Error("the same plan gives other hashes")
	}
}

func TestPlanBadInput(t *testing.T) {
	for want, change := range map[string][2]string{
		`unknown field "heads"`: {`"layers": 1`, `"heads": 1`},
		"policy":                {`"carried"`, `"lost"`},
		"train_length = 1":      {`"values": [16, 32]`, `"values": [1]`},
		"head_dim":              {`"head_dim": 8`, `"head_dim": 7`},
		"data.kind":             {`"keys": 24`, `"kind": "music"`},
		"at least one group":    {`"groups": [`, `"groups": [], "x": [`},
		"chain":                 {`"chain": 4`, `"chain": 0`},
		"shares":                {`[0.5]`, `[1.5]`},
		"multiple of":           {`"values": [16, 32]`, `"values": [17]`},
		"keep holds":            {`"tokens": 1024`, `"keep": ["zero-3"], "tokens": 1024`},
		"learned":               {`"carried"]`, `"learned"]`},
		"traced":                {`"traced": 2`, `"traced": 9`},
	} {
		text := strings.Replace(tiny, change[0], change[1], 1)
		if text == tiny {
			t.Fatalf("%q changes nothing", change[0])
		}
		_, err := ParsePlan([]byte(text))
		if want == "at least one group" && err != nil {
			continue // the unknown key is reported first
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s → %s: error %v, want %q", change[0], change[1], err, want)
		}
	}
}

func TestShippedPlans(t *testing.T) {
	want := map[string]int{"recall-table": 4, "over-training": 4, "gap": 8, "forget": 20, "capacity": 11, "small": 16, "text": 2, "text-law": 42, "text-law-512": 12, "scale-bridge": 3, "mqar": 39, "passkey": 3, "architectures": 91, "norm-limit": 3, "erase": 2}
	for _, name := range Plans() {
		p, err := ReadPlan(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rows, err := p.Rows()
		if err != nil || p.Name != name || len(rows) != want[name] {
			t.Errorf("%s is called %s and has %d rows, want %d: %v", name, p.Name, len(rows), want[name], err)
		}
	}
	if _, err := ReadPlan("lawz"); err == nil || !strings.Contains(err.Error(), "recall-table") {
		t.Errorf("an unknown plan: %v", err)
	}
}

// TestPlanOrder: the first learning rate of every group precedes the second of any, and groups alternate.
func TestPlanOrder(t *testing.T) {
	rates := `{"field": "train.lr", "values": [[0.1], [0.2]]}`
	text := strings.Replace(tiny, `"groups": [`, `"order": "train.lr", "groups": [
  {"name": "a", "axes": [`+rates+`, {"field": "train.model.state", "values": [4, 8]}]},
  {"name": "b", "axes": [`+rates+`, {"field": "train.model.state", "values": [16]}]},`, 1)
	text = text[:strings.Index(text, `,
  {"name": "grid"`)] + "]}"
	p, err := ParsePlan([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(r.Groups[0], r.Config.Train.LR[0], " N ", r.Config.Train.Model.Sizes().State))
	}
	if want := "a0.1 N 4, b0.1 N 16, a0.1 N 8, a0.2 N 4, b0.2 N 16, a0.2 N 8"; strings.Join(got, ", ") != want {
		t.Errorf("rows %s, want %s", strings.Join(got, ", "), want)
	}
}

func TestFolderHidesNoPlan(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("recall-table", 0o755); err != nil {
		t.Fatal(err)
	}
	if p, err := ReadPlan("recall-table"); err != nil || p.Name != "recall-table" {
		t.Errorf("a folder beside the shipped plan of its name: %v", err)
	}
	if err := os.Mkdir("nobody", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPlan("nobody"); err == nil || !strings.Contains(err.Error(), "neither a file nor one of") {
		t.Errorf("a folder that is no plan: %v", err)
	}
}

// Rows with equal labels but different configurations are distinguished by their groups.
func TestLabelsTellRowsApart(t *testing.T) {
	for _, name := range []string{"mqar", "erase", "gap", "norm-limit", "text-law"} {
		p, err := ReadPlan(name)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.Rows()
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range rows {
			if seen[r.Label] {
				t.Errorf("%s: two rows are called %q", name, r.Label)
			}
			seen[r.Label] = true
		}
	}
}
