package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/tokenizer"
)

// Tokenizer opens the tokenizer of a model with so many rows of embedding. name is "bytes", the path of a
// tokenizer.json, or empty: then it is tokenizer.json in the model's folder, else bytes for up to 512 rows, else that of
// GPT-NeoX-20B where the set-up puts it.
func Tokenizer(name, dir string, rows int) (tokenizer.Tokenizer, error) {
	t, err := chooseTokenizer(name, dir, rows)
	if err != nil {
		return nil, err
	}
	if t.Vocab() > rows {
		return nil, fmt.Errorf("tokenizer %s has %d ids, the model only %d rows: it is not the model's tokenizer", t.Name(), t.Vocab(), rows)
	}
	return t, nil
}

func chooseTokenizer(name, dir string, rows int) (tokenizer.Tokenizer, error) {
	switch name {
	case "bytes":
		return tokenizer.Bytes(), nil
	case "":
	default:
		return tokenizer.Open(name)
	}
	folder, err := checkpoint.Folder(dir)
	if err != nil {
		return nil, err
	}
	own := filepath.Join(folder, "tokenizer.json")
	if _, err := os.Stat(own); err == nil {
		return tokenizer.Open(own)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if rows <= 512 {
		return tokenizer.Bytes(), nil
	}
	path, err := tokenizer.Locate()
	if err != nil {
		return nil, err
	}
	return tokenizer.Open(path)
}
