package trace_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
	"stuffed/pkg/trace"
)

// A run that is interrupted and resumed repeatedly produces the same tables as an uninterrupted one.
func TestInterruptedRunGoesOn(t *testing.T) {
	r := lm.NewRunner(devices(t)[0], small(t))
	r.Piece = 16
	probes := []prompt.Probe{sentence("a", 70), sentence("bb", 70), sentence("c", 33)}
	c := trace.Config{Bucket: 8, Window: true, Channels: []int{0}, Entries: []trace.Entry{{Head: 1}}, Batch: 2}
	want, err := trace.Collect(context.Background(), r, probes, c)
	if err != nil {
		t.Fatal(err)
	}
	output := filepath.Join(t.TempDir(), "T.parquet")
	partial := 0
	for runs := 1; ; runs++ {
		ctx, cancel := context.WithCancel(context.Background())
		start := int64(-1)
		c.Progress = func(done, _ int64) {
			if start < 0 {
				start = done
			} else {
				cancel() // after the second piece of every run
			}
		}
		err := trace.Write(ctx, r, probes, c, output)
		cancel()
		if err == nil {
			if runs < 2 { // pieces in flight when a run ends may still be written
				t.Fatalf("done after %d runs", runs)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		readable, err := table.Read(output)
		if err != nil || readable.Rows() <= partial {
			t.Fatalf("after %d runs: %d rows are readable, before %d (%v)", runs, readable.Rows(), partial, err)
		}
		partial = readable.Rows()
	}
	for name, w := range want {
		got, err := table.Read(trace.Path(output, name))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Names(), w.Names()) || !reflect.DeepEqual(got.Columns, w.Columns) {
			t.Errorf("%s differs: %d rows, want %d", name, got.Rows(), w.Rows())
		}
	}
	left, _ := os.ReadDir(filepath.Dir(output))
	if len(left) != len(want) {
		t.Errorf("files left over: %v", left)
	}
	c.Progress = func(int64, int64) { t.Error("a finished trace was made again") }
	if err := trace.Write(context.Background(), r, probes, c, output); err != nil {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	r := lm.NewRunner(devices(t)[0], small(t))
	one := []prompt.Probe{sentence("a", 9)}
	for name, c := range map[string]struct {
		probes []prompt.Probe
		config trace.Config
		want   string
	}{
		"column":   {one, trace.Config{Columns: []string{"mean", "median"}}, `column "median" is not known; choose from mean, variance`},
		"twice":    {one, trace.Config{Columns: []string{"mean", "mean"}}, "asked for twice"},
		"head":     {one, trace.Config{Entries: []trace.Entry{{Head: 4}}}, "head 4 does not exist, want 0 … 3"},
		"channel":  {one, trace.Config{Entries: []trace.Entry{{Channel: 16}}}, "channel 16 does not exist"},
		"state":    {one, trace.Config{Entries: []trace.Entry{{State: -1}}}, "state -1 does not exist"},
		"layer":    {one, trace.Config{Channels: []int{2}}, "layer 2 does not exist, the model has layers 0 … 1"},
		"bucket":   {one, trace.Config{Bucket: -1}, "bucket is -1"},
		"short":    {one, trace.Config{Beyond: 9}, "has 9 tokens, not more than the training length 9"},
		"divisor":  {one, trace.Config{Bucket: 2503}, "bucket 2503 has no divisor"},
		"none":     {nil, trace.Config{}, "no prompt"},
		"empty":    {[]prompt.Probe{{Name: "e"}}, trace.Config{}, `prompt "e" has no tokens`},
		"names":    {append(one, one...), trace.Config{}, `two prompts are called "a"`},
		"token id": {[]prompt.Probe{{Name: "x", IDs: []int32{3, 99}}}, trace.Config{}, "id 99 at sequence 0, position 1"},
	} {
		_, err := trace.Collect(context.Background(), r, c.probes, c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that contains %q", name, err, c.want)
		}
	}
}

func TestMeasureTellsBothTimes(t *testing.T) {
	r := lm.NewRunner(devices(t)[0], small(t))
	r.Piece = 16
	o, err := trace.Measure(context.Background(), r, 64, trace.Config{Bucket: 16})
	if err != nil || o.Tokens != 64 || o.Plain <= 0 || o.Traced <= 0 || o.Ratio != o.Traced/o.Plain || o.Prefill <= 0 || o.Rows != 32 {
		t.Errorf("%+v, %v", o, err)
	}
}

func ExampleCollect() {
	d, w := devices(nil)[0], small(&testing.T{})
	tables, err := trace.Collect(context.Background(), lm.NewRunner(d, w), []prompt.Probe{sentence("text", 128)}, trace.Config{Columns: []string{"norm", "retention"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := tables[trace.States]
	fmt.Println(s.Names(), s.Rows(), "rows: 2 buckets × 2 layers × 4 heads")
	// Output:
	// [prompt position tokens layer head norm retention] 16 rows: 2 buckets × 2 layers × 4 heads
}
