package study

import (
	"sync"
	"testing"
	"time"
)

// Workers that are constantly mistaken for dead while still running: rows stay complete, none counts as failed, and no worker trips over
// files that another one removes.
func TestOvertakenWorkersHarmNobody(t *testing.T) {
	rows := testRows(t, 12)
	for range 4 {
		dir := t.TempDir()
		end := time.Now().Add(400 * time.Millisecond)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				s, err := quickStore(dir)
				if err != nil {
					t.Error(err)
					return
				}
				s.Beat, s.Expiry = 5*time.Millisecond, 12*time.Millisecond
				if _, err := (&Worker{Store: s, Runner: slow{3 * time.Millisecond}, Deadline: end}).Run(t.Context(), rows); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		s := testStore(t, dir)
		if sum, err := (&Worker{Store: s, Runner: slow{}}).Run(t.Context(), rows); err != nil || sum.Done != len(rows) {
			t.Errorf("%+v, %v", sum, err)
		}
		wantWhole(t, s, rows)
	}
}
