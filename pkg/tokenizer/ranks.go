package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// maxRanked bounds the bytes of a token whose merges have to be found, since each place to cut it is tried.
const maxRanked = 512

// rankMerges finds the merges of a vocabulary that is given by rank alone: two tokens merge where both together are one, and that of
// the lowest rank first. rank maps an id to its rank; negative leaves it out.
func (t *bpe) rankMerges(rank func(id int32) int32) {
	t.merges = map[uint64]merge{}
	for text, id := range t.vocab {
		r := rank(id)
		if r < 0 {
			continue
		}
		for cut := 1; cut < len(text); cut++ {
			left, ok := t.vocab[text[:cut]]
			if !ok || rank(left) < 0 {
				continue
			}
			if right, ok := t.vocab[text[cut:]]; ok && rank(right) >= 0 {
				t.merges[pairKey(left, right)] = merge{r, id}
			}
		}
	}
}

// ParseTekken reads Mistral's tekken.json: byte strings by rank, after a number of special tokens. Those are never matched in a text.
func ParseTekken(content []byte, name string) (Tokenizer, error) {
	var file struct {
		Config struct {
			Pattern string `json:"pattern"`
			Size    int    `json:"default_vocab_size"`
			Special int    `json:"default_num_special_tokens"`
		} `json:"config"`
		Vocab []struct {
			Rank  int    `json:"rank"`
			Bytes string `json:"token_bytes"`
		} `json:"vocab"`
		Special []struct {
			Rank int    `json:"rank"`
			Text string `json:"token_str"`
		} `json:"special_tokens"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("tekken: %w", err)
	}
	c := file.Config
	words, known := patterns[c.Pattern]
	switch {
	case !known:
		return nil, fmt.Errorf("tekken: the pattern %.200q is not known here", c.Pattern)
	case c.Special < 3 || c.Size <= c.Special || c.Size > maxVocab || c.Size-c.Special > len(file.Vocab):
		return nil, fmt.Errorf("tekken: default_vocab_size %d, default_num_special_tokens %d and %d words do not fit together", c.Size, c.Special, len(file.Vocab))
	}
	p := pipeline{split: []splitter{words.splitter()}}
	t := &bpe{name: name, raw: newMatcher(), normal: newMatcher(), whole: p, part: p, byteLevel: true, direct: true,
		vocab: map[string]int32{}, unknown: -1, eos: 2, before: []int{1}, texts: make([]string, c.Size), known: make([]bool, c.Size)}
	for i, text := range []string{"<unk>", "<s>", "</s>"} { // the same in every version; the others are those that the file lists
		t.texts[i], t.known[i] = text, true
	}
	for i, s := range file.Special {
		if s.Rank < 0 || s.Rank >= c.Special {
			return nil, fmt.Errorf("tekken: special_tokens[%d] has the rank %d, must be from 0 to %d", i, s.Rank, c.Special-1)
		}
		t.texts[s.Rank], t.known[s.Rank] = s.Text, true
	}
	for i, w := range file.Vocab[:c.Size-c.Special] {
		text, err := base64.StdEncoding.DecodeString(w.Bytes)
		if err != nil || w.Rank != i || len(text) == 0 || len(text) > maxRanked {
			return nil, fmt.Errorf("tekken: vocab[%d] has the rank %d and the bytes %.40q, want the rank %d and 1 to %d bytes in base64", i, w.Rank, w.Bytes, i, maxRanked)
		}
		if _, twice := t.vocab[string(text)]; twice {
			return nil, fmt.Errorf("tekken: vocab[%d] %.40q comes twice", i, text)
		}
		id := int32(c.Special + i)
		t.vocab[string(text)], t.texts[id], t.known[id] = id, string(text), true
	}
	for b := range t.bytes {
		id, ok := t.vocab[string([]byte{byte(b)})]
		if !ok {
			return nil, fmt.Errorf("tekken: the byte %d is not in the vocabulary", b)
		}
		t.bytes[b] = id
	}
	t.rankMerges(func(id int32) int32 { return id })
	return t, nil
}
