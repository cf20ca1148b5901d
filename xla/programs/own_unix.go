//go:build unix

package programs

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ownAlone tells whether the folder is this user's and only this user may write to it.
func ownAlone(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.IsDir() && info.Mode().Perm()&0o022 == 0 && ok && int(stat.Uid) == os.Geteuid()
}

// Lock waits until no other process makes the program, and returns what ends the lock. Without a lock the program is made twice,
// which costs time only.
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
