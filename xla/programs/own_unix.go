//go:build unix

package programs

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ownAlone reports whether the folder belongs to this user and only this user may write to it.
func ownAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.IsDir() && info.Mode().Perm()&0o022 == 0 && ok && int(stat.Uid) == os.Geteuid()
}

// Lock waits until no other process is compiling the program, and returns the function that releases the lock. Without a lock the
// program may be compiled twice, which only costs time.
func (s *Store) Lock(key string) (unlock func()) {
	f, err := os.OpenFile(filepath.Join(s.Folder, ".lock-"+key[:3]), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}
	}
	for err = syscall.EINTR; err == syscall.EINTR; {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	return func() { f.Close() }
}
