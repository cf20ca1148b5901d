package prompt

import (
	"fmt"
	"strings"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// Probe is a long sequence without a question: it shows whether the state stays within bounds.
type Probe struct {
	Name    string   `json:"name"` // tells probes of a set apart
	Kind    string   `json:"kind"`
	Version string   `json:"version"`
	Seed    int64    `json:"seed"`
	IDs     []int32  `json:"ids"`
	Sources []Source `json:"sources"` // what the sequence is made of; empty for generated ones
}

// Source is a run of tokens of a Probe and the document that it comes from.
type Source struct {
	datasets.Origin
	Start int64 `json:"start"` // token of the probe
	End   int64 `json:"end"`   // token after the run
	Whole bool  `json:"whole"` // the document is there to its end
}

const probeVersion = "probe-1"

// Newline is the token that a long run of newlines is made of, the “newlines” prompt of arXiv 2410.07145: one newline for bytes, eight
// newlines (id 25330) for the GPT-NeoX tokenizer.
func Newline(enc datasets.Encoder) (id int, err error) {
	ids, err := enc.Encode(strings.Repeat("\n", 256))
	if err != nil {
		return 0, fmt.Errorf("tokenizer %s: %w", enc.Name(), err)
	}
	counts := map[int]int{}
	best := -1
	for _, i := range ids {
		counts[i]++
		if best < 0 || counts[i] > counts[best] || counts[i] == counts[best] && i < best {
			best = i
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("tokenizer %s gives no token for newlines", enc.Name())
	}
	return best, nil
}

// Constant is one token, length times.
func Constant(id, length int) (Probe, error) {
	if id < 0 || length < 1 {
		return Probe{}, fmt.Errorf("constant prompt: token %d, length %d; want 0 or more and 1 or more", id, length)
	}
	name := fmt.Sprintf("constant %d", id)
	p := Probe{Name: name, Kind: name, Version: probeVersion, IDs: make([]int32, length)}
	for i := range p.IDs {
		p.IDs[i] = int32(id)
	}
	return p, nil
}

// Repeated is a text, over and over, cut at length tokens.
func Repeated(enc datasets.Encoder, text string, length int) (Probe, error) {
	ids, err := datasets.Part(enc, text)
	if err != nil {
		return Probe{}, fmt.Errorf("tokenizer %s: %w", enc.Name(), err)
	}
	if len(ids) == 0 || length < 1 {
		return Probe{}, fmt.Errorf("repeated prompt: %d tokens of text to length %d; want 1 or more of each", len(ids), length)
	}
	p := Probe{Name: "repeated", Kind: "repeated", Version: probeVersion, IDs: make([]int32, length)}
	for i := range p.IDs {
		p.IDs[i] = int32(ids[i%len(ids)])
	}
	return p, nil
}

// Shuffled has the tokens of another probe in random order: the same counts, no context.
func Shuffled(p Probe, seed int64) Probe {
	q := Probe{Name: "shuffled " + p.Name, Kind: "shuffled " + p.Kind, Version: probeVersion, Seed: seed, IDs: make([]int32, len(p.IDs)), Sources: p.Sources}
	for i, j := range draw.Permutation(draw.Key(seed, "shuffled"), len(p.IDs)) {
		q.IDs[i] = p.IDs[j]
	}
	return q
}

// Streams concatenates documents of one domain, in their order and with the EOS that closes each, into count sequences of length
// tokens. No document is used twice; the last one of a stream is cut and its rest is left out. Such a stream tests stability, not the
// use of context beyond a document.
func Streams(t *datasets.Tokens, domain string, length int64, count int) ([]Probe, error) {
	if length < 1 || count < 1 {
		return nil, fmt.Errorf("streams: %d of %d tokens, want 1 or more of each", count, length)
	}
	var all []Probe
	document, available := 0, int64(0)
	for i := range count {
		p := Probe{Name: fmt.Sprintf("stream %s %d", domain, i), Kind: "stream " + domain, Version: probeVersion}
		for ; document < t.Documents() && int64(len(p.IDs)) < length; document++ {
			o := t.Origins[document]
			if o.Domain != domain {
				continue
			}
			ids := t.Document(document)
			available += int64(len(ids))
			start := int64(len(p.IDs))
			head := ids[:min(int64(len(ids)), length-start)]
			for _, id := range head {
				p.IDs = append(p.IDs, int32(id))
			}
			p.Sources = append(p.Sources, Source{o, start, int64(len(p.IDs)), len(head) == len(ids)})
		}
		if int64(len(p.IDs)) < length {
			return nil, fmt.Errorf("streams: %d streams of %d tokens, but domain %q has only %d tokens in these documents; ask for fewer or shorter ones",
				count, length, domain, available)
		}
		all = append(all, p)
	}
	return all, nil
}
