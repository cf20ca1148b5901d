package datasets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"stuffed/pkg/identity"
)

// cacheVersion changes whenever the same corpus, filter and tokenizer would give different tokens.
const cacheVersion = "tokens-3"

// Prepare is Tokenize through a cache in folder: little-endian uint16 ids in KEY.tokens, mapped into memory, and offsets,
// origins, counts and hashes in KEY.index. KEY is a hash of the corpus' content, the filter and the tokenizer's behaviour. A
// truncated or altered cache is rebuilt, and Rebuilt says why. An interrupted build is resumed, and of several processes one
// builds while the others wait. progress, if not nil, receives the counts as they grow. Close the result to unmap it.
func Prepare(c *Corpus, f Filter, enc Encoder, folder string, progress ...func(Report)) (*Tokens, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	key, err := cacheKey(c, f, enc)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(folder, key)
	t, err := openCache(base)
	if err == nil {
		t.Cached = true
		return t, nil
	}
	reason := ""
	if !errors.Is(err, fs.ErrNotExist) {
		reason = err.Error()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("token cache: %w", err)
	}
	b := &building{corpus: c, filter: f, enc: enc, base: base, progress: progress}
	if err := b.run(); err != nil {
		return nil, err
	}
	if t, err = openCache(base); err != nil {
		return nil, fmt.Errorf("token cache: just written and yet not readable: %w", err)
	}
	t.Rebuilt = reason
	return t, nil
}

// The tokens of probe are part of the key, so that another vocabulary of the same name gives another key.
const probe = "The quick brown fox, 12345 times:\n\n\tif x[i] != \"ä\" { return αβγ } // 你好 🙂"

func cacheKey(c *Corpus, f Filter, enc Encoder) (string, error) {
	ids, err := enc.Encode(probe)
	if err != nil {
		return "", fmt.Errorf("tokenizer %s: %w", enc.Name(), err)
	}
	filter, err := identity.JSON(f, Filter{})
	if err != nil {
		return "", err
	}
	parts, err := json.Marshal([]any{cacheVersion, c.Hash, json.RawMessage(filter), enc.Name(), enc.Vocab(), enc.EOS(), framed(enc, ids)})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:16]), nil
}

// cacheIndex is the sidecar. It is written after the tokens, so its presence means that they are complete.
type cacheIndex struct {
	SHA256    string   `json:"tokens_sha256"`
	Tokenizer string   `json:"tokenizer"`
	Vocab     int      `json:"vocab"`
	EOS       int      `json:"eos"`
	Corpus    string   `json:"corpus_sha256"`
	CuSeqlens []int64  `json:"cu_seqlens"`
	Origins   []Origin `json:"documents"`
	Report    Report   `json:"report"`
}

func openCache(base string) (*Tokens, error) {
	text, err := os.ReadFile(base + ".index")
	if err != nil {
		return nil, err
	}
	sum, body, _ := bytes.Cut(text, []byte("\n"))
	body = bytes.TrimSuffix(body, []byte("\n"))
	if fmt.Sprintf("%x", sha256.Sum256(body)) != string(sum) {
		return nil, fmt.Errorf("%s.index is damaged: its sha256 is not the one that it states", base)
	}
	var index cacheIndex
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, fmt.Errorf("%s.index: %w", base, err)
	}
	raw, unmap, err := mapFile(base + ".tokens")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // an index without tokens is damage, not a first run
			err = fmt.Errorf("%s.tokens is missing", base)
		}
		return nil, err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(raw)); got != index.SHA256 || int64(len(raw)) != 2*index.Report.Tokens {
		return nil, errors.Join(fmt.Errorf("%s.tokens is damaged: %d bytes with sha256 %s, want %d with %s",
			base, len(raw), got, 2*index.Report.Tokens, index.SHA256), unmap())
	}
	return &Tokens{IDs: asUint16(raw), CuSeqlens: index.CuSeqlens, Origins: index.Origins, Report: index.Report,
		Tokenizer: index.Tokenizer, Vocab: index.Vocab, EOS: index.EOS, closer: unmap}, nil
}
