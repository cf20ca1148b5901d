package study

import (
	"bytes"
	"strings"
	"testing"
)

// The estimate of training is within a factor of two of the peak resident memory of a process that made two steps on XLA's CPU back end, in GB.
// Rows of mqar with one rate and its last task, but for the first, which is whole; rows of architectures as they are. Before, 16.5 stood against
// 12.8 with the logits of a GPU and against 7.1 with those of a CPU, 1.12 against 0.15.
func TestMemoryAgainstMeasurements(t *testing.T) {
	rows := map[string][]Row{}
	for _, plan := range []string{"mqar", "architectures"} {
		p, err := ReadPlan(plan)
		if err == nil {
			rows[plan], err = p.Rows()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		plan, hash string
		one        bool
		measured   float64
	}{
		{"mqar", "4327ec2009e7", false, 16.5}, // Gated DeltaNet, four models
		{"mqar", "4327ec2009e7", true, 5.67},
		{"mqar", "9564c3a4ca91", true, 5.24}, // Mamba-2
		{"mqar", "7d55530f6799", true, 6.00}, // GLA
		{"mqar", "0b938c6ce2e1", true, 2.93}, // Mamba
		{"mqar", "f390bff1ff32", true, 2.55}, // attention
		{"architectures", "ad8cc5a2033b", false, 1.12},
		{"architectures", "a0e99e138d16", false, 1.14},
		{"architectures", "5f9b048a2725", false, 0.95},
		{"architectures", "473fd9d4d6db", false, 0.61},
	} {
		named, err := Named(rows[c.plan], []string{c.hash})
		if err != nil {
			t.Fatal(err)
		}
		row := named[0]
		train := row.Config.Train
		if c.one {
			train.LR, train.Data.Tasks = train.LR[:1], train.Data.Tasks[len(train.Data.Tasks)-1:]
		}
		f, err := train.Footprint("cpu")
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(f.Peak()) / 1e9; got < c.measured/2 || got > 2*c.measured {
			t.Errorf("%s %s: %.2f GB, measured %.2f", c.plan, row.Label, got, c.measured)
		}
		if whole := row.Config.Memory("cpu"); whole < f.Peak() && !c.one {
			t.Errorf("%s %s: %d bytes with measuring, training alone %d", c.plan, row.Label, whole, f.Peak())
		}
	}
}

// Too many workers for a device are named with the number that fits, before anything runs; each GPU has its share of them.
func TestWarningOfTooManyWorkers(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		need, memory int64
		workers      int
		want, never  string
	}{
		{20 * gib, 141 * gib, 9, "9 workers on a device take about 180 GiB, and it has 141 GiB: about 7 fit", ""},
		{20 * gib, 141 * gib, 7, "up to about 20 GiB", "warning"},
		{20 * gib, 0, 9, "up to about 20 GiB", "warning"},
		{200 * gib, 141 * gib, 1, "about 1 fit", ""},
	} {
		if got := Share(c.need, c.memory, c.workers); !strings.Contains(got, c.want) || c.never != "" && strings.Contains(got, c.never) {
			t.Errorf("%+v: %q", c, got)
		}
	}
	s, rows := testStore(t, t.TempDir()), testRows(t, 1)
	status, err := s.Status(rows)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := PrintPlan(&out, &Plan{Name: "x"}, status, 1e9, "cpu"); err != nil || !strings.Contains(out.String(), " MiB") || !strings.Contains(out.String(), "memory") {
		t.Errorf("%q, %v", out.String(), err)
	}
	out.Reset()
	idle := []string{"-test.run=^TestCrowdedWorker$"}
	_ = Supervise(t.Context(), s, rows, 1, nil, "cpu", idle, &out, func(_, _ int64) {}) // rows are left
	if !strings.Contains(out.String(), "a worker takes up to about") {
		t.Errorf("%q", out.String())
	}
}
