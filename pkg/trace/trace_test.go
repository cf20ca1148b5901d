package trace_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/datasets/prompt"
	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/mamba2"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

var (
	once   sync.Once
	opened []*xla.Device
)

// devices are the Go backend and, if its plug-in is installed, XLA on the CPU.
func devices(t testing.TB) []*xla.Device {
	once.Do(func() {
		for _, name := range []string{"go", "cpu"} {
			if d, err := xla.Open(name); err == nil {
				opened = append(opened, d)
			} else if name == "go" {
				t.Fatal(err)
			}
		}
	})
	return opened
}

// small is a float64 model with two layers, two groups and initial weights.
func small(t testing.TB) *lm.Weights {
	t.Helper()
	c := mamba2.Default(32, 2, 16)
	c.HeadDim, c.State, c.Groups = 16, 20, 2
	m, err := mamba2.New(c)
	if err != nil {
		t.Fatal(err)
	}
	values := m.Initial(1)
	w, err := lm.NewWeights(m, 1, func(_ int, s lm.Spec) ([]float64, error) {
		out := make([]float64, len(values[s.Name]))
		for i, v := range values[s.Name] {
			out[i] = float64(v)
		}
		return out, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sentence returns a prompt for the small model.
func sentence(name string, tokens int) prompt.Probe {
	p := prompt.Probe{Name: name}
	for i := range tokens {
		p.IDs = append(p.IDs, int32(i*i*7+len(name)+i/3)%16)
	}
	return p
}

// floats returns a float column in row order.
func floats(t testing.TB, tab *table.Table, name string) []float64 {
	t.Helper()
	v, err := tab.Float(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The trace reproduces the reference's per-token statistics, whatever the pieces. testdata holds the statistics of the reference fixtures'
// models, which the trainer's and the model's tests also use; tolerances are those of their manifest (suggested_atol).
func TestFixtures(t *testing.T) {
	data, err := os.ReadFile("testdata/tolerances.json")
	if err != nil {
		t.Fatal(err)
	}
	var tolerances map[string]map[string]float64
	if err := json.Unmarshal(data, &tolerances); err != nil {
		t.Fatal(err)
	}
	for name, folder := range map[string]string{"tiny": "../train/testdata/tiny", "groups": "../mamba2/testdata/groups"} {
		golden, err := checkpoint.ReadSafetensors("testdata/" + name + "/stats.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := golden.Tensors["input_ids"].Int64s()
		batch, tokens := golden.Tensors["input_ids"].Shape[0], golden.Tensors["input_ids"].Shape[1]
		var probes []prompt.Probe
		for b := range batch {
			p := prompt.Probe{Name: fmt.Sprint(b)}
			for _, id := range ids[b*tokens:][:tokens] {
				p.IDs = append(p.IDs, int32(id))
			}
			probes = append(probes, p)
		}
		for i, dev := range devices(t) {
			_, w, err := models.Load(folder, dtypes.Float32) // the weights move to one device
			if err != nil {
				t.Fatal(err)
			}
			for _, piece := range [][]int{{512, 16, 7}, {512}}[i] {
				r := lm.NewRunner(dev, w)
				r.Piece = piece
				got, err := trace.Collect(context.Background(), r, probes, trace.Config{Bucket: 1, Batch: batch})
				if err != nil {
					t.Fatal(err)
				}
				s := got[trace.States]
				prompts, _ := s.Text("prompt")
				position, _ := s.Int("position")
				layer, _ := s.Int("layer")
				head, _ := s.Int("head")
				for column, stat := range map[string]string{"mean": "mean", "variance": "var", "absmax": "absmax", "delta": "delta", "log_alpha": "log_decay"} {
					truth := golden.Tensors["stats."+stat]
					want, _ := truth.Float64s()
					atol := tolerances[name]["stats."+stat]
					if atol == 0 {
						t.Fatalf("%s: no tolerance for %s", name, stat)
					}
					heads := truth.Shape[3]
					if s.Rows() != len(want) {
						t.Fatalf("%s: %d rows, want %d", name, s.Rows(), len(want))
					}
					for row, v := range floats(t, s, column) {
						b := 0
						fmt.Sscan(prompts[row], &b)
						at := ((int(layer[row])*batch+b)*tokens+int(position[row]))*heads + int(head[row])
						if !(math.Abs(v-want[at]) <= atol) {
							t.Fatalf("%s, %s, pieces of %d, %s at layer %d prompt %d token %d head %d: %g, want %g ± %g",
								name, dev.Kind, piece, column, layer[row], b, position[row], head[row], v, want[at], atol)
						}
					}
				}
			}
		}
	}
}
