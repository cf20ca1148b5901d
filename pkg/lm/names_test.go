package lm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"stuffed/pkg/arch/toy"
	"stuffed/pkg/lm"
	_ "stuffed/pkg/mamba2"
)

func TestWhatAModelLacksIsNamedWithWhatItHas(t *testing.T) {
	m := toy.Model{Config: toy.Default()}
	_, state := lm.StateOf(m, "window")
	_, control := lm.ControlOf(m, "dt_scale")
	_, probe := lm.ProbeOf(m, "delta")
	_, variant := lm.VariantOf(m, lm.Variant{Window: 3})
	_, preset := lm.Preset("huge")
	for want, err := range map[string]error{
		"it has previous (shift": state, "it has a_scale, log_alpha_shift, y_scale": control, "it has log_alpha, x": probe,
		"in one way only": variant, "byte, 36.4m": preset,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// A configuration of any architecture comes back from JSON as it was; one without a name is of the unnamed one.
func TestConfigurationsInJSON(t *testing.T) {
	for _, a := range lm.Architectures() {
		c := lm.Any{Config: a.Default().WithVocab(32)}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back lm.Any
		if err := json.Unmarshal(text, &back); err != nil || !back.Same(c) {
			t.Errorf("%s came back as %+v, %v", text, back, err)
		}
		if named := strings.Contains(string(text), `"architecture"`); named == a.Unnamed {
			t.Errorf("%s", text)
		}
	}
	var old lm.Any
	if err := json.Unmarshal([]byte(`{"width": 64, "layers": 1}`), &old); err != nil || old.Architecture() != "mamba2" || old.Sizes().Width != 64 {
		t.Errorf("%+v, %v", old, err)
	}
	for text, want := range map[string]string{`{"architecture": "none"}`: "choose one of", `{"architecture": "toy", "state": 3}`: "unknown field"} {
		var c lm.Any
		if err := json.Unmarshal([]byte(text), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
