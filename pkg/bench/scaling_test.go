package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/study"
	"stuffed/xla"
)

// A child that is asked for independent training says when it is warm, begins at a line, and ends when the line never comes.
func TestScalingChild(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := ScalingChild(d, "independent", 1, 3, true, strings.NewReader("go\n"), &out); err != nil {
		t.Fatal(err)
	}
	text, found := strings.CutPrefix(out.String(), childReady)
	var r ChildResult
	if err := json.Unmarshal([]byte(text), &r); err != nil || !found {
		t.Fatalf("%v: %q", err, out.String())
	}
	if len(r.Seconds) != 3 || r.Seconds[0] <= 0 || r.Backend != "go" || r.Device == "" {
		t.Errorf("%+v", r)
	}
	if err := ScalingChild(d, "independent", 1, 3, true, strings.NewReader(""), &out); err == nil {
		t.Error("a child whose parent is gone went on")
	}
	if err := ScalingChild(d, "parallel", 2, 3, true, nil, &out); err == nil || !strings.Contains(err.Error(), "devices = 2, but go has 1") {
		t.Errorf("more devices than there are: %v", err)
	}
}

// The plan's rows are as many as asked for and differ.
func TestScalingPlan(t *testing.T) {
	for _, tiny := range []bool{true, false} {
		text, tokens := gridPlan(5, 10, tiny)
		p, err := study.ParsePlan(text)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.Rows()
		if err != nil || len(rows) != 5 {
			t.Fatalf("%d rows: %v", len(rows), err)
		}
		sum := int64(0)
		for _, r := range rows {
			sum += r.Config.Trained()
		}
		if float64(sum) != tokens {
			t.Errorf("%d tokens, want %g", sum, tokens)
		}
	}
}

// fake is a program that behaves as a child of Scaling or writes a report as stuffed bench does.
func fake(t *testing.T, lines string) string {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScalingRows(t *testing.T) {
	program := fake(t, `
case "$*" in
*independent*) echo ready; read line; echo '{"Backend":"cuda","Device":"'$CUDA_VISIBLE_DEVICES'","Seconds":[2,2,2]}' ;;
*"--devices 4"*) echo no memory >&2; exit 1 ;;
*parallel*) echo '{"Backend":"cuda","Device":"G","Compile":3,"Seconds":[1,1,1]}' ;;
esac`)
	s := Scaling{Command: []string{program, "bench"}, Study: []string{program, "study"}, GPUs: []string{"7", "9"}, Devices: []int{1, 2, 4}, Workers: []int{1, 2, 4}, Steps: 3, Tiny: true}
	var report *Report
	if err := s.Report(t.Context(), func(r *Report, _ Row) error { report = r; return nil }); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range report.Rows {
		if r.Work != "grid" { // timed by the clock
			got = append(got, fmt.Sprintf("%s %g %s %s", r.Work, r.Median, r.Note, r.Error))
		}
	}
	want := []string{
		"compile 3  ", "parallel 64 save none, 1.00 times the first, 100 % of 1 ",
		"compile 3  ", "parallel 128 save none, 2.00 times the first, 100 % of 2 ",
		"parallel 0 save none exit status 1: no memory",
		"independent 256 no loop over layers, 2 steps per call, 1.00 times the first, 100 % of 1 ",
		"independent 512 no loop over layers, 2 steps per call, 2.00 times the first, 100 % of 2 ",
		"independent 1024 no loop over layers, 2 steps per call, 4.00 times the first, 200 % of 2 ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if last := report.Rows[len(report.Rows)-1]; last.Work != "grid" || !strings.Contains(last.Shape, "8 rows by 4 workers on 2 GPUs") || last.Error != "" {
		t.Errorf("%+v", last)
	}
}

func TestAgainst(t *testing.T) {
	program := func(revision string, speed, milliseconds int) string {
		return fake(t, fmt.Sprintf(`for last; do :; done
echo '{"revision":"%s","device":"D","rows":[{"work":"compile","shape":"a"},{"work":"train","shape":"a","unit":"tok/s","median":%d},{"work":"operator","shape":"b","unit":"ms","median":%d}]}' > "$last"`,
			revision, speed, milliseconds))
	}
	var c *Comparison
	err := Against(context.Background(), program("old", 100, 10), program("new", 110, 20), 2, []string{"--scale", "cpu"}, func(now *Comparison) error { c = now; return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := "train  a  tok/s  before 100 100, after 110 110: 1.100 times as fast\noperator  b  ms  before 10 10, after 20 20: 0.500 times as fast\n"
	if c.String() != want || c.Before != "old" || c.Rounds != 2 {
		t.Errorf("%s of %q after %d rounds, want\n%s", c, c.Before, c.Rounds, want)
	}
	err = Against(context.Background(), fake(t, "echo no such flag >&2; exit 1"), program("new", 1, 1), 1, nil, func(*Comparison) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("a program that fails: %v", err)
	}
	cut := fake(t, `for last; do :; done
echo '{"revision":"cut","rows":[{"work":"train","shape":"a","unit":"tok/s","median":90}]}' > "$last"; exit 1`)
	for _, program := range []struct{ before, after, want string }{
		{program("old", 100, 10), cut, "train  a  tok/s  before 100, after 90: 0.900 times as fast\noperator  b  ms  measured by one of the two\n"},
		{cut, fake(t, "exit 1"), "train  a  tok/s  measured by one of the two\n"},
	} {
		c = nil
		err = Against(context.Background(), program.before, program.after, 1, nil, func(now *Comparison) error { c = now; return nil })
		if err == nil || c == nil || c.String() != program.want {
			t.Errorf("a program that ends early: %v, kept %s, want %s", err, c, program.want)
		}
	}
}
