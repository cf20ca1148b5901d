// Package tokenizer turns text into token ids and back: bytes; BPE of bytes or characters from a tokenizer.json, a tekken.json or a
// sentencepiece model (merges: Sennrich et al. 2016, arXiv 1508.07909; split patterns: GPT-2, Radford et al. 2019, and those after it);
// and the longest words of RWKV's list. Ids are those of the reference libraries.
package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
)

// Tokenizer converts between text and ids. Implementations may be used from several goroutines at once.
type Tokenizer interface {
	// Encode returns the ids of a text, without what belongs before and after a whole one; see [Frame].
	Encode(text string) ([]int, error)
	// Decode returns the bytes that the ids stand for; cut in the middle of a character they are not valid UTF-8.
	Decode(ids []int) (string, error)
	// Vocab is the number of ids: they go from 0 to Vocab()-1. A model may have more rows, as padding.
	Vocab() int
	// EOS is the id that ends a document, or -1 if there is none.
	EOS() int
	// Name tells tokenizers apart in file names and caches.
	Name() string
}

// Frame returns what belongs before and after a whole text by the tokenizer's file: the token that begins a document for Llama's, say.
func Frame(t Tokenizer) (before, after []int) {
	if f, ok := t.(interface{ Frame() (before, after []int) }); ok {
		return f.Frame()
	}
	return nil, nil
}

// Part encodes what continues a text: without the space that some files put before a whole one.
func Part(t Tokenizer, text string) ([]int, error) {
	if p, ok := t.(interface {
		Part(text string) ([]int, error)
	}); ok {
		return p.Part(text)
	}
	return t.Encode(text)
}

type byteTokenizer struct{}

// Bytes returns the tokenizer whose ids are the bytes of the text, and 256 the end of a document, which decodes to nothing.
func Bytes() Tokenizer { return byteTokenizer{} }

func (byteTokenizer) Encode(text string) ([]int, error) {
	ids := make([]int, len(text))
	for i := range len(text) {
		ids[i] = int(text[i])
	}
	return ids, nil
}

func (byteTokenizer) Decode(ids []int) (string, error) {
	text := make([]byte, 0, len(ids))
	for i, id := range ids {
		if id < 0 || id > 256 {
			return "", fmt.Errorf("ids[%d] is %d, must be from 0 to 256", i, id)
		}
		if id < 256 {
			text = append(text, byte(id))
		}
	}
	return string(text), nil
}

func (byteTokenizer) Vocab() int   { return 257 }
func (byteTokenizer) EOS() int     { return 256 }
func (byteTokenizer) Name() string { return "bytes" }

// Locate finds the tokenizer.json of GPT-NeoX-20B: the file that the environment variable STUFFED_NEOX names, or
// .cache/20B_tokenizer.json in the working folder or the closest one above it, where the set-up puts it.
func Locate() (string, error) {
	if path := os.Getenv("STUFFED_NEOX"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("STUFFED_NEOX: %w", err)
		}
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, ".cache", "20B_tokenizer.json")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", fmt.Errorf("no .cache/20B_tokenizer.json here or above: run the set-up, or set STUFFED_NEOX to a tokenizer.json")
	}
}
