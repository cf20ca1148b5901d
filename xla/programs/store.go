// Package programs keeps compiled programs on disk, so that the next process loads in milliseconds what this one compiled in
// seconds. An entry is found by everything that its machine code depends on: the program's text, the compile options, the plug-in,
// the kind of device and its driver, and the processor. Damaged and foreign files are passed over and compiled anew.
//
// A compiled program is code: the folder belongs to its user alone, and is left unused where others can write to it.
package programs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Store is a folder of compiled programs.
type Store struct {
	Folder string
	Limit  int64 // bytes; above it the least recently used programs are removed
}

// Entry describes a compiled program.
type Entry struct {
	Key     string        `json:"key"`
	Name    string        `json:"name"`   // of the program's module
	Device  string        `json:"device"` // kind of device
	Compile time.Duration `json:"compile"`
	Bytes   int64         `json:"-"` // of its file
	Used    time.Time     `json:"-"` // last use
}

const (
	magic  = "stuffed program 1\n"
	suffix = ".program"
)

// Key is the name of a program: a hash of everything that its machine code depends on.
func Key(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Text returns the text of a program without its module's name, in which GoMLX counts closures and graphs, and that name
// separately.
func Text(program []byte) (text []byte, name string) {
	before, rest, found := bytes.Cut(program, []byte("module @"))
	if end := bytes.IndexAny(rest, " {"); found && end >= 0 {
		return slices.Concat(before, rest[end:]), string(rest[:end])
	}
	return program, ""
}

// Get returns the program with this key and how it was made, and marks it as used. A program that is missing, truncated, altered
// or filed under another key is an error.
func (s *Store) Get(key string) ([]byte, Entry, error) {
	path := s.path(key)
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, Entry{}, err
	}
	e, program, err := unpack(content)
	if err == nil && e.Key != key {
		err = fmt.Errorf("%s holds the program %s", path, e.Key)
	}
	if err != nil {
		return nil, Entry{}, err
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // a read-only folder still serves
	e.Bytes, e.Used = int64(len(content)), now
	return program, e, nil
}

// Put saves a program under e.Key, completely or not at all, and removes old programs beyond the limit.
func (s *Store) Put(e Entry, program []byte) error {
	content, err := pack(e, program)
	if err != nil {
		return err
	}
	if int64(len(content)) > s.Limit {
		return fmt.Errorf("program of %d bytes, limit of the folder %d", len(content), s.Limit)
	}
	if err := s.write(s.path(e.Key), content); err != nil {
		return err
	}
	return s.evict()
}

// write creates a file that appears completely or not at all.
func (s *Store) write(path string, content []byte) error {
	f, err := os.CreateTemp(s.Folder, ".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// List returns the programs, most recently used first. Files that hold no program are skipped.
func (s *Store) List() ([]Entry, error) {
	files, err := s.files()
	var out []Entry
	for _, f := range files {
		if e, err := head(filepath.Join(s.Folder, f.Name())); err == nil {
			e.Bytes, e.Used = f.Size(), f.ModTime()
			out = append(out, e)
		}
	}
	return out, err
}

// Clear removes all programs and returns their number and bytes.
func (s *Store) Clear() (n int, size int64, err error) {
	files, err := s.files()
	for _, f := range files {
		switch failed := os.Remove(filepath.Join(s.Folder, f.Name())); {
		case failed == nil:
			n, size = n+1, size+f.Size()
		case !errors.Is(failed, fs.ErrNotExist): // another process may remove it too
			err = errors.Join(err, failed)
		}
	}
	return n, size, err
}

// evict removes the least recently used programs until nine tenths of the limit are left, and whatever writers that died left
// behind.
func (s *Store) evict() error {
	files, err := s.files()
	if err != nil {
		return err
	}
	var total int64
	for _, f := range files {
		total += f.Size()
	}
	if total <= s.Limit {
		return nil
	}
	for _, f := range slices.Backward(files[1:]) { // never the newest
		if total <= s.Limit/10*9 {
			break
		}
		if err := os.Remove(filepath.Join(s.Folder, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.Size()
	}
	stale, _ := filepath.Glob(filepath.Join(s.Folder, ".*.tmp"))
	for _, path := range stale {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(path)
		}
	}
	return nil
}

// files returns the programs' files, most recently used first. Another process may be removing some.
func (s *Store) files() ([]fs.FileInfo, error) {
	names, err := os.ReadDir(s.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []fs.FileInfo
	for _, n := range names {
		if !strings.HasSuffix(n.Name(), suffix) {
			continue
		}
		if info, err := n.Info(); err == nil && info.Mode().IsRegular() {
			out = append(out, info)
		}
	}
	slices.SortFunc(out, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	return out, nil
}

func (s *Store) path(key string) string { return filepath.Join(s.Folder, key+suffix) }

// pack concatenates magic, length of the entry, entry, program, and the SHA-256 of all of them.
func pack(e Entry, program []byte) ([]byte, error) {
	entry, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	out := binary.LittleEndian.AppendUint32([]byte(magic), uint32(len(entry)))
	out = append(append(out, entry...), program...)
	sum := sha256.Sum256(out)
	return append(out, sum[:]...), nil
}

func unpack(content []byte) (e Entry, program []byte, err error) {
	start, end := len(magic)+4, len(content)-sha256.Size
	if end < start || sha256.Sum256(content[:end]) != [sha256.Size]byte(content[end:]) {
		return e, nil, errors.New("not a program, or a damaged one")
	}
	e, n, err := readHead(bytes.NewReader(content[:end]))
	if err != nil {
		return e, nil, err
	}
	return e, content[start+n : end], nil
}

func head(path string) (Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	e, _, err := readHead(f)
	return e, err
}

// readHead reads an entry and returns its length in bytes.
func readHead(r io.Reader) (e Entry, n int, err error) {
	start := make([]byte, len(magic)+4)
	if _, err := io.ReadFull(r, start); err != nil || string(start[:len(magic)]) != magic {
		return e, 0, errors.New("not a program")
	}
	n = int(binary.LittleEndian.Uint32(start[len(magic):]))
	if n > 1<<16 {
		return e, 0, fmt.Errorf("description of %d bytes", n)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return e, 0, err
	}
	return e, n, json.Unmarshal(text, &e)
}
