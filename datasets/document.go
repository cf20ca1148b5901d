package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Splits are the three parts of a corpus: fit on train, choose on valid, report on test.
var Splits = []string{"train", "valid", "test"}

// Document is one text and its origin.
type Document struct {
	ID      string `json:"id"`
	Domain  string `json:"domain"`
	Split   string `json:"split"` // train, valid or test
	Source  string `json:"source"`
	Title   string `json:"title"`
	Licence string `json:"licence"`
	Text    string `json:"text"`
}

// Corpus is a list of documents that is read again on each pass, so that it may be larger than memory.
type Corpus struct {
	Name string // for messages
	Hash string // sha256 of what the documents are read from, in hexadecimal
	each func(visit func(Document) error) error

	alone bool // one text file, cut by position if splits are asked for
}

// Each visits the documents in file order; an error from visit ends the pass and is returned.
func (c *Corpus) Each(visit func(Document) error) error { return c.each(visit) }

// Documents reads all documents that keep accepts (nil keeps all) into memory.
func (c *Corpus) Documents(keep func(Document) bool) ([]Document, error) {
	var all []Document
	err := c.each(func(d Document) error {
		if keep == nil || keep(d) {
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// FromDocuments makes a corpus of documents in memory. An empty split becomes one chosen by the hash of the ID.
func FromDocuments(name string, docs []Document) (*Corpus, error) {
	docs = append([]Document(nil), docs...)
	h := sha256.New()
	for i := range docs {
		if err := docs[i].complete(fmt.Sprintf("%s: document %d", name, i)); err != nil {
			return nil, err
		}
		d := docs[i]
		for _, field := range []string{d.ID, d.Domain, d.Split, d.Text} {
			fmt.Fprintf(h, "%d:", len(field))
			io.WriteString(h, field)
		}
	}
	return &Corpus{Name: name, Hash: hex.EncodeToString(h.Sum(nil)), each: func(visit func(Document) error) error {
		for _, d := range docs {
			if err := visit(d); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// complete fills in the fields that a reader may omit and rejects an unknown split.
func (d *Document) complete(place string) error {
	if d.ID == "" {
		d.ID = place
	}
	if d.Domain == "" {
		d.Domain = "text"
	}
	switch d.Split {
	case "":
		d.Split = splitOf(d.ID)
	case "val", "validation":
		d.Split = "valid"
	case "train", "valid", "test":
	default:
		return fmt.Errorf("%s: split is %q, want one of %s", place, d.Split, strings.Join(Splits, ", "))
	}
	return nil
}

// splitOf assigns 10 % of names to test, 10 % to valid and the rest to train, whatever other names there are.
func splitOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	switch u := int(sum[0])<<8 | int(sum[1]); {
	case u < 1<<16/10:
		return "test"
	case u < 2*(1<<16)/10:
		return "valid"
	}
	return "train"
}
