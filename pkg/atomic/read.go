package atomic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Open opens a regular file for reading and returns its size in bytes, which cannot change: [Write] replaces files, it never modifies them.
func Open(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err == nil && pointer(f, info.Size()) {
		err = fmt.Errorf("%s is a Git LFS pointer, not the file itself; fetch it with git lfs pull", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// pointer reports whether a file is the Git LFS pointer of a large file that was not fetched.
func pointer(f *os.File, size int64) bool {
	const start = "version https://git-lfs.github.com/spec/"
	if size < int64(len(start)) || size > 1024 {
		return false
	}
	b := make([]byte, len(start))
	n, _ := f.ReadAt(b, 0)
	return string(b[:n]) == start
}

// Read returns the content of a regular file of at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, want a regular file of at most %d", path, size, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// Hash returns the SHA-256 of a file in hexadecimal, and its size in bytes.
func Hash(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
