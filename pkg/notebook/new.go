package notebook

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"stuffed/pkg/atomic"
)

//go:embed template.ipynb
var template []byte

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,63}$`)

// New writes a notebook with the cells that every notebook begins with to dir/name.ipynb and returns its path. An existing
// notebook is left alone and gives an error.
func New(dir, name, title string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", fmt.Errorf("notebook name %q: use 1 to 64 of a–z, 0–9 and _, such as 18_my_model", name)
	}
	path := filepath.Join(dir, name+".ipynb")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already; choose another name", path)
	}
	if title == "" {
		title = name
	}
	quoted, err := json.Marshal(title)
	if err != nil {
		return "", err
	}
	text := bytes.ReplaceAll(template, []byte("TITLE"), quoted[1:len(quoted)-1])
	text = bytes.ReplaceAll(text, []byte("NAME"), []byte(name))
	if text, err = cleaned(text, true); err != nil {
		return "", err
	}
	return path, atomic.Bytes(path, text)
}
