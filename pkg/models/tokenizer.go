package models

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/hub"
	"stuffed/pkg/tokenizer"
)

// Tokenizer opens the tokenizer of a model with so many rows of embedding. name is "bytes", the path of a tokenizer's file or
// folder (see tokenizer.Open), the name of a model on the hub, or empty: then it is that in the model's folder, else bytes for up to
// 512 rows, else that of GPT-NeoX-20B, from where the set-up puts it or from the hub.
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
		return OpenTokenizer(name)
	}
	folder, err := checkpoint.Folder(dir)
	if err != nil {
		return nil, err
	}
	if folder = beside(folder); folder != "" && tokenizer.In(folder) {
		return tokenizer.Open(folder)
	}
	if rows <= 512 {
		return tokenizer.Bytes(), nil
	}
	var path string
	if path, err = tokenizer.Locate(); err == nil {
		return tokenizer.Open(path)
	}
	path, hubErr := fetch(neox, hub.Tokenizer)
	if hubErr != nil {
		return nil, fmt.Errorf("the model has no tokenizer of its own, and that of GPT-NeoX-20B is not here: %w; %w", err, hubErr)
	}
	return tokenizer.Open(path)
}

var neox = hub.Name{Repo: "EleutherAI/gpt-neox-20b", Revision: "main"}

// OpenTokenizer opens a tokenizer by the path of its file or folder, or by the name of a model on the hub.
func OpenTokenizer(name string) (tokenizer.Tokenizer, error) {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return tokenizer.Open(name)
	}
	parsed, ok := hub.ParseName(name)
	if !ok {
		return nil, notFound("tokenizer", name, "bytes, or the path of a tokenizer's file or folder")
	}
	path, err := fetch(parsed, hub.Tokenizer)
	if err != nil {
		return nil, err
	}
	return tokenizer.Open(path)
}
