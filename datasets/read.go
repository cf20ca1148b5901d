package datasets

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"stuffed/pkg/atomic"
	"stuffed/pkg/plaintext"
)

// maxLine is the most memory, in bytes, that one line of a file can claim.
const maxLine = 256 << 20

// endings lists the files that Open reads, by the ending of their names.
var endings = []string{".jsonl", ".jsonl.zst", ".jsonl.xz", ".txt", ".md"}

func readable(path string) bool {
	for _, e := range endings {
		if strings.HasSuffix(path, e) {
			return true
		}
	}
	return false
}

// Open reads a corpus from a file or a folder.
//
// A .jsonl, .jsonl.zst or .jsonl.xz file holds one object a line with at least "text"; "id", "domain", "split", "source", "title" and
// "licence" are used when given. A .txt or .md file is one document. In a folder, all such files are read in the order of their paths.
// Without a split, a document of a folder or of JSONL goes to test (10 %), valid (10 %) or train by the hash of its name; a text file
// alone is one document, cut by position where splits are asked for: 80 % train, 10 % valid, 10 % test. Texts are UTF-8 or, with a byte order mark, UTF-16; the mark is not part
// of the text, and every line end of a text file is one line feed. Errors name the file and the line.
//
// A bare name, such as linux, that is not a file here means NAME.jsonl (or .zst, .xz) in the folder that the variable CORPORA
// names, or in .cache/corpora.
func Open(path string) (*Corpus, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if filepath.Base(path) != path || filepath.Ext(path) != "" {
			return nil, fmt.Errorf("corpus %s: %w; give a file (%s), a folder of such, or the bare name of a corpus in the folder that CORPORA names", path, fs.ErrNotExist, strings.Join(endings, ", "))
		}
		if path, err = named(path); err == nil {
			info, err = os.Stat(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	if info.IsDir() {
		return openFolder(path)
	}
	if !readable(path) {
		return nil, fmt.Errorf("corpus %s: ending not known, want one of %s or a folder", path, strings.Join(endings, ", "))
	}
	hash, _, err := atomic.Hash(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	text := !strings.Contains(filepath.Base(path), ".jsonl")
	return &Corpus{Name: path, Hash: hash, alone: text, each: func(visit func(Document) error) error {
		return readFile(path, filepath.Base(path), "train", visit)
	}}, nil
}

// named returns the file of a corpus known by its name.
func named(name string) (string, error) {
	folder := os.Getenv("CORPORA")
	if folder == "" {
		folder = filepath.Join(".cache", "corpora")
	}
	for _, ending := range []string{".jsonl", ".jsonl.zst", ".jsonl.xz"} {
		if path := filepath.Join(folder, name+ending); fileExists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is neither a file nor a corpus in %s; build it (datasets/full) or set CORPORA to its folder: %w", name, folder, fs.ErrNotExist)
}

func fileExists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func openFolder(root string) (*Corpus, error) {
	names, err := textFiles(root)
	if err != nil {
		return nil, fmt.Errorf("corpus %s: %w", root, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("corpus %s: the folder has no files ending in %s", root, strings.Join(endings, ", "))
	}
	h := sha256.New()
	for _, name := range names {
		sum, _, err := atomic.Hash(filepath.Join(root, name))
		if err != nil {
			return nil, fmt.Errorf("corpus: %w", err)
		}
		fmt.Fprintf(h, "%s %q\n", sum, name)
	}
	return &Corpus{Name: root, Hash: hex.EncodeToString(h.Sum(nil)), each: func(visit func(Document) error) error {
		for _, name := range names {
			if err := readFile(filepath.Join(root, name), name, "", visit); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// textFiles lists the readable files under root, without hidden ones, as slash-separated relative paths in order.
func textFiles(root string) (names []string, err error) {
	return names, filepath.WalkDir(root+string(filepath.Separator), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if relative != "." && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if entry.IsDir() || !readable(path) {
			return nil
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return err
		}
		names = append(names, filepath.ToSlash(relative))
		return nil
	})
}

// readFile visits the documents of one file; name is the ID of a text file, and the prefix for lines that have none.
func readFile(path, name, split string, visit func(Document) error) error {
	f, _, err := atomic.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if strings.Contains(filepath.Base(path), ".jsonl") {
		return readPacked(f, name, visit)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if content, err = plaintext.Lines(content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	d := Document{ID: name, Split: split, Source: name, Title: name, Text: string(content)}
	if err := d.complete(name); err != nil {
		return err
	}
	return visit(d)
}

// readPacked decompresses according to the ending of the name and visits one document per line.
func readPacked(r io.Reader, name string, visit func(Document) error) error {
	r = bufio.NewReaderSize(r, 1<<20)
	switch {
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer z.Close()
		r = z
	case strings.HasSuffix(name, ".xz"):
		z, err := xz.NewReader(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r = z
	}
	return readLines(r, name, visit)
}

func readLines(r io.Reader, name string, visit func(Document) error) error {
	r, err := plaintext.Reader(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	buffer := bufio.NewReaderSize(r, 1<<20)
	var line []byte
	for number := 1; ; number++ {
		var err error
		place := fmt.Sprintf("%s:%d", name, number)
		if line, err = nextLine(buffer, line[:0]); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", place, err)
		}
		if record := bytes.TrimSpace(line); len(record) > 0 {
			d, err := parseLine(record, place)
			if err != nil {
				return err
			}
			if err := visit(d); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// nextLine appends one line to buf; the last one comes with io.EOF.
func nextLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		piece, err := r.ReadSlice('\n')
		buf = append(buf, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, err
		}
		if len(buf) > maxLine {
			return nil, fmt.Errorf("line is longer than %d bytes: is this JSON lines?", maxLine)
		}
	}
}

func parseLine(line []byte, place string) (Document, error) {
	var record struct {
		Document
		ID   identifier `json:"id"`
		Text *string    `json:"text"`
	}
	if err := json.Unmarshal(line, &record); err != nil {
		return Document{}, fmt.Errorf("%s: %w", place, described(err))
	}
	if record.Text == nil {
		return Document{}, fmt.Errorf(`%s: no field "text" (a string is required)`, place)
	}
	d := record.Document
	d.ID, d.Text = string(record.ID), *record.Text
	return d, d.complete(place)
}

// identifier is a string, or a number kept as it is written.
type identifier string

func (id *identifier) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*id = identifier(b)
		return nil
	}
	var s string
	err := json.Unmarshal(b, &s)
	*id = identifier(s)
	return err
}

// described names the field and what it holds, in JSON's terms.
func described(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("field %q is a JSON %s, want a string", strings.TrimPrefix(strings.ToLower(wrong.Field), "document."), wrong.Value)
	}
	return err
}
