package notebook

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParametersAreInjectedAfterTheirCell(t *testing.T) {
	nb := `{"cells":[{"cell_type":"markdown","metadata":{},"source":"x"},{"cell_type":"code","metadata":{"tags":["parameters"]},
"source":["import \"stuffed/pkg/notebook\"\n","\n","var (\n","\tfolder = \"\"\n","\tlength      = notebook.Choose(1, 2, 3) // tokens\n",")\n","\n","func f() string {\n","\tif a == 1 {}\n","\tvar err error\n","\terr = nil\n","}"]}],"metadata":{},"nbformat":4}`
	data, err := withParameters([]byte(nb), map[string]string{"folder": "state-spaces/mamba2-370m", "length": "65536"})
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Cells []struct {
			Source   any
			Metadata struct{ Tags []string }
		}
		Metadata struct {
			Papermill struct{ Parameters map[string]string }
		}
	}
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Cells) != 3 || out.Cells[2].Source != "var folder = \"state-spaces/mamba2-370m\"\nvar length = 65536" || out.Cells[2].Metadata.Tags[0] != "injected-parameters" {
		t.Errorf("%+v", out.Cells)
	}
	if out.Metadata.Papermill.Parameters["length"] != "65536" {
		t.Errorf("%+v", out.Metadata)
	}
	if _, err := withParameters([]byte(nb), map[string]string{"lenght": "1"}); err == nil || !strings.HasSuffix(err.Error(), "there are folder, length") {
		t.Errorf("a name that is not there: %v", err)
	}
	if _, err := withParameters([]byte(`{"cells":[]}`), map[string]string{"a": "1"}); err == nil {
		t.Error("no cell")
	}
	if same, err := withParameters([]byte(nb), nil); err != nil || string(same) != nb {
		t.Error("changed without parameters")
	}
	if _, err := ParseParameters([]string{"length"}); err == nil {
		t.Error("no value")
	}
}
