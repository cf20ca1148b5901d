package trace_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/gomlx/compute"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
	"stuffed/xla"
)

// counting counts the graphs built for a backend.
type counting struct {
	compute.Backend
	built int
}

func (c *counting) Builder(name string) compute.Builder { c.built++; return c.Backend.Builder(name) }

// A second trace through the same runner builds no new graphs.
func TestCollectKeepsItsPrograms(t *testing.T) {
	r, probes := lm.NewRunner(devices(t)[0], small(t)), []prompt.Probe{{Name: "a", IDs: make([]int32, 40)}}
	c := &counting{Backend: r.Device.Backend}
	r.Device = &xla.Device{Backend: c, Kind: r.Device.Kind}
	var first, second map[string]*table.Table
	for _, to := range []*map[string]*table.Table{&first, &second} {
		before := c.built
		var err error
		if *to, err = trace.Collect(context.Background(), r, probes, trace.Config{Bucket: 8}); err != nil {
			t.Fatal(err)
		}
		if built := c.built - before; (built == 0) != (before > 0) {
			t.Errorf("%d graphs built after %d", built, before)
		}
	}
	if !reflect.DeepEqual(first, second) {
		t.Error("the second trace differs")
	}
}
