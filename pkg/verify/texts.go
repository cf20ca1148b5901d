package verify

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"stuffed/pkg/atomic"
	"stuffed/pkg/tokenizer"
)

// goldenTexts are texts with the ids of a tokenizer.
type goldenTexts struct {
	Source struct {
		Sum   string `json:"file_sha256"`
		Vocab int    `json:"vocab_size"`
	} `json:"source"`
	Pairs []struct {
		Text    *string `json:"text"`
		IDs     []int   `json:"ids"`
		Decoded *string `json:"decoded"`
	} `json:"pairs"`
}

// texts verifies a file of texts and token ids, if it is one.
func (v *verifier) texts(dir, name string) {
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		v.result(dir, name, "", err)
		return
	}
	var file goldenTexts
	if json.Unmarshal(content, &file) != nil || len(file.Pairs) == 0 || file.Pairs[0].Text == nil {
		return
	}
	path := filepath.Join(dir, "tokenizer.json")
	if _, err := os.Stat(path); err != nil {
		if path, err = tokenizer.Locate(); err != nil {
			v.result(dir, name, "tokenizer", err)
			return
		}
	}
	t, err := tokenizer.Open(path)
	if err == nil && file.Source.Sum != "" {
		var sum string
		if sum, _, err = atomic.Hash(path); err == nil && sum != file.Source.Sum {
			err = fmt.Errorf("%s has SHA-256 %s, the references were made with %s", filepath.Base(path), sum, file.Source.Sum)
		}
	}
	if err == nil && file.Source.Vocab != 0 && t.Vocab() != file.Source.Vocab {
		err = fmt.Errorf("%s has %d ids, the references' has %d", filepath.Base(path), t.Vocab(), file.Source.Vocab)
	}
	v.result(dir, name, "tokenizer", err)
	if err != nil {
		return
	}
	for i, p := range file.Pairs {
		if p.Text == nil {
			v.result(dir, fmt.Sprintf("%s pair %d", name, i), "", fmt.Errorf("has no text"))
			continue
		}
		label := fmt.Sprintf("%s %.40q", name, *p.Text)
		ids, err := t.Encode(*p.Text)
		if err == nil && !slices.Equal(ids, p.IDs) {
			err = fmt.Errorf("encodes as %v, the reference as %v", ids, p.IDs)
		}
		v.result(dir, label, "encode", err)
		want := *p.Text
		if p.Decoded != nil {
			want = *p.Decoded
		}
		back, err := t.Decode(p.IDs)
		if err == nil && back != want {
			err = fmt.Errorf("decodes as %q, the reference as %q", back, want)
		}
		v.result(dir, label, "decode", err)
	}
}
