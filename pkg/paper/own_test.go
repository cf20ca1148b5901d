package paper

import (
	"strings"
	"testing"

	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// What stands in the place of published models can be opened; those on the hub are named with a training length.
func TestOwnModels(t *testing.T) {
	if got := ByteModels([]string{"mamba2", "gla"}, true); got[0].Model != "preset:byte" || got[1].Model != "preset:gla/byte" || got[1].Label != "gla" {
		t.Errorf("%+v", got)
	}
	for _, n := range OwnModels(Shipped) {
		if strings.HasPrefix(n.Model, "datasets/") {
			n.Model = "../../" + n.Model
		}
		if _, err := models.Open(n.Model, "go", ""); err != nil {
			t.Errorf("%s: %v", n.Label, err)
		}
	}
	for _, n := range ByteModels(Architectures, false) {
		if _, err := models.Open("../../"+n.Model, "go", ""); err != nil {
			t.Errorf("%s: %v", n.Label, err)
		}
	}
	if _, err := models.Open("../../"+ByteModel("perceptron"), "go", ""); err == nil || !strings.Contains(err.Error(), "bytes-perceptron") {
		t.Errorf("a model that does not ship: %v; it must be refused by its name", err)
	}
	found := false
	for _, n := range OwnModels(Published) {
		if found = found || n.Model == "state-spaces/mamba2-370m"; !strings.Contains(n.Model, "/") || n.TrainLength < 1024 {
			t.Errorf("%+v", n)
		}
	}
	if !found {
		t.Error("the 370M of the paper is not among them")
	}
	for _, a := range Architectures {
		if _, err := lm.Preset(strings.TrimPrefix(untrainedModel(a), "preset:")); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}
