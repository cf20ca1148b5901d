package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEmbedded(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	docs, err := c.Documents(nil)
	if err != nil {
		t.Fatal(err)
	}
	counts, size := map[string]int{}, map[string]int{}
	for _, d := range docs {
		counts[d.Domain+" "+d.Split]++
		size[d.Domain+" "+d.Split] += len(d.Text)
		if d.ID == "" || d.Source == "" || d.Title == "" || d.Licence == "" {
			t.Errorf("%s lacks a source, title or licence", d.ID)
		}
		if strings.Contains(d.Licence, "GPL") || strings.Contains(d.Licence, "GFDL") {
			t.Errorf("%s: copyleft text in the program: %s", d.ID, d.Licence)
		}
	}
	want := map[string]int{"prose train": 7128103, "prose valid": 2046676, "prose test": 1058410,
		"code train": 4954137, "code valid": 479525, "code test": 676832}
	for k, n := range want {
		if size[k] != n {
			t.Errorf("%s: %d bytes, want %d", k, size[k], n)
		}
	}
	if len(docs) != 89 || counts["prose train"] != 22 {
		t.Errorf("%d documents, %d of prose train", len(docs), counts["prose train"])
	}
	if err := CheckSplits(docs); err != nil {
		t.Error(err)
	}
}

func TestEmbeddedDamage(t *testing.T) {
	damaged := bytes.Clone(embedded)
	damaged[len(damaged)/2] ^= 1
	err := readPacked(bytes.NewReader(damaged), "embedded.jsonl.xz", func(Document) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "embedded.jsonl.xz") {
		t.Fatalf("damage went unseen: %v", err)
	}
	if err := readPacked(bytes.NewReader(embedded[:len(embedded)/2]), "cut.xz", func(Document) error { return nil }); err == nil {
		t.Fatal("a cut file was read to its end")
	}
}

func TestOpenKinds(t *testing.T) {
	folder := t.TempDir()
	lines := `{"id":"a","split":"valid","domain":"d","text":"one"}` + "\n\n" + `{"text":"` + strings.Repeat("long ", 1<<19) + `"}`
	write(t, filepath.Join(folder, "x.jsonl"), lines)
	var z, x bytes.Buffer
	zw, _ := zstd.NewWriter(&z)
	zw.Write([]byte(lines))
	zw.Close()
	xw, _ := xz.NewWriter(&x)
	xw.Write([]byte(lines))
	xw.Close()
	write(t, filepath.Join(folder, "x.jsonl.zst"), z.String())
	write(t, filepath.Join(folder, "x.jsonl.xz"), x.String())
	for _, name := range []string{"x.jsonl", "x.jsonl.zst", "x.jsonl.xz"} {
		c, err := Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		docs, err := c.Documents(nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(docs) != 2 || docs[0] != (Document{ID: "a", Domain: "d", Split: "valid", Text: "one"}) || len(docs[1].Text) != 5<<19 || docs[1].ID != name+":3" {
			t.Errorf("%s: %d documents, second %q", name, len(docs), docs[len(docs)-1].ID)
		}
	}
	c, err := Open(write(t, filepath.Join(folder, "t.txt"), "hello"))
	if err != nil {
		t.Fatal(err)
	}
	if docs, err := c.Documents(nil); err != nil || len(docs) != 1 || docs[0].Split != "train" || docs[0].Text != "hello" {
		t.Fatal(docs, err)
	}
}

func TestOpenFolderSplitsByName(t *testing.T) {
	folder := t.TempDir()
	for i := range 300 {
		write(t, filepath.Join(folder, "sub", fmt.Sprintf("doc%03d.txt", i)), fmt.Sprint("text ", i))
	}
	write(t, filepath.Join(folder, ".hidden", "no.txt"), "no")
	write(t, filepath.Join(folder, "picture.png"), "no")
	c, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	counts, where := map[string]int{}, map[string]string{}
	if err := c.Each(func(d Document) error { counts[d.Split]++; where[d.ID] = d.Split; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(where) != 300 || counts["train"] < 210 || counts["valid"] < 15 || counts["test"] < 15 {
		t.Fatal(counts)
	}
	write(t, filepath.Join(folder, "sub", "aaa.txt"), "another file moves nothing")
	again, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash == c.Hash {
		t.Error("a new file left the hash as it was")
	}
	if err := again.Each(func(d Document) error {
		if s, old := where[d.ID]; old && s != d.Split {
			t.Errorf("%s moved from %s to %s", d.ID, s, d.Split)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenErrorsNameThePlace(t *testing.T) {
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty")
	os.Mkdir(empty, 0o755)
	good := `{"text":"a"}` + "\n"
	for name, want := range map[string]string{
		write(t, filepath.Join(folder, "a.jsonl"), good+"{\"text\":"):                   "a.jsonl:2",
		write(t, filepath.Join(folder, "b.jsonl"), good+good+`{"body":"x"}`):            `b.jsonl:3: no field "text"`,
		write(t, filepath.Join(folder, "c.jsonl"), good+`{"text":"x","split":"trian"}`): `c.jsonl:2: split is "trian"`,
		write(t, filepath.Join(folder, "d.txt"), "\xc3\x28"):                            "not UTF-8",
		write(t, filepath.Join(folder, "e.pdf"), "x"):                                   "ending not known",
		write(t, filepath.Join(folder, "f.jsonl.zst"), "not zstd"):                      "f.jsonl.zst",
		write(t, filepath.Join(folder, "g.jsonl.xz"), "not xz at all, really"):          "g.jsonl.xz",
		write(t, filepath.Join(folder, "h.jsonl"), `{"text":5}`):                        "h.jsonl:1",
		empty:                            "no files ending in",
		filepath.Join(folder, "missing"): "missing",
	} {
		c, err := Open(name)
		if err == nil {
			_, err = c.Documents(nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", filepath.Base(name), err, want)
		}
	}
	stop := errors.New("stop")
	c, _ := FromDocuments("two", []Document{{Text: "a"}, {Text: "b"}})
	if err := c.Each(func(Document) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

// Marks, line ends and numbered ids of other programs change neither texts nor names.
func TestFilesOfOtherProgramsReadTheSame(t *testing.T) {
	folder := t.TempDir()
	for name, want := range map[string]string{
		write(t, filepath.Join(folder, "a.txt"), "\xef\xbb\xbfone\r\ntwo\r\n"):                         "a.txt: one\ntwo\n",
		write(t, filepath.Join(folder, "b.txt"), "\xff\xfeo\x00n\x00e\x00\n\x00t\x00w\x00o\x00\n\x00"): "b.txt: one\ntwo\n",
		write(t, filepath.Join(folder, "c.jsonl"), "\xef\xbb\xbf{\"id\":7,\"text\":\"one\"}\r\n"):      "7: one",
		write(t, filepath.Join(folder, "d.jsonl"), `{"id":9007199254740993,"text":"one"}`):             "9007199254740993: one",
		write(t, filepath.Join(folder, "e.jsonl"), `{"id":"x","text":"a\r\nb"}`):                       "x: a\r\nb",
	} {
		c, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := c.Documents(nil)
		if err != nil || len(docs) != 1 || docs[0].ID+": "+docs[0].Text != want {
			t.Errorf("%s: %+v, %v; want %q", filepath.Base(name), docs, err, want)
		}
	}
	c, err := Open(write(t, filepath.Join(folder, "f.jsonl"), `{"text":"a","title":["x"]}`))
	if err == nil {
		_, err = c.Documents(nil)
	}
	if err == nil || !strings.Contains(err.Error(), `field "title" is a JSON array`) {
		t.Errorf("an error in the words of JSON: %v", err)
	}
}
