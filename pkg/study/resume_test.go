//go:build !race

// The pure-Go backend, see train_test.go.

package study

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"stuffed/pkg/table"
	"stuffed/xla"
)

// interrupted is a Trainer with a hook that fires once a row has trained on a given number of tokens.
type interrupted struct {
	*Trainer
	at   int64
	then func()
}

func (i interrupted) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	return i.Trainer.Run(ctx, row, dir, func(p Progress) {
		report(p)
		if p.Done == i.at {
			i.then()
		}
	})
}

// resumable returns a row that is measured halfway through training; a step of all members has 256 tokens.
func resumable(t testing.TB, plan string) Row {
	p, err := ParsePlan([]byte(plan))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.Rows()
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

const resumePlan = `{"name": "resumed", "about": "a test", "base": {
 "train": {"data": {"keys": 24, "values": 8}, "model": {"layers": 1, "width": 16, "head_dim": 8, "state": 4},
  "train_length": 16, "batch_tokens": 128, "warmup": 2, "chain": 4, "policy": ["zero", "carried"], "seeds": [1]},
 "tokens": 1024, "gap_share": 0.5, "evaluate": {"times": 16, "sequences": 2, "traced": 1, "shares": [0.5]}},
 "groups": [{"name": "all"}]}`

const resumeTasks = `{"name": "asked", "about": "a test", "base": {
 "train": {"data": {"kind": "task", "name": "selective-copying", "params": {"data": 1, "letters": 4}}, "model": {"layers": 1, "width": 16, "head_dim": 16, "state": 8},
  "train_length": 8, "batch_tokens": 128, "steps": 8, "warmup": 0, "schedule": "constant", "lr": [0.01, 0.001]},
 "evaluate": {"times": 2, "sequences": 1, "traced": 1, "shares": [0.25, 0.5], "tasks": [{"name": "selective-copying", "params": {"data": 1, "letters": 4}, "count": 5}]}},
 "groups": [{"name": "all"}]}`

// made returns the collected tables of a store with a single row.
func made(t *testing.T, s *Store, row Row) map[string]*table.Table {
	t.Helper()
	if err := s.Verify(row.Hash); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(s.RowDir(row.Hash), "*.parquet"))
	all := map[string]*table.Table{}
	for _, f := range files {
		one, err := table.Read(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = one
	}
	if left, _ := os.ReadDir(s.path("work")); len(left) > 0 {
		t.Errorf("work still holds %s", left[0].Name())
	}
	return all
}

// same requires bit-identical tables; NaN equals NaN.
func same(t *testing.T, got, want map[string]*table.Table) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d tables, want %d", len(got), len(want))
	}
	for name, w := range want {
		if g := got[name]; g == nil || fmt.Sprint(g.Columns) != fmt.Sprint(w.Columns) || !reflect.DeepEqual(g.Names(), w.Names()) {
			t.Errorf("%s is not that of a row that never stopped", name)
		}
	}
}

// A row that is stopped at any moment resumes where it was, and its tables are identical to those of an uninterrupted run.
func TestStoppedRowGoesOn(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, plan := range map[string]string{"recall": resumePlan, "tasks": resumeTasks} {
		row := resumable(t, plan)
		s := testStore(t, t.TempDir())
		if _, err := (&Worker{Store: s, Runner: &Trainer{Device: d}}).Run(t.Context(), []Row{row}); err != nil {
			t.Fatal(err)
		}
		want := made(t, s, row)
		for step, moment := range map[int64]string{3: "in training", 4: "while it is measured", 8: "at the end of training"} {
			s := testStore(t, t.TempDir())
			s.Expiry = time.Minute // the claim is released
			ctx, cancel := context.WithCancel(t.Context())
			sum, err := (&Worker{Store: s, Runner: interrupted{&Trainer{Device: d}, step * 256, cancel}}).Run(ctx, []Row{row})
			if err != nil || sum.Left != 1 {
				t.Fatalf("%s, %s: %+v, %v", name, moment, sum, err)
			}
			var said []string
			sum, err = (&Worker{Store: s, Runner: &Trainer{Device: d}, Log: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}).Run(t.Context(), []Row{row})
			if err != nil || sum.Done != 1 || !strings.Contains(strings.Join(said, "\n"), fmt.Sprintf("resumes after step %d of 8", step)) {
				t.Fatalf("%s, %s: %+v, %v, %q", name, moment, sum, err, said)
			}
			same(t, made(t, s, row), want)
		}
	}
}

func init() {
	otherWork["killed"] = func(s *Store) error {
		d, err := xla.Open("go")
		if err != nil {
			return err
		}
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		row := resumable(&testing.T{}, resumePlan)
		w := Worker{Store: s, Save: time.Nanosecond, Runner: interrupted{&Trainer{Device: d}, 6 * 256, func() {
			_ = self.Kill()
			select {}
		}}}
		_, err = w.Run(context.Background(), []Row{row})
		return err
	}
}

// A killed worker loses only the work since its last snapshot.
func TestKilledRowGoesOn(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	row := resumable(t, resumePlan)
	one := testStore(t, t.TempDir())
	if _, err := (&Worker{Store: one, Runner: &Trainer{Device: d}}).Run(t.Context(), []Row{row}); err != nil {
		t.Fatal(err)
	}
	s := testStore(t, t.TempDir())
	if err := child(t, s.Dir, "STUDY_TEST_WORK=killed").Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the worker ended by %v, want a kill", err)
	}
	var said []string
	sum, err := (&Worker{Store: s, Runner: &Trainer{Device: d}, Log: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}).Run(t.Context(), []Row{row})
	if err != nil || sum.Done != 1 || !strings.Contains(strings.Join(said, "\n"), "resumes after step 5 of 8") {
		t.Fatalf("%+v, %v, %q", sum, err, said)
	}
	same(t, made(t, s, row), made(t, one, row))
}

// The time of a resumed row includes earlier work, except for what was lost.
func TestSecondsOfAllClaims(t *testing.T) {
	d, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	row := resumable(t, resumePlan)
	s := testStore(t, t.TempDir())
	s.Expiry = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	first := time.Now()
	slow := interrupted{&Trainer{Device: d}, 3 * 256, func() { time.Sleep(time.Second); cancel() }}
	if _, err := (&Worker{Store: s, Runner: slow}).Run(ctx, []Row{row}); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Worker{Store: s, Runner: &Trainer{Device: d}}).Run(t.Context(), []Row{row}); err != nil {
		t.Fatal(err)
	}
	got, err := s.seconds(row.Hash)
	if all := time.Since(first).Seconds(); err != nil || got < 1 || got > all {
		t.Errorf("%g s, %v; the first claim alone slept a second, all took %g s", got, err, all)
	}
}
