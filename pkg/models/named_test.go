package models_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/hub"
	"stuffed/pkg/hub/hubtest"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
)

const tinyFolder = "../checkpoint/testdata/tiny"

func logits(t *testing.T, o *models.Opened) (all []float32) {
	t.Helper()
	_, err := o.Run(context.Background(), [][]int32{{1, 5, 7, 2}}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		all = append(all, p.Logits...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOpenByName: both layouts give by name what their folders give, with the network and then without it.
func TestOpenByName(t *testing.T) {
	s := hubtest.New(t)
	for name, folder := range map[string]string{"state-spaces/mamba2-tiny": tinyFolder + "/official", "org/tiny-hf": tinyFolder} {
		s.AddFolder(t, name, folder)
		local, err := models.Open(folder, "go", "")
		if err != nil {
			t.Fatal(err)
		}
		want := logits(t, local)
		for _, offline := range []string{"", "1"} {
			t.Setenv("HF_HUB_OFFLINE", offline)
			o, err := models.Open(name, "go", "")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(logits(t, o), want) {
				t.Errorf("%s: other logits than the folder's", name)
			}
			m, err := o.Manifest(nil, nil)
			if err != nil || len(m.Inputs) != 2 {
				t.Errorf("%s: the manifest has the inputs %v %v, want two files by hash", name, m.Inputs, err)
			}
		}
	}
}

func TestOpenByNameFails(t *testing.T) {
	hubtest.New(t)
	for name, want := range map[string][]string{
		"org/none": {"no folder org/none here", "401 Unauthorized", "check the name"}, "./org/none": {"org/none", "does not exist", "OWNER/MODEL"},
		"a/b/c": {`"a/b/c"`, "does not exist", "OWNER/MODEL", "preset:"}, "370m": {"preset:370m"}, "rwkv4/byte": {"preset:rwkv4/byte"},
		t.TempDir(): {"no such file", "a model is a folder with config.json"},
	} {
		_, err := models.Open(name, "go", "")
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %v, want one that says %q", name, err, part)
			}
		}
	}
}

// TestTokenizerByName: that of a model on the hub, and GPT-NeoX's from the hub for a model that has none.
func TestTokenizerByName(t *testing.T) {
	s := hubtest.New(t)
	content, err := os.ReadFile("testdata/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	s.Add("org/text", map[string][]byte{"tokenizer.json": content})
	s.Add("EleutherAI/gpt-neox-20b", map[string][]byte{"tokenizer.json": content})
	t.Chdir(t.TempDir()) // where no set-up has put GPT-NeoX's
	t.Setenv("STUFFED_NEOX", "")
	for name, rows := range map[string]int{"org/text": 600, "": 50288} {
		tok, err := models.Tokenizer(name, t.TempDir(), rows)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := tok.Encode("the"); err != nil || len(ids) == 0 {
			t.Errorf("%q: %v %v", name, ids, err)
		}
	}
	if _, err := models.OpenTokenizer("org/none"); err == nil || !strings.Contains(err.Error(), "no model of that name") {
		t.Errorf("error %v", err)
	}
	if _, err := models.OpenTokenizer("a/b/c"); err == nil || !strings.Contains(err.Error(), "does not exist") || !strings.Contains(err.Error(), "OWNER/MODEL") {
		t.Errorf("error %v", err)
	}
}

// TestDescribePreset: no preset is taken for the name of a model on the hub.
func TestDescribePreset(t *testing.T) {
	s := hubtest.New(t)
	for _, name := range []string{"rwkv4/byte", "preset:rwkv4/byte", "byte"} {
		var out bytes.Buffer
		if err := models.Describe(name, nil, &out); err != nil || !strings.HasPrefix(out.String(), "preset\n") {
			t.Errorf("%s: %v %s", name, err, out.String())
		}
	}
	if asked := s.Requests(); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	if err := models.Describe("a/b/c", nil, io.Discard); err == nil || !strings.Contains(err.Error(), "OWNER/MODEL") {
		t.Errorf("error %v", err)
	}
}

// TestDescribeByName needs the configuration alone.
func TestDescribeByName(t *testing.T) {
	s := hubtest.New(t)
	s.AddFolder(t, "state-spaces/mamba2-tiny", tinyFolder+"/official")
	for _, want := range []string{"its weights are not in the cache", "in the cache at"} {
		var out bytes.Buffer
		if err := models.Describe("state-spaces/mamba2-tiny", nil, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "state, recurrent alone") {
			t.Errorf("got %s, want %q", out.String(), want)
		}
		for _, r := range s.Requests() {
			if strings.HasPrefix(r, "store") {
				t.Errorf("asked %s", r)
			}
		}
		if _, err := models.Folder("state-spaces/mamba2-tiny"); err != nil {
			t.Fatal(err)
		}
		s.Requests()
	}
}

// TestKnownStates: what the table of known models says is what the presets have.
func TestKnownStates(t *testing.T) {
	found := 0
	for _, k := range hub.Known {
		c, err := mamba2.Preset(strings.TrimPrefix(k.Name, "state-spaces/mamba2-"))
		if err != nil {
			continue
		}
		found++
		if recurrent, _ := c.StateSize(); recurrent != k.State {
			t.Errorf("%s: state of %d, the preset has %d", k.Name, k.State, recurrent)
		}
	}
	if found != 5 {
		t.Errorf("%d presets found", found)
	}
}

// Example opens a model by its name on the hub; it is fetched into the cache that Python shares. See README.md of package hub.
func Example_byName() {
	model, err := models.Open("preset:byte", "go", "bytes") // or "state-spaces/mamba2-370m" where there is a network
	if err != nil {
		panic(err)
	}
	fmt.Println(model.Weights.Model.Name(), model.Dir)
	// Output: mamba2 preset:byte
}
