package datasets

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Filter selects documents. The zero value keeps all but exact copies.
type Filter struct {
	Splits         []string // splits to keep; none means all
	Domains        []string // domains to keep; none means all
	MinTokens      int      // documents with fewer tokens (EOS not counted) are dropped; at least 1 is always required
	NearDuplicates float64  // Jaccard similarity of word 5-grams above which a document counts as a copy, 0.5 … 1; 0 switches it off
	KeepCopies     bool     // keep exact copies as well

	Shards int `hash:"unless-default"` // number of parts to split the corpus into, one per node; 0 means the whole
	Shard  int `hash:"unless-default"` // the part to keep, from 0: documents whose number modulo Shards equals it
}

// Validate names the field that is out of range.
func (f Filter) Validate() error {
	for _, s := range f.Splits {
		if !slices.Contains(Splits, s) {
			return fmt.Errorf("filter: split %q is not one of %s", s, strings.Join(Splits, ", "))
		}
	}
	if f.MinTokens < 0 {
		return fmt.Errorf("filter: min_tokens is %d, want 0 or more", f.MinTokens)
	}
	if f.NearDuplicates != 0 && !(f.NearDuplicates >= 0.5 && f.NearDuplicates <= 1) {
		return fmt.Errorf("filter: near_duplicates is %g, want 0 (off) or 0.5 to 1", f.NearDuplicates)
	}
	if f.Shards < 0 || f.Shard < 0 || f.Shard > 0 && f.Shard >= f.Shards {
		return fmt.Errorf("filter: shard is %d of %d, want 0 to one less than shards", f.Shard, f.Shards)
	}
	return nil
}

// mine reports whether the document of this number belongs to the shard.
func (f Filter) mine(place int) bool { return f.Shards < 2 || place%f.Shards == f.Shard }

func (f Filter) wants(d *Document) bool {
	return (len(f.Splits) == 0 || slices.Contains(f.Splits, d.Split)) && (len(f.Domains) == 0 || slices.Contains(f.Domains, d.Domain))
}

// Copy is a document that was dropped because another has the same text.
type Copy struct {
	ID         string  `json:"id"`
	Split      string  `json:"split"`
	Of         string  `json:"of"`
	OfSplit    string  `json:"of_split"`
	Similarity float64 `json:"similarity"` // estimated Jaccard similarity; 1 for an exact copy
	Exact      bool    `json:"exact"`
}

// Report counts what a filter did.
type Report struct {
	Read        int    `json:"read"`         // documents of the corpus
	OtherSplit  int    `json:"not_asked"`    // of a split, domain or shard that was not asked for
	ExactCopies int    `json:"exact_copies"` // of those asked for
	NearCopies  int    `json:"near_copies"`
	Short       int    `json:"short"`
	Kept        int    `json:"kept"`
	Bytes       int64  `json:"bytes"`  // of the kept texts
	Tokens      int64  `json:"tokens"` // of the kept documents with one EOS each
	Copies      []Copy `json:"copies,omitempty"`
}

func (r Report) String() string {
	return fmt.Sprintf("%d documents read, %d not asked for, %d exact and %d near copies, %d too short, %d kept (%d bytes, %d tokens)",
		r.Read, r.OtherSplit, r.ExactCopies, r.NearCopies, r.Short, r.Kept, r.Bytes, r.Tokens)
}

// Copies finds exact copies and, with f.NearDuplicates, near ones, across all splits and domains of the corpus: a text of train
// that also occurs in test is removed from train. Of each group the first in test, then valid, then train stays; within a split
// the first one read.
func Copies(c *Corpus, f Filter) ([]Copy, error) {
	found, err := copies(c, f)
	if err != nil {
		return nil, err
	}
	var list []Copy
	for _, i := range slices.Sorted(mapKeys(found)) {
		list = append(list, found[i])
	}
	return list, nil
}

func mapKeys(m map[int]Copy) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

type fingerprint struct {
	id, split string
	hash      [32]byte
	shingles  *signature
}

// copies maps a copy's place in the corpus to what it copies.
func copies(c *Corpus, f Filter) (map[int]Copy, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if f.KeepCopies && f.NearDuplicates == 0 {
		return nil, nil
	}
	var prints []fingerprint
	err := c.Each(func(d Document) error {
		p := fingerprint{id: d.ID, split: d.Split, hash: sha256.Sum256([]byte(d.Text))}
		if f.NearDuplicates > 0 {
			p.shingles = sign(d.Text)
		}
		prints = append(prints, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	order := make([]int, len(prints))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return slices.Index(evaluationFirst, prints[a].split) - slices.Index(evaluationFirst, prints[b].split)
	})
	found, exact, near := map[int]Copy{}, map[[32]byte]int{}, newBands(f.NearDuplicates)
	for _, i := range order {
		p := &prints[i]
		if of, ok := exact[p.hash]; ok && !f.KeepCopies {
			found[i] = Copy{p.id, p.split, prints[of].id, prints[of].split, 1, true}
			continue
		}
		exact[p.hash] = i
		if p.shingles == nil {
			continue
		}
		if of, similarity := near.closest(p.shingles, prints); of >= 0 {
			found[i] = Copy{p.id, p.split, prints[of].id, prints[of].split, similarity, false}
			continue
		}
		near.add(p.shingles, i)
	}
	return found, nil
}

var evaluationFirst = []string{"test", "valid", "train"}

// CheckSplits returns an error if two splits share a document, by ID or by text, or if an ID occurs twice.
func CheckSplits(docs []Document) error {
	ids, texts := map[string]string{}, map[[32]byte]*Document{}
	for i := range docs {
		d := &docs[i]
		if s, ok := ids[d.ID]; ok {
			return fmt.Errorf("document %q is in the corpus twice (splits %s and %s): remove one", d.ID, s, d.Split)
		}
		ids[d.ID] = d.Split
		hash := sha256.Sum256([]byte(d.Text))
		if other, ok := texts[hash]; ok && other.Split != d.Split {
			return fmt.Errorf("documents %q (%s) and %q (%s) have the same text: a split must not share documents with another; remove the copies",
				other.ID, other.Split, d.ID, d.Split)
		}
		texts[hash] = d
	}
	return nil
}
