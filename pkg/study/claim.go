package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// claim is the exclusive right of one worker to train a row. It is held through the folder claims/HASH.G with the highest G, which is
// created by mkdir, so that exactly one worker succeeds. A worker without a heartbeat for longer than Expiry loses its claim to whoever
// creates G + 1.
type claim struct {
	store  *Store
	hash   string
	number int

	mu       sync.Mutex
	progress Progress
	stop     chan struct{}
	stopped  sync.WaitGroup
}

// Progress of a running row.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	Unit  string `json:"unit"`
}

var errLost = errors.New("another worker took the row over, after this one had been silent for too long")

func (s *Store) claimDir(hash string, number int) string {
	return s.path("claims", hash+"."+strconv.Itoa(number))
}

// claim returns nil if another worker holds the row or won the race for it.
func (s *Store) claim(hash string) (*claim, error) {
	number, held, err := s.holder(hash)
	if err != nil || held {
		return nil, err
	}
	c := &claim{store: s, hash: hash, number: number + 1, stop: make(chan struct{})}
	if err := os.Mkdir(s.claimDir(hash, c.number), 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := c.beat(); errors.Is(err, fs.ErrNotExist) { // the row has been published in the meantime, and its claims removed
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return c, nil
}

// highest is the number of a row's latest claim, 0 if there is none.
func (s *Store) highest(hash string) (number int, err error) {
	list, err := os.ReadDir(s.path("claims"))
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	for _, e := range list {
		if h, n, found := strings.Cut(e.Name(), "."); found && h == hash {
			if k, err := strconv.Atoi(n); err == nil {
				number = max(number, k)
			}
		}
	}
	return number, nil
}

// holder returns the number of a row's latest claim, and whether it is still valid.
func (s *Store) holder(hash string) (number int, held bool, err error) {
	if number, err = s.highest(hash); err != nil || number == 0 {
		return 0, false, err
	}
	dir := s.claimDir(hash, number)
	if _, err := os.Stat(dir + "/released"); err == nil {
		return number, false, nil
	}
	last, err := modified(dir + "/beat")
	if err != nil {
		if last, err = modified(dir); err != nil {
			return number, false, nil // the row was published and its claims removed
		}
	}
	now, err := s.now()
	return number, err == nil && now.Sub(last) < s.Expiry, err
}

// modified opens the file so that an NFS client revalidates its attributes with the server.
func modified(path string) (time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// now reads the clock that stamps the files, which on a network file system is not the local one.
func (s *Store) now() (time.Time, error) {
	f, err := os.OpenFile(s.path(".clock"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return time.Time{}, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{'\n'}); err != nil {
		return time.Time{}, fmt.Errorf("store: %w", err)
	}
	if err := f.Sync(); err != nil {
		return time.Time{}, fmt.Errorf("store: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func (c *claim) dir() string { return c.store.claimDir(c.hash, c.number) }

func (c *claim) beat() error {
	c.mu.Lock()
	data, err := json.Marshal(c.progress)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	next := c.dir() + "/next"
	if err := os.WriteFile(next, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(next, c.dir()+"/beat")
}

// lost reports whether the claim was taken over, or the row published, by another worker.
func (c *claim) lost() bool {
	number, err := c.store.highest(c.hash)
	return err == nil && number != c.number
}

// keep sends heartbeats until release, and cancels the context when the claim is lost. Failed heartbeats are retried: only silence for
// Expiry loses the claim.
func (c *claim) keep(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	c.stopped.Go(func() {
		tick := time.NewTicker(c.store.Beat)
		defer tick.Stop()
		for {
			select {
			case <-c.stop:
				cancel(nil)
				return
			case <-tick.C:
				if c.lost() {
					cancel(errLost)
					continue
				}
				_ = c.beat()
			}
		}
	})
	return ctx
}

func (c *claim) report(p Progress) {
	c.mu.Lock()
	c.progress = p
	c.mu.Unlock()
}

// release ends the claim, for good if the row is done, otherwise so that another worker can claim it.
func (c *claim) release(done bool) {
	close(c.stop)
	c.stopped.Wait()
	if !done {
		_ = os.WriteFile(c.dir()+"/released", nil, 0o644)
		return
	}
	for n := c.number; n > 0; n-- {
		_ = os.RemoveAll(c.store.claimDir(c.hash, n))
	}
}

// tidy removes what overtaken or killed workers left behind for finished rows.
func (s *Store) tidy() {
	s.untry(time.Now().Add(-s.Expiry))
	done, err := s.done()
	if err != nil {
		return
	}
	for _, folder := range []string{"claims", "work", "tmp"} {
		list, _ := os.ReadDir(s.path(folder))
		for _, e := range list {
			if done[hashOf(e.Name())] {
				_ = os.RemoveAll(s.path(folder, e.Name()))
			}
		}
	}
}

// hashOf extracts the row's hash from a folder name in claims, work or tmp.
func hashOf(name string) string {
	hash, _, _ := strings.Cut(strings.TrimPrefix(name, readyPrefix), ".")
	return hash
}

// untry removes the trial folders, older than the given time, of processes that were killed while opening the store.
func (s *Store) untry(before time.Time) {
	left, _ := filepath.Glob(s.path("tmp", tryPrefix+"*"))
	for _, dir := range left {
		if about, err := os.Stat(dir); err == nil && about.ModTime().Before(before) {
			_ = os.RemoveAll(dir)
		}
	}
}

// progressOf reads the last heartbeat of a running row.
func (s *Store) progressOf(hash string, number int) (p Progress) {
	data, err := os.ReadFile(s.claimDir(hash, number) + "/beat")
	if err == nil {
		_ = json.Unmarshal(data, &p)
	}
	return p
}
