package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCache(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "cache")
	c := corpusOf(50, 300, 20)
	want := tokensOf(50, 300, 20)
	open := func(f Filter) *Tokens {
		t.Helper()
		tokens, err := Prepare(c, f, byteEncoder{}, folder)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tokens.IDs, want.IDs) || !slices.Equal(tokens.CuSeqlens, want.CuSeqlens) || !slices.Equal(tokens.Origins, want.Origins) {
			t.Fatal("cache differs from the texts")
		}
		if tokens.Vocab != 257 || tokens.EOS != 256 || tokens.Tokenizer != "bytes" || tokens.Report.Kept != 3 {
			t.Fatal("what the cache says of itself is wrong")
		}
		return tokens
	}
	first := open(Filter{})
	if first.Cached || first.Rebuilt != "" {
		t.Error("a first run is not cached")
	}
	second := open(Filter{})
	if !second.Cached {
		t.Error("a second run is cached")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	files, _ := filepath.Glob(filepath.Join(folder, "*"))
	if len(files) != 2 {
		t.Fatal(files)
	}
	for name, damage := range map[string]func(raw []byte) []byte{
		"cut":     func(raw []byte) []byte { return raw[:len(raw)/2] },
		"flipped": func(raw []byte) []byte { raw[len(raw)/3] ^= 4; return raw },
		"empty":   func([]byte) []byte { return nil },
		"longer":  func(raw []byte) []byte { return append(raw, 0, 0) },
	} {
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(raw), 0o644); err != nil {
				t.Fatal(err)
			}
			if again := open(Filter{}); again.Cached || again.Rebuilt == "" {
				t.Errorf("%s %s: cached %v, reason %q", name, filepath.Ext(file), again.Cached, again.Rebuilt)
			} else {
				again.Close()
			}
		}
	}
	for _, file := range files {
		os.Remove(file)
		open(Filter{}).Close()
	}
	if open(Filter{MinTokens: 2}).Cached {
		t.Error("another filter, the same cache")
	}
	c = corpusOf(50, 300, 21)
	want = tokensOf(50, 300, 21)
	if open(Filter{}).Cached {
		t.Error("another corpus, the same cache")
	}
}

type shifted struct{ byteEncoder }

func (s shifted) Encode(text string) ([]int, error) {
	ids, err := s.byteEncoder.Encode(text)
	for i := range ids {
		ids[i] = (ids[i] + 1) % 256
	}
	return ids, err
}

type outside struct{ byteEncoder }

func (outside) Vocab() int { return 100 }

type huge struct{ byteEncoder }

func (huge) Vocab() int { return 1 << 17 }

func TestCacheKnowsTheTokenizer(t *testing.T) {
	folder := t.TempDir()
	c := corpusOf(30)
	if _, err := Prepare(c, Filter{}, byteEncoder{}, folder); err != nil {
		t.Fatal(err)
	}
	if tokens, err := Prepare(c, Filter{}, shifted{}, folder); err != nil || tokens.Cached || tokens.IDs[0] != 'b' {
		t.Error("two tokenizers of one name share a cache", err)
	}
	if _, err := Prepare(c, Filter{}, outside{}, folder); err == nil || !strings.Contains(err.Error(), "allowed is 0 to 99") {
		t.Error(err)
	}
	if _, err := Prepare(c, Filter{}, huge{}, folder); err == nil || !strings.Contains(err.Error(), "16 bits") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, ".*")); len(left) != 0 {
		t.Error("temporary files stay after an error:", left)
	}
	if _, err := Prepare(c, Filter{}, byteEncoder{}, write(t, filepath.Join(folder, "file"), "")); err == nil {
		t.Error("a cache folder that is a file")
	}
}

// Caches that were made before are found again: a new field of Filter must not change the key of what it leaves alone.
func TestKnownCacheKey(t *testing.T) {
	c := &Corpus{Hash: "c0ffee"}
	for _, known := range []struct {
		filter Filter
		want   string
	}{{Filter{}, "bc45f7e73f3046ddaa5f3684d15263b5"}, {Filter{Splits: []string{"train"}, Domains: []string{"wiki"}, MinTokens: 64, NearDuplicates: 0.8}, "5e568305ab6386f16c7b936e6154cdf4"}} {
		if got, err := cacheKey(c, known.filter, byteEncoder{}); err != nil || got != known.want {
			t.Errorf("key of %+v is %s (%v), must be %s", known.filter, got, err, known.want)
		}
	}
}
