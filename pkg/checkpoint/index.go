package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/atomic"
)

// IndexName is the file that maps model names to folders, as a JSON object; folders are relative to the file.
const IndexName = "index.json"

// Folder returns the folder with the files of the model at path: path itself or, if there is no such folder, the one that index.json in the
// parent folder lists under path's last element. If there is neither folder nor index, it returns path; a name missing from an index is an
// error that lists the available ones.
func Folder(path string) (string, error) {
	if _, err := os.Stat(path); path == "" || !errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	parent := filepath.Dir(path)
	text, err := atomic.Read(filepath.Join(parent, IndexName), maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	} else if err != nil {
		return "", err
	}
	var folders map[string]string
	if err := json.Unmarshal(text, &folders); err != nil {
		return "", fmt.Errorf("%s: a JSON object from name to folder is needed: %w", filepath.Join(parent, IndexName), err)
	}
	folder, found := folders[filepath.Base(path)]
	if !found {
		var names []string
		for name := range folders {
			names = append(names, name)
		}
		slices.Sort(names)
		return "", fmt.Errorf("model %s: there is no such folder, and %s lists only %s", path, filepath.Join(parent, IndexName), strings.Join(names, ", "))
	}
	return filepath.Join(parent, filepath.FromSlash(folder)), nil
}
