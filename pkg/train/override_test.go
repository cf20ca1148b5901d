package train

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOverridesOfEmbeddedFields: what architectures share is a struct within their configuration.
func TestOverridesOfEmbeddedFields(t *testing.T) {
	c := DefaultConfig()
	if err := c.Set("model.architecture=gla", "model.hidden_size=96", "model.num_heads=3"); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c.Model)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"architecture":"gla"`, `"hidden_size":96`, `"num_heads":3`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if err := c.Set("model.width=8"); err == nil || !strings.Contains(err.Error(), "hidden_size") {
		t.Errorf("an unknown field: %v", err)
	}
}
