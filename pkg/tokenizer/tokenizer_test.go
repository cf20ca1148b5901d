package tokenizer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	tok := Bytes()
	if tok.Vocab() != 257 || tok.EOS() != 256 || tok.Name() != "bytes" {
		t.Errorf("vocabulary %d, EOS %d, name %q", tok.Vocab(), tok.EOS(), tok.Name())
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, text := range []string{"", "a\x00b", "é🙂", string(all), "\xff\xfe"} {
		ids, err := tok.Encode(text)
		if err != nil || len(ids) != len(text) {
			t.Fatalf("%q: %d ids, %v", text, len(ids), err)
		}
		for i, id := range ids {
			if id != int(text[i]) {
				t.Fatalf("%q: id %d is %d", text, i, id)
			}
		}
		if back, err := tok.Decode(append(ids, 256)); err != nil || back != text {
			t.Errorf("%q came back as %q %v", text, back, err)
		}
	}
	for _, bad := range [][]int{{0, -1}, {0, 257}} {
		if _, err := tok.Decode(bad); err == nil || !strings.Contains(err.Error(), "ids[1]") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		write("cut.json", `{"model":`): "unexpected end", write("empty.json", ""): "unexpected end", write("list.json", "[]"): "cannot unmarshal",
		dir: "regular file", filepath.Join(dir, "none.json"): "no such file",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one that names %s and says %q", err, path, want)
		}
	}
	tok, err := Open(write("small.json", string(smallFile(t, nil))))
	if err != nil || tok.Name() != "small" {
		t.Fatalf("%v %v", tok, err)
	}
	ids, err := tok.Encode("a the")
	if want := []int{'a', 258}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("got %v %v, want %v", ids, err, want)
	}
}

func TestLocate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "t.json")
	t.Setenv("STUFFED_NEOX", file)
	if _, err := Locate(); err == nil || !strings.Contains(err.Error(), "STUFFED_NEOX") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := Locate(); err != nil || path != file {
		t.Errorf("%q %v", path, err)
	}
	t.Setenv("STUFFED_NEOX", "")
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	for _, dir := range []string{deep, filepath.Join(root, ".cache")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	if err := os.WriteFile(filepath.Join(root, ".cache", "20B_tokenizer.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := Locate(); err != nil || !strings.HasSuffix(path, ".cache/20B_tokenizer.json") {
		t.Errorf("%q %v", path, err)
	}
}
