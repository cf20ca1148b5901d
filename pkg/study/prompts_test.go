//go:build !race

// Trains on the pure-Go backend: see train_test.go.

package study

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/tokenizer"
	"stuffed/pkg/train"
	"stuffed/xla"
)

const tinyText = `{"name": "tiny", "about": "a test", "base": {
 "train": {"data": {"kind": "corpus", "domains": ["code"], "cache": "CACHE"}, "model": {"layers": 1, "width": 16, "head_dim": 8, "state": 4},
  "train_length": 32, "batch_tokens": 128, "warmup": 2, "seeds": [1, 2]},
 "tokens": 512, "evaluate": {"length": 256, "sequences": 2, "traced": 1, "shares": [],
  "prompts": {"kinds": ["newlines", "documents", "shuffled", "repeated"], "traced": ["newlines"], "split": "test", "sequences": 3, "lead": 8}}},
 "groups": [{"name": "one", "cells": [{}]}]}`

// TestPromptLosses compares the tables of prompts with losses of single tokens.
func TestPromptLosses(t *testing.T) {
	p, err := ParsePlan([]byte(strings.Replace(tinyText, "CACHE", filepath.ToSlash(t.TempDir()), 1)))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	d, err := xla.Open("go", xla.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := rows[0].Config
	trainer, err := train.Open(d, c.Train)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Data.Close()
	if err := trainer.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	m := newMeasure(d, c, trainer)
	if err := m.prompted(context.Background(), trainer); err != nil {
		t.Fatal(err)
	}
	documents, err := trainer.Data.(train.Splits).Beginnings("test", 3, c.Length())
	if err != nil {
		t.Fatal(err)
	}
	loss := m.prompts["prompt_loss"]
	for _, kind := range c.Evaluate.Prompts.Kinds {
		sequences, err := c.Evaluate.Prompts.Prompts(kind, tokenizer.Bytes(), documents, c.Length())
		if err != nil {
			t.Fatal(err)
		}
		single, err := trainer.HeldLoss(context.Background(), sequences)
		if err != nil {
			t.Fatal(err)
		}
		part := loss.Filter(func(i int) bool { return loss.Columns[0].Texts[i] == kind })
		columns := map[string][]float64{}
		for _, name := range []string{"replica", "sequence", "position", "end", "loss"} {
			if columns[name], err = part.Float(name); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := part.Rows(), 2*3*len(m.starts); got != want {
			t.Fatalf("%s: %d rows, want %d", kind, got, want)
		}
		for i := range part.Rows() {
			row := single[int(columns["replica"][i])*3+int(columns["sequence"][i])]
			sum, n := 0.0, 0.0
			for at := int(columns["position"][i]); at < min(int(columns["end"][i]), len(row)); at++ {
				sum, n = sum+float64(row[at]), n+1
			}
			if math.Abs(columns["loss"][i]-sum/n) > 1e-5 {
				t.Errorf("%s, row %d: loss %g, its tokens give %g", kind, i, columns["loss"][i], sum/n)
			}
		}
	}
	if n := m.prompts["prompt_heads"].Rows(); n != 2*1*4 {
		t.Errorf("%d heads, want 8", n)
	}
}

func TestPrompts(t *testing.T) {
	p := &PromptConfig{Sequences: 2, Lead: 3}
	documents := [][]int32{{1, 2, 3, 4, 5, 6}, {7, 8, 9, 1, 2, 3}}
	for kind, want := range map[string][][]int32{
		"newlines":    {{10, 10, 10, 10, 10, 10}, {7, 8, 9, 10, 10, 10}},
		"constant:32": {{32, 32, 32, 32, 32, 32}, {7, 8, 9, 32, 32, 32}},
		"documents":   documents,
		"repeated":    {{'T', 'h', 'e', ' ', 's', 't'}, {7, 8, 9, 'T', 'h', 'e'}},
	} {
		got, err := p.Prompts(kind, tokenizer.Bytes(), documents, 6)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	shuffled, err := p.Prompts("shuffled", tokenizer.Bytes(), documents, 6)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range shuffled {
		if slices.Equal(row, documents[i]) {
			t.Errorf("document %d is not shuffled", i)
		}
		if !slices.Equal(slices.Sorted(slices.Values(row)), slices.Sorted(slices.Values(documents[i]))) {
			t.Errorf("document %d shuffled has other tokens", i)
		}
	}
}

func TestBadPrompts(t *testing.T) {
	for from, want := range map[string]string{
		`"newlines", "documents"`: "", `"newlines", "constant:300"`: "the model has 272 tokens", `"newlines", "poem"`: "kinds",
	} {
		_, err := ParsePlan([]byte(strings.Replace(tinyText, `"newlines", "documents"`, from, 1)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want an error about %q", from, err, want)
		}
	}
}
