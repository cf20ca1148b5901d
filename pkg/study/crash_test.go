package study

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// slow is a runner without a model: a row takes a few milliseconds and produces two tables and a file.
type slow struct{ pause time.Duration }

func (s slow) About(Row) (any, error) { return map[string]string{"device": "none"}, nil }

func (s slow) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	for i := range 4 {
		report(Progress{Done: int64(i), Total: 4, Unit: "parts"})
		if err := os.WriteFile(filepath.Join(dir, "part-"+strconv.Itoa(i)), []byte(row.Hash), 0o644); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(s.pause):
		}
	}
	values := make([]float64, 2000)
	for i := range values {
		values[i] = float64(i * row.Config.Train.Model.Sizes().State)
	}
	loss := table.New().AddFloat("loss", values)
	return Tables{"loss": loss, "outcome": table.New().AddInt("fails", []int64{int64(row.Config.Train.Model.Sizes().State)})}, nil
}

// stateRows returns n small rows with N = 1 … n.
func stateRows(n int) ([]Row, error) {
	p, err := ParsePlan([]byte(tiny))
	if err != nil {
		return nil, err
	}
	rows, err := p.Rows()
	if err != nil {
		return nil, err
	}
	c := rows[0].Config
	var out []Row
	for i := range n {
		if c.Train.Model.Config, err = lm.Override(c.Train.Model.Config, fmt.Sprintf(`{"state":%d}`, i+1)); err != nil {
			return nil, err
		}
		out = append(out, Row{Hash: c.Hash(), Groups: []string{"grid"}, Label: c.label(), Config: c})
	}
	return out, nil
}

func quickStore(dir string) (*Store, error) {
	s, err := OpenStore(dir)
	if err != nil {
		return nil, err
	}
	s.Beat, s.Expiry = 20*time.Millisecond, time.Second
	return s, nil
}

func testStore(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := quickStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testRows(t *testing.T, n int) []Row {
	t.Helper()
	rows, err := stateRows(n)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestMain doubles as the worker process that the tests below start and kill.
func TestMain(m *testing.M) {
	dir := os.Getenv("STUDY_TEST_STORE")
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := quickStore(dir)
	if err == nil {
		err = work(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work is the worker process's job; tests can select another one with the variable STUDY_TEST_WORK.
func work(s *Store) error {
	if other := otherWork[os.Getenv("STUDY_TEST_WORK")]; other != nil {
		return other(s)
	}
	rows, err := stateRows(12)
	if err != nil {
		return err
	}
	w := Worker{Store: s, Runner: slow{10 * time.Millisecond}}
	_, err = w.Run(context.Background(), rows)
	return err
}

var otherWork = map[string]func(*Store) error{}

func child(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), "STUDY_TEST_STORE="+dir), env...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Two workers are killed at random moments; two new ones complete the plan.
func TestKilledWorkersLoseNothing(t *testing.T) {
	moments := 2
	if s := os.Getenv("STUFFED_KILLS"); s != "" {
		moments, _ = strconv.Atoi(s)
	}
	rows := testRows(t, 12)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for i := range moments {
		dir := t.TempDir()
		s := testStore(t, dir)
		workers := []*exec.Cmd{child(t, dir), child(t, dir)}
		wait := time.Duration(20+random.IntN(400)) * time.Millisecond
		time.Sleep(wait)
		for _, w := range workers {
			_ = w.Process.Kill()
		}
		for _, w := range workers {
			_ = w.Wait()
		}
		before, err := s.done()
		if err != nil {
			t.Fatal(err)
		}
		for hash := range before {
			if err := s.Verify(hash); err != nil {
				t.Errorf("moment %d: %v", i, err)
			}
		}
		workers = []*exec.Cmd{child(t, dir), child(t, dir)}
		for _, w := range workers {
			if err := w.Wait(); err != nil {
				t.Errorf("moment %d: second worker: %v", i, err)
			}
		}
		s.untry(time.Now().Add(time.Second)) // of those killed while opening the store, which a worker would leave for a while
		t.Logf("killed after %v with %d rows done", wait, len(before))
		wantWhole(t, s, rows)
	}
}

// wantWhole checks that a store contains exactly the given rows, all complete, and no partial ones.
func wantWhole(t *testing.T, s *Store, rows []Row) {
	t.Helper()
	done, err := s.done()
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != len(rows) {
		t.Errorf("%d rows in the store, the plan has %d", len(done), len(rows))
	}
	names, missing, err := s.Collect(rows, filepath.Join(s.Dir, "tables"))
	if err != nil || len(missing) != 0 || fmt.Sprint(names) != "[loss outcome rows]" {
		t.Fatalf("collect: tables %v, %d missing, error %v", names, len(missing), err)
	}
	all, err := table.Read(filepath.Join(s.Dir, "tables", "outcome.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	fails, _ := all.Int("fails")
	states, err := all.Int("state")
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if len(fails) != len(rows) || fails[i] != int64(i+1) || states[i] != fails[i] {
			t.Fatalf("outcomes %v of states %v, want each of 1 … %d once", fails, states, len(rows))
		}
	}
	for _, dir := range []string{"tmp", "claims", "failed"} {
		if left, _ := os.ReadDir(s.path(dir)); len(left) != 0 {
			t.Errorf("%s still holds %v", dir, left[0].Name())
		}
	}
}
