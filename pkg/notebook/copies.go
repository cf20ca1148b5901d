package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stuffed/pkg/atomic"
)

// copied is the file in a folder of copies that records the SHA-256 of each shipped file when it was last copied, by path.
const copied = ".copied.json"

// Copies brings the files of the folder from, including subfolders, to the folder to, where they can be run, changed and saved
// while the shipped files stay untouched. A copy that has not been changed follows its shipped file; a changed one is kept.
// behind lists the kept copies whose shipped file has changed since; removing such a copy brings the shipped file back.
func Copies(from, to string) (behind []string, err error) {
	record := filepath.Join(to, copied)
	was := map[string]string{}
	raw, err := os.ReadFile(record)
	if err == nil {
		err = json.Unmarshal(raw, &was)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; remove it, and the copies that are to be made again", record, err)
	}
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		hidden := path != from && (strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "Untitled"))
		switch {
		case err != nil:
			return err
		case hidden && entry.IsDir():
			return filepath.SkipDir
		case hidden || !entry.Type().IsRegular():
			return nil
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		kept, err := follow(path, filepath.Join(to, name), was, filepath.ToSlash(name))
		if kept {
			behind = append(behind, name)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	raw, err = json.MarshalIndent(was, "", " ")
	return behind, errors.Join(err, atomic.Bytes(record, raw))
}

// follow copies a shipped file unless its copy was changed; kept reports that it was and that the shipped file has changed too.
func follow(shipped, own string, was map[string]string, name string) (kept bool, err error) {
	now, _, err := atomic.Hash(shipped)
	if err != nil {
		return false, err
	}
	mine, _, err := atomic.Hash(own)
	switch {
	case err == nil && mine == now:
		was[name] = now
		return false, nil
	case err == nil && mine != was[name]:
		return now != was[name], nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	text, err := os.ReadFile(shipped)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		return false, err
	}
	was[name] = now
	return false, atomic.Bytes(own, text)
}
