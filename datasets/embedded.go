// Package datasets holds the texts and token streams that models learn from and are measured on: the corpus that ships with the
// program, readers for the user's own texts, filters, a tokenised cache, batches whose order is a pure function of seed and step, and
// the recall stream, the smallest setting in which state collapse appears. Length filter and concatenation follow arXiv 2410.07145,
// section “data”.
package datasets

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the corpus is part of the program
	"encoding/hex"
	"fmt"
	"sync"
)

// EmbeddedSHA256 is the hash of the packed corpus that ships with the program.
const EmbeddedSHA256 = "3387fee3a34777369b2cde1aca82adf2b9f4af021204969610f9872bb73e1737"

//go:embed embedded.jsonl.xz
var embedded []byte

var embeddedCorpus = sync.OnceValues(func() (*Corpus, error) {
	sum := sha256.Sum256(embedded)
	hash := hex.EncodeToString(sum[:])
	if hash != EmbeddedSHA256 {
		return nil, fmt.Errorf("embedded corpus: sha256 is %s, want %s: the program was built from a damaged checkout", hash, EmbeddedSHA256)
	}
	var docs []Document
	err := readPacked(bytes.NewReader(embedded), "embedded.jsonl.xz", func(d Document) error {
		docs = append(docs, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := FromDocuments("embedded", docs)
	if err != nil {
		return nil, err
	}
	c.Hash = hash
	return c, nil
})

// Embedded returns the corpus inside the program: 89 documents, 16.3 MB of public-domain and permissively licensed prose and
// code. Sources and licences are in README.md and NOTICE.md beside this file. It is unpacked once and needs neither files nor
// network.
func Embedded() (*Corpus, error) { return embeddedCorpus() }
