package checkpoint

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyModel makes a folder with the tiny model's files that a test may damage.
func copyModel(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t testing.TB, dir string) *Model {
	t.Helper()
	m, err := LoadModel(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func sameTensors(t testing.TB, label string, got, want map[string]*Tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d tensors, want %d", label, len(got), len(want))
	}
	for name, w := range want {
		if g := got[name]; g == nil || g.String() != w.String() || !bytes.Equal(g.Data, w.Data) {
			t.Errorf("%s: %s differs", label, name)
		}
	}
}

// TestLayoutsHoldTheSameModel: Hugging Face, the legacy config with a bare Infinity, and mamba_ssm's pickle.
func TestLayoutsHoldTheSameModel(t *testing.T) {
	m := load(t, "testdata/tiny")
	legacy := copyModel(t, "testdata/tiny")
	if err := os.Rename(filepath.Join(legacy, "config.legacy-infinity.json"), filepath.Join(legacy, "config.json")); err != nil {
		t.Fatal(err)
	}
	official := load(t, "testdata/tiny/official")
	if m.Layout != LayoutHuggingFace || official.Layout != LayoutOfficial || !m.Tied() || !official.Tied() {
		t.Errorf("layouts %s, %s, tied %v, %v", m.Layout, official.Layout, m.Tied(), official.Tied())
	}
	for label, other := range map[string]*Model{"legacy": load(t, legacy), "official": official} {
		sameTensors(t, label, other.Tensors, m.Tensors)
		for _, key := range []string{"hidden_size", "num_hidden_layers", "state_size", "head_dim", "n_groups", "vocab_size", "conv_kernel", "time_step_limit", "tie_word_embeddings"} {
			if fmt.Sprint(other.Config[key]) != fmt.Sprint(m.Config[key]) {
				t.Errorf("%s: %s is %v, want %v", label, key, other.Config[key], m.Config[key])
			}
		}
	}
}

// TestModelsRoundTrip through both layouts, every dtype and shards.
func TestModelsRoundTrip(t *testing.T) {
	m := load(t, "testdata/tiny")
	for _, layout := range []string{LayoutHuggingFace, LayoutOfficial} {
		for _, dtype := range []string{"", "F32", "F64", "BF16", "F16"} {
			dir := filepath.Join(t.TempDir(), "deep", "model")
			if err := SaveModel(dir, layout, m.Config, m.Tensors, dtype); err != nil {
				t.Fatal(err)
			}
			got := load(t, dir)
			want := maps.Clone(m.Tensors)
			for name, x := range want {
				if dtype != "" {
					var err error
					if want[name], err = x.Convert(dtype); err != nil {
						t.Fatal(err)
					}
				}
			}
			label := layout + " " + dtype
			sameTensors(t, label, got.Tensors, want)
			if got.Layout != layout || !got.Tied() {
				t.Errorf("%s: came back as %s, tied %v", label, got.Layout, got.Tied())
			}
			if limit, err := got.Config.Floats("time_step_limit"); err != nil || len(limit) != 2 || !math.IsInf(limit[1], 1) {
				t.Errorf("%s: time_step_limit %v %v", label, limit, err)
			}
			if err := WriteSharded(dir, got.Tensors, 150<<10); err != nil {
				t.Fatal(err)
			}
			if shards, err := filepath.Glob(filepath.Join(dir, "model-*.safetensors")); dtype != "BF16" && dtype != "F16" && (err != nil || len(shards) < 2) {
				t.Errorf("%s: shards %v %v", label, shards, err)
			}
			sameTensors(t, label+" in shards", load(t, dir).Tensors, want)
			left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("%s: left behind %v", label, left)
			}
		}
	}
	if err := SaveModel(t.TempDir(), "gguf", m.Config, m.Tensors, ""); err == nil || !strings.Contains(err.Error(), `"gguf"`) {
		t.Errorf("unknown layout: %v", err)
	}
	groups := maps.Clone(m.Config)
	groups["norm_per_group"], groups["n_groups"], groups["state_size"] = false, 2.0, 8.0
	if err := SaveModel(t.TempDir(), LayoutOfficial, groups, m.Tensors, ""); err == nil || !strings.Contains(err.Error(), "norm_per_group") {
		t.Errorf("a norm the layout cannot say: %v", err)
	}
	bad := maps.Clone(m.Config)
	bad["layer_norm_epsilon"] = 1e-6
	if err := SaveModel(t.TempDir(), LayoutOfficial, bad, m.Tensors, ""); err == nil || !strings.Contains(err.Error(), "layer_norm_epsilon") {
		t.Errorf("an eps the layout cannot say: %v", err)
	}
}

func TestHostileConfigs(t *testing.T) {
	good, err := os.ReadFile("testdata/tiny/config.json")
	if err != nil {
		t.Fatal(err)
	}
	set := func(key, value string) string {
		c, err := ParseConfig(good)
		if err != nil {
			t.Fatal(err)
		}
		delete(c, key)
		text, err := EncodeConfig(c)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(text), "{", `{"`+key+`": `+value+",", 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", "ends before"},
		"not JSON":           {"weights", "config"},
		"a list":             {"[]", "not a JSON object"},
		"cut":                {string(good[:len(good)/2]), "config"},
		"text after":         {string(good) + "}", "after the closing brace"},
		"not UTF-8":          {"{\"a\": \"\xff\"}", "UTF-8"},
		"key twice":          {strings.Replace(string(good), "{", `{"expand": 2, "expand": 2,`, 1), "occurs twice"},
		"nested deep":        {`{"a":` + strings.Repeat("[", 100000) + "}", "levels deep"},
		"nested in objects":  {strings.Repeat(`{"a":`, 50000), "levels deep"},
		"two megabytes":      {`{"a":"` + strings.Repeat("x", 2<<20) + `"}`, "want a regular file of at most"},
		"neither layout":     {`{"hidden": 64}`, "neither a Hugging Face config"},
		"other model":        {set("model_type", `"llama"`), "model_type is llama"},
		"no width":           {`{"model_type":"mamba2","num_hidden_layers":2}`, "the config asks for [32768 4096]"},
		"layers 2^24":        {set("num_hidden_layers", "16777216"), "the file has only"},
		"layers 1e300":       {set("num_hidden_layers", "1e300"), "num_hidden_layers is 1e+300"},
		"layers -1":          {set("num_hidden_layers", "-1"), "num_hidden_layers is -1"},
		"layers a half":      {set("num_hidden_layers", "2.5"), "num_hidden_layers is 2.5"},
		"layers NaN":         {set("num_hidden_layers", "NaN"), "num_hidden_layers is NaN"},
		"layers a text":      {set("num_hidden_layers", `"3"`), "num_hidden_layers is 3"},
		"layers an object":   {set("num_hidden_layers", `{"__float__":"Infinity"}`), "num_hidden_layers is +Inf"},
		"state 0":            {set("state_size", "0"), "state_size is 0"},
		"vocabulary off":     {set("vocab_size", "255"), "config asks for [255 64]"},
		"head size off":      {set("head_dim", "17"), "must equal expand*hidden_size"},
		"bias is a number":   {set("use_bias", "1"), "use_bias is 1"},
		"tied is a text":     {set("tie_word_embeddings", `"yes"`), "tie_word_embeddings is yes"},
		"untied without one": {set("tie_word_embeddings", "false"), "add the tensor"},
		"Mamba-1":            {`{"d_model":64,"n_layer":2,"ssm_cfg":{"layer":"Mamba1"}}`, "only \"Mamba2\" is read"},
		"attention layers":   {`{"d_model":64,"n_layer":2,"vocab_size":256,"attn_layer_idx":[1],"ssm_cfg":{"layer":"Mamba2"}}`, "attn_layer_idx"},
		"padding of 0":       {`{"d_model":64,"n_layer":2,"vocab_size":256,"pad_vocab_size_multiple":0,"ssm_cfg":{"layer":"Mamba2"}}`, "pad_vocab_size_multiple is 0"},
		"norm before gate":   {`{"d_model":64,"n_layer":2,"vocab_size":256,"ssm_cfg":{"layer":"Mamba2","norm_before_gate":true}}`, "norm_before_gate"},
	} {
		dir := copyModel(t, "testdata/tiny")
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var err error
		n := allocated(func() { _, err = LoadModel(dir) })
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want one that names the folder and says %q", name, err, c.want)
		}
		if len(c.text) < 2000 && n > 3<<20 { // of the weights, which are read whole
			t.Errorf("%s: %d bytes allocated", name, n)
		}
	}
}

// TestDamagedWeights: each way in which weights and config disagree is named.
func TestDamagedWeights(t *testing.T) {
	m := load(t, "testdata/tiny")
	const name = "backbone.layers.1.mixer.dt_bias"
	reshaped := *m.Tensors["backbone.norm_f.weight"]
	reshaped.Shape = []int{8, 8}
	whole, err := FromInt64([]int{8}, make([]int64, 8))
	if err != nil {
		t.Fatal(err)
	}
	head := *m.Tensors[embeddingName]
	head.Data = bytes.Clone(head.Data)
	head.Data[3] ^= 1
	for want, change := range map[string]func(x map[string]*Tensor){
		`"` + name + `" of shape [8] is missing`:              func(x map[string]*Tensor) { delete(x, name) },
		`"extra" is not part of this model`:                   func(x map[string]*Tensor) { x["extra"] = whole },
		`"backbone.norm_f.weight" has shape [8 8]`:            func(x map[string]*Tensor) { x["backbone.norm_f.weight"] = &reshaped },
		`"` + name + `" has dtype I64`:                        func(x map[string]*Tensor) { x[name] = whole },
		"differs from " + embeddingName:                       func(x map[string]*Tensor) { x[headName] = &head },
		"is present under both layouts' names":                func(x map[string]*Tensor) { x["backbone.embedding.weight"] = x[embeddingName] },
		"num_hidden_layers is 3, but the file has only 1":     func(x map[string]*Tensor) { clear(x); x[name] = whole },
		`"backbone.layers.0.mixer.A_log" of shape [8] is mis`: func(x map[string]*Tensor) { delete(x, "backbone.layers.0.mixer.A_log") },
	} {
		dir := copyModel(t, "testdata/tiny")
		tensors := maps.Clone(m.Tensors)
		change(tensors)
		if err := WriteSafetensors(filepath.Join(dir, singleName), tensors, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadModel(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	dir := copyModel(t, "testdata/tiny")
	if err := os.Remove(filepath.Join(dir, singleName)); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadModel(dir); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Errorf("no weights: %v", err)
	}
	if _, err := LoadModel(filepath.Join(dir, "nowhere")); !os.IsNotExist(err) {
		t.Errorf("no folder: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	for _, path := range []string{"testdata/tiny/config.json", "testdata/tiny/config.legacy-infinity.json", "testdata/tiny/official/config.json"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"a":[NaN,-Infinity,{"__float__":"x"},"Infinity"],"b":{"c":null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		written, err := EncodeConfig(c)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := ParseConfig(written)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(c) {
			t.Fatalf("%v came back as %v (%v)", c, again, err)
		}
		if m, _, err := newModel(c); err == nil {
			_ = m.Check() // must not panic, whatever the config says
		}
	})
}
