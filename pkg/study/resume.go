package study

import (
	"bytes"
	"cmp"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/train"
)

// A row whose worker is stopped or dies resumes from its last snapshot. The store's folder work/HASH.G holds the snapshots of the G-th
// claim,
// each with the measurements so far. A claim writes only to its own folder, so an overtaken worker cannot interfere.

// kept describes where the training of a running row is saved.
type kept struct {
	own     string
	earlier []string // folders of earlier claims, latest first
	every   time.Duration
	log     func(format string, args ...any)

	began time.Time // start of this claim's work
	spent float64   // seconds spent by earlier claims up to the snapshot that this one resumes from
}

// seconds is the total time spent on a row: by this claim, and by earlier ones as far as their work was not lost.
func (k *kept) seconds() float64 { return k.spent + time.Since(k.began).Seconds() }

// savedEvery bounds the work that a killed worker loses.
const savedEvery = 10 * time.Minute

// kept returns the work folders for a claim.
func (w *Worker) kept(c *claim) *kept {
	k := &kept{own: w.Store.path("work", c.hash+"."+strconv.Itoa(c.number)), every: cmp.Or(w.Save, savedEvery), log: w.log, began: time.Now()}
	k.earlier = slices.DeleteFunc(w.Store.workOf(c.hash), func(dir string) bool { return dir == k.own })
	return k
}

// workOf lists the work folders of a row, latest first.
func (s *Store) workOf(hash string) []string {
	dirs, _ := filepath.Glob(s.path("work", hash+".*")) // the pattern is well formed
	number := func(dir string) int {
		_, n, _ := strings.Cut(filepath.Base(dir), ".")
		k, _ := strconv.Atoi(n)
		return k
	}
	slices.SortFunc(dirs, func(a, b string) int { return number(b) - number(a) })
	return dirs
}

// forget removes the saved training of a row.
func (s *Store) forget(hash string) {
	for _, dir := range s.workOf(hash) {
		_ = os.RemoveAll(dir)
	}
}

// savedName is the file next to a training snapshot.
const savedName = "row.gob"

// saving saves the training of a row.
type saving struct {
	*kept
	trainer *train.Trainer
	state   *rowState
	last    time.Time
}

// resume restores the latest snapshot of an earlier claim, if there is one, and fills in state.
func (k *kept) resume(t *train.Trainer, state *rowState) (*saving, error) {
	s := &saving{kept: k, trainer: t, state: state, last: time.Now()}
	if k == nil {
		return s, nil
	}
	for _, root := range append([]string{k.own}, k.earlier...) {
		dir, err := t.ResumeFrom(root)
		if errors.Is(err, checkpoint.ErrNoSnapshot) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w; remove %s to train this row from its beginning", err, root)
		}
		data, err := os.ReadFile(filepath.Join(dir, savedName))
		if err == nil {
			err = gob.NewDecoder(bytes.NewReader(data)).Decode(state)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w; remove %s to train this row from its beginning", dir, err, root)
		}
		k.spent = state.Seconds
		k.log("resumes after step %d of %d", t.Steps(), t.Config.Total())
		break
	}
	return s, nil
}

// due saves if the last snapshot is old enough.
func (s *saving) due() error {
	if s.kept == nil || time.Since(s.last) < s.every {
		return nil
	}
	return s.save()
}

// save writes a snapshot and removes older ones, including those of earlier claims.
func (s *saving) save() error {
	if s.kept == nil || s.state.Step == 0 || s.state.Step != s.trainer.Steps() || s.trainer.Broken() {
		return nil
	}
	s.state.Seconds = s.seconds()
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(s.state)
	if err == nil {
		err = s.trainer.SaveTo(s.own, func(dir string) error {
			return os.WriteFile(filepath.Join(dir, savedName), b.Bytes(), 0o644)
		})
	}
	if err != nil {
		return fmt.Errorf("progress of the row: %w", err)
	}
	if _, err := checkpoint.Prune(s.own, 1, false); err != nil {
		return fmt.Errorf("progress of the row: %w", err)
	}
	for _, dir := range s.earlier {
		_ = os.RemoveAll(dir)
	}
	s.last = time.Now()
	return nil
}
