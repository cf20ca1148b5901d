package study

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestWorkersShareAStore(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 9)
	s.Expiry = time.Minute // nobody dies in this test
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			w := Worker{Store: s, Runner: slow{time.Millisecond}}
			if sum, err := w.Run(context.Background(), rows); err != nil || sum.Done != 9 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
	all.Wait()
	wantWhole(t, s, rows)
}

func TestDeadlineStopsAndResumes(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 6)
	s.Expiry = time.Minute // the claim has to be released
	w := Worker{Store: s, Runner: slow{20 * time.Millisecond}, Deadline: time.Now().Add(200 * time.Millisecond)}
	sum, err := w.Run(context.Background(), rows)
	if err != nil || sum.Left == 0 || sum.Failed != 0 {
		t.Fatalf("%+v, %v; want rows left and no failure", sum, err)
	}
	w = Worker{Store: s, Runner: slow{}}
	if sum, err = w.Run(context.Background(), rows); err != nil || sum.Done != 6 { // at once, since the claim was released
		t.Fatalf("%+v, %v", sum, err)
	}
	wantWhole(t, s, rows)
}

type failing struct {
	slow
	state int
	panic bool
}

func (f failing) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	if row.Config.Train.Model.Sizes().State == f.state {
		if f.panic {
			panic("shapes differ")
		}
		return nil, errors.New("the loss is NaN")
	}
	return f.slow.Run(ctx, row, dir, report)
}

func TestFailedRowIsRecordedAndRetried(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 3)
	for _, panics := range []bool{false, true} {
		w := Worker{Store: s, Runner: failing{state: 2, panic: panics}, Retry: panics}
		sum, err := w.Run(context.Background(), rows)
		if err != nil || sum.Failed != 1 || sum.Done != 2 {
			t.Fatalf("%+v, %v; want 2 done and 1 failed", sum, err)
		}
	}
	status, err := s.Status(rows)
	if err != nil || status[1].State != "failed" || !strings.Contains(status[1].Error, "shapes differ") {
		t.Fatalf("%+v, %v", status[1], err)
	}
	w := Worker{Store: s, Runner: slow{}, Retry: true}
	if sum, err := w.Run(context.Background(), rows); err != nil || sum.Done != 3 {
		t.Fatalf("%+v, %v", sum, err)
	}
	wantWhole(t, s, rows)
}

// A worker that slept past its expiry neither publishes the row a second time nor disturbs the worker that took over.
func TestOvertakenWorkerGivesUp(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 1)
	s.Expiry = time.Minute
	c, err := s.claim(rows[0].Hash)
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	if other, err := s.claim(rows[0].Hash); other != nil || err != nil {
		t.Fatalf("claimed twice: %v %v", other, err)
	}
	silent := time.Now().Add(-2 * s.Expiry) // time of its last heartbeat
	if err := os.Chtimes(c.dir()+"/beat", silent, silent); err != nil {
		t.Fatal(err)
	}
	second, err := s.claim(rows[0].Hash)
	if err != nil || second == nil {
		t.Fatalf("the void claim was not taken over: %v", err)
	}
	if third, _ := s.claim(rows[0].Hash); third != nil {
		t.Fatal("claimed a third time")
	}
	ctx := c.keep(context.Background())
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the overtaken worker goes on")
	}
	if !errors.Is(context.Cause(ctx), errLost) {
		t.Errorf("cause %v", context.Cause(ctx))
	}
	c.release(false)
	if second.lost() {
		t.Error("the release of the old claim ended the new one")
	}
	second.keep(context.Background())
	second.release(false)
}

func TestDamageIsNamed(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 2)
	if _, _, err := s.Collect(rows, t.TempDir()); err == nil || !strings.Contains(err.Error(), "study run") {
		t.Errorf("collecting nothing: %v", err)
	}
	w := Worker{Store: s, Runner: slow{}}
	if _, err := w.Run(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.RowDir(rows[1].Hash), "loss.parquet")
	data, _ := os.ReadFile(file)
	if err := os.WriteFile(file, data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Collect(rows, t.TempDir()); err == nil || !strings.Contains(err.Error(), "loss.parquet") {
		t.Errorf("a torn table: %v", err)
	}
}

func TestEstimate(t *testing.T) {
	rows := testRows(t, 3)
	status := []RowStatus{{Row: rows[0], State: "done", Seconds: 2}, {Row: rows[0], State: "open"},
		{Row: rows[0], State: "running", Progress: Progress{Done: 1, Total: 2}}}
	left, measured := Estimate(status, 1, 1)
	if !measured || left != 3*time.Second {
		t.Errorf("%v measured %v, want 3 s of work like the row that took 2 s", left, measured)
	}
	if left, measured = Estimate(status[1:2], rows[0].Config.Work(), 2); measured || left != time.Second/2 {
		t.Errorf("%v measured %v", left, measured)
	}
}

// weighed also writes the weights of two models.
type weighed struct{ slow }

func (w weighed) Run(ctx context.Context, row Row, dir string, report func(Progress)) (Tables, error) {
	for _, name := range []string{"zero-0", "zero-1"} {
		if err := os.MkdirAll(filepath.Join(dir, "models", name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, "models", name, "model.safetensors"), []byte(name), 0o644); err != nil {
			return nil, err
		}
	}
	return w.slow.Run(ctx, row, dir, report)
}

func TestDropWeights(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 1)
	if _, err := (&Worker{Store: s, Runner: weighed{}}).Run(context.Background(), rows); err != nil {
		t.Fatal(err)
	}
	hash := rows[0].Hash
	for i, want := range []int{1, 0} {
		if n, err := s.DropWeights(hash, "zero-1"); err != nil || n != want {
			t.Fatalf("call %d removed %d files, want %d: %v", i+1, n, want, err)
		}
	}
	if err := s.Verify(hash); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(s.RowDir(hash), "models", "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "zero-1" {
		t.Errorf("%v are left, want zero-1: %v", left, err)
	}
	if err := os.Remove(filepath.Join(left[0], "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(hash); err == nil {
		t.Error("weights that are gone without a word pass")
	}
}
