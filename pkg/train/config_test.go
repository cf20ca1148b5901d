package train

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/mamba2"
)

func TestConfigRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"accumulate=3":          "accumulate = 3 must divide",
		"train_length=24":       "multiple of train_length",
		"policy=zeros":          `policy = "zeros" is unknown`,
		"policy=zero,zero":      "listed twice",
		"lr=0":                  "lr = 0",
		"seeds=[]":              "at least one value",
		"data.kind=text":        `data.kind = "text"`,
		"data.gap=0":            "gap is 0",
		"model.head_dim=7":      "head_dim",
		"schedule=linear":       "wsd, cosine, constant",
		"compute=f16":           "f32, bf16",
		"beta2=1":               "beta2",
		"steps=0":               "steps = 0",
		"loss_pieces=5":         "loss_pieces",
		"snapshots.keep=0":      "snapshots.keep",
		"model.vocab=12":        "model.vocab = 12 is below the 16 ids",
		"seeds=1,2 lr=0.1,0.01": "",
	} {
		c := tiny(t, "data.cache="+t.TempDir())
		err := c.Set(strings.Fields(set)...)
		if err == nil {
			_, _, err = Prepare(c)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", set, err, want)
		}
	}
	c := tiny(t, "policy=carried")
	c.Chain, c.Model.Config = 0, c.Model.WithVocab(16)
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "chain") {
		t.Errorf("a carried recall stream without a chain: %v", err)
	}
}

func TestOverrides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.json")
	if err := os.WriteFile(path, []byte(`{"preset": "byte", "model": {"state": 16}, "seeds": [4], "valid": {"every": 7}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(path, "data.gap=8", "policy=zero, passed", `stages=[{"train_length":8,"steps":3}]`, "model.init_a.high=4", "clip=0.5")
	if err != nil {
		t.Fatal(err)
	}
	if c.Model.Sizes().Width != 128 || c.Model.Sizes().State != 16 || c.Seeds[0] != 4 || len(c.Seeds) != 1 || c.Valid.Every != 7 || c.Valid.Sequences != 8 ||
		c.Data.Gap != 8 || c.Policy[1] != "passed" || c.Stages[0].Steps != 3 || c.Model.Config.(mamba2.Config).InitA.High != 4 || c.Clip != 0.5 {
		t.Errorf("read %+v", c)
	}
	for _, bad := range []string{"gap=8", "data=8", "data.gap=x", "data.gap.x=1", "seeds=a", "novalue", "preset=huge"} {
		if _, err := ReadConfig("", bad); err == nil {
			t.Errorf("override %q was taken", bad)
		}
	}
	if err := os.WriteFile(path, []byte(`{"stepz": 3}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConfig(path); err == nil || !strings.Contains(err.Error(), "stepz") {
		t.Errorf("an unknown field: %v", err)
	}
}

// Files of the folder configs are read without complaint.
func TestShippedConfigs(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		c, err := ReadConfig(f)
		if err == nil {
			c.Model.Config = c.Model.WithVocab(max(c.Model.Sizes().Vocab, 2))
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestHash(t *testing.T) {
	a := tiny(t)
	b := a
	b.Output, b.Valid.Every, b.Snapshots.Every, b.StepsPerCall = "elsewhere", 3, 4, 5
	if a.Hash() != b.Hash() {
		t.Error("what is written changes the hash")
	}
	if b.WeightDecay = 0.2; a.Hash() == b.Hash() {
		t.Error("weight decay does not change the hash")
	}
}

func TestRate(t *testing.T) {
	c := Config{Warmup: 4, Decay: 0.5}
	for schedule, want := range map[string][]float64{
		"wsd":      {0.25, 0.5, 0.75, 1, 1, 1, 5. / 6, 4. / 6, 0.5, 2. / 6, 1. / 6},
		"constant": {0.25, 0.5, 0.75, 1, 1, 1, 1, 1},
		"cosine":   {0.25, 0.5, 0.75, 1, 1, (1 + math.Cos(math.Pi/8)) / 2, (1 + math.Cos(math.Pi/4)) / 2},
	} {
		c.Schedule = schedule
		for step, w := range want {
			at := step
			if schedule == "wsd" && step > 5 { // 12 steps, the last 6 of which decay
				at = step + 1
			}
			if got := c.Rate(int64(at), 12); math.Abs(got-w) > 1e-12 {
				t.Errorf("%s, step %d: %g, want %g", schedule, at, got, w)
			}
		}
	}
	c.Schedule, c.Floor = "wsd", 0.1
	if got := c.Rate(11, 12); math.Abs(got-(0.1+0.9/6)) > 1e-12 {
		t.Errorf("with a floor the last step has %g", got)
	}
}

func TestExportLadder(t *testing.T) {
	c := tiny(t, "steps=1000", "export.ladder=5", "export.first=31")
	got := c.exports()
	if len(got) != 5 || got[0] != 31 || got[4] >= 1000 {
		t.Fatalf("ladder %v", got)
	}
	for i := 2; i < len(got); i++ {
		a, b := float64(got[i-1])/float64(got[i-2]), float64(got[i])/float64(got[i-1])
		if math.Abs(a-b) > 0.1 {
			t.Errorf("ladder %v is not log-spaced", got)
		}
	}
}

// An empty list is none, not one empty name.
func TestEmptyListsAreNone(t *testing.T) {
	c, err := ReadConfig("", "data.domains=a,b", "data.domains=")
	if err != nil || len(c.Data.Domains) != 0 {
		t.Errorf("%q, %v", c.Data.Domains, err)
	}
}
