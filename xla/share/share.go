// Package share lets the processes of a user on a machine know of each other: who works on a device, and whose turn it is. It uses locks on
// files, which the system releases when a process ends, however it ends. Where locks are impossible every process seems to be alone.
package share

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// folder of the locks: on the local machine, of this user.
func folder(kind string) (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("stuffed-%d", os.Getuid()), kind)
	return dir, os.MkdirAll(dir, 0o700)
}

// Seat is the entry of a worker on a device.
type Seat struct {
	dir  string
	file *os.File
}

// hidden begins the names of entries that are not locked yet.
const hidden = "."

// Enter makes this process known as a worker on the device until Leave, or until it ends.
func Enter(device string) (*Seat, error) {
	dir, err := folder(filepath.Join("devices", url.PathEscape(device)))
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(dir, hidden)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, strings.TrimPrefix(filepath.Base(f.Name()), hidden))
	if _, err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return &Seat{dir, f}, os.Rename(f.Name(), name)
}

// Leave ends the entry.
func (s *Seat) Leave() { s.file.Close() }

// Others is the number of other workers on the device.
func (s *Seat) Others() int { return max(count(s.dir)-1, 0) }

// Workers is the number of workers on a device.
func Workers(device string) int {
	dir, err := folder(filepath.Join("devices", url.PathEscape(device)))
	if err != nil {
		return 0
	}
	return count(dir)
}

// count counts the entries that are locked, and removes those of processes that have ended.
func count(dir string) (n int) {
	list, _ := os.ReadDir(dir)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), hidden) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.Open(path)
		if err != nil {
			continue // removed by another process
		}
		if free, err := lock(f); err == nil && free {
			_ = os.Remove(path)
		} else {
			n++
		}
		f.Close()
	}
	return n
}

// Turn waits until fewer than n processes have a turn of this name, or the context ends, and returns the function that ends the turn.
func Turn(ctx context.Context, name string, n int) (end func()) {
	dir, err := folder("turns")
	for err == nil {
		for i := range n {
			var f *os.File
			if f, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("%s.%d", url.PathEscape(name), i)), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
				break
			}
			var free bool
			if free, err = lock(f); free {
				return func() { f.Close() }
			}
			f.Close()
		}
		select {
		case <-ctx.Done():
			return func() {}
		case <-time.After(100 * time.Millisecond):
		}
	}
	return func() {}
}
