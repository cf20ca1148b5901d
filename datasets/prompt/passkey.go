package prompt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// noise is the haystack that all passkey prompts share.
const noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

// form is the wording of a variant. Line breaks stand before the pieces rather than after them, so that tokenizers which join white
// space to what follows cut where we cut.
type form struct {
	version  string
	prefix   string
	needle   string // K stands for the key
	question string
	lines    bool // noise blocks on lines of their own; otherwise one run of text, cut at any token
	key      func(s *draw.Stream) string
}

var forms = map[string]form{
	"paper": {
		version:  "passkey-paper-1",
		prefix:   "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it.\n",
		needle:   "The passkey is K. Remember it. K is the passkey.",
		question: "\n\nWhat is the pass key? The passkey is",
		lines:    true,
		key:      fiveDigits,
	},
	"infinitebench": {
		version:  "passkey-infinitebench-1",
		prefix:   "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n",
		needle:   "The pass key is K. Remember it. K is the pass key.",
		question: "\n\n\nWhat is the pass key?\n\nThe pass key is",
		lines:    true,
		key:      fiveDigits,
	},
	"longlora": {
		version:  "passkey-longlora-1",
		prefix:   "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you about the important information there.\n",
		needle:   "The pass key is K. Remember it. K is the pass key.",
		question: "\nWhat is the pass key? The pass key is",
		key:      func(s *draw.Stream) string { return strconv.Itoa(1 + s.Below(50000)) },
	},
}

func fiveDigits(s *draw.Stream) string { return fmt.Sprintf("%05d", s.Below(100000)) }

// PasskeyVariants are the names that NewPasskey knows.
func PasskeyVariants() []string { return []string{"paper", "infinitebench", "longlora"} }

// Passkey makes passkey prompts of one variant, tokenizer and length.
type Passkey struct {
	variant string
	form    form
	length  int
	enc     datasets.Encoder
	memo    map[string][]int
	mutex   sync.Mutex // of memo

	haystack []string // words of one's own text, or nil
	named    string   // version with that text
}

// NewPasskey refuses an unknown variant and a length below 1; a length below the fixed part is refused by Record, since the fixed part
// depends on the key.
func NewPasskey(variant string, enc datasets.Encoder, length int) (*Passkey, error) {
	f, ok := forms[variant]
	if !ok {
		return nil, fmt.Errorf("variant %q is not one of %s", variant, strings.Join(PasskeyVariants(), ", "))
	}
	if length < 1 {
		return nil, fmt.Errorf("length is %d tokens, want 1 or more", length)
	}
	return &Passkey{variant: variant, form: f, length: length, enc: enc, memo: map[string][]int{}}, nil
}

// Key is the key of a record: five digits 00000 … 99999, or for longlora a number from 1 to 50000.
func (p *Passkey) Key(seed, index int64) string {
	return p.form.key(draw.New(draw.Key(seed, p.form.version, int64(p.length), index)))
}

// Minimum is the number of tokens of a record without its noise.
func (p *Passkey) Minimum(seed, index int64) (int, error) {
	_, minimum, err := p.fixed(p.Key(seed, index))
	return minimum, err
}

func (p *Passkey) fixed(key string) (needle string, minimum int, err error) {
	needle = strings.ReplaceAll(p.form.needle, "K", key)
	build := &pieces{enc: p.enc, memo: p.memo}
	minimum = len(build.tokens(p.form.prefix)) + len(build.tokens("\n")) + len(build.tokens(needle)) + len(build.tokens(p.form.question))
	if !p.form.lines {
		minimum += len(build.tokens("\n"))
	}
	delete(p.memo, needle)
	return needle, minimum, build.err
}

// Record is prompt number index with its needle at a depth in [0, 1]. Noise blocks are whole, the needle follows the first
// ⌊depth·blocks⌋ of them; what is left of the length is the beginning of one more block on the line that is farthest from the needle,
// the first or the last. The longlora variant cuts its noise at any token instead, ⌊depth·noise⌋ tokens before the needle.
func (p *Passkey) Record(seed, index int64, depth float64) (Record, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if math.IsNaN(depth) || depth < 0 || depth > 1 {
		return Record{}, fmt.Errorf("depth is %g, want 0 to 1", depth)
	}
	key := p.Key(seed, index)
	needle, minimum, err := p.fixed(key)
	if err != nil {
		return Record{}, err
	}
	if p.length < minimum {
		return Record{}, &TooShortError{p.variant, p.length, minimum}
	}
	build := &pieces{enc: p.enc, memo: p.memo, ids: make([]int, 0, p.length)}
	build.put(p.form.prefix)
	span := [2]int{}
	if p.form.lines {
		span = p.haystackOfLines(build, needle, p.length-minimum, depth)
	} else {
		before := int(depth * float64(p.length-minimum))
		next := 0
		p.fill(build, &next, before)
		build.put("\n")
		span = build.put(needle)
		build.put("\n")
		p.fill(build, &next, p.length-minimum-before)
	}
	build.put(p.form.question)
	delete(p.memo, needle)
	answer, err := datasets.Part(p.enc, " "+key)
	if err != nil {
		return Record{}, fmt.Errorf("tokenizer %s: %w", p.enc.Name(), err)
	}
	r := Record{Answer: key, AnswerIDs: answer, Answers: []string{key}, Depth: depth, NeedleStart: span[0], NeedleEnd: span[1],
		Needles: [][2]int{span}, Length: p.length, Variant: p.variant, Seed: seed, Index: index, Version: p.version()}
	return r, build.finish(&r)
}

// haystackOfLines puts free tokens of noise and the needle.
func (p *Passkey) haystackOfLines(build *pieces, needle string, free int, depth float64) (span [2]int) {
	const block = "\n" + noise
	size := max(1, len(build.tokens(block)))
	blocks, rest := free/size, free%size
	place := int(depth * float64(blocks))
	stretched := blocks // line that takes the rest, counted with the needle among the blocks
	if depth >= 0.5 && place > 0 {
		stretched = 0
	}
	for line := range blocks + 1 {
		if line == place {
			build.put("\n")
			span = build.put(needle)
		} else {
			build.put(block)
		}
		if line == stretched {
			build.cut(" "+noise, rest)
		}
	}
	return span
}

// Depths are n depths, (i + ½)/n.
func Depths(n int) []float64 {
	depths := make([]float64, n)
	for i := range depths {
		depths[i] = (float64(i) + 0.5) / float64(n)
	}
	return depths
}

// Index is the number of the record of a trial at a depth, the same whatever other depths and trials a grid has.
func Index(depth float64, trial int) int64 { return int64(math.Round(depth*1e9))<<20 | int64(trial) }

// Grid hands out trials records for each depth, in that order, numbered by Index. A length that is too short for any of them is refused
// before the first is made.
func (p *Passkey) Grid(depths []float64, trials int, seed int64, put func(Record) error) error {
	if len(depths) == 0 || trials < 1 || trials > 1<<20 {
		return fmt.Errorf("%d depths and %d trials, want 1 or more depths and 1 to %d trials", len(depths), trials, 1<<20)
	}
	minimum := 0
	for _, depth := range depths {
		for i := range trials {
			m, err := p.Minimum(seed, Index(depth, i))
			if err != nil {
				return err
			}
			minimum = max(minimum, m)
		}
	}
	if minimum > p.length {
		return &TooShortError{p.variant, p.length, minimum}
	}
	for _, depth := range depths {
		for i := range trials {
			r, err := p.Record(seed, Index(depth, i), depth)
			if err != nil {
				return err
			}
			if err := put(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Records is Grid as a list.
func (p *Passkey) Records(depths []float64, trials int, seed int64) ([]Record, error) {
	var all []Record
	err := p.Grid(depths, trials, seed, func(r Record) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// ParseDepths reads a number of depths, spread evenly, or a list of depths between 0 and 1 separated by commas.
func ParseDepths(text string) ([]float64, error) {
	bad := fmt.Errorf("depths is %q, want a number of depths from 1 to 10000, or a list such as 0,0.25,1 of depths from 0 to 1", text)
	if n, err := strconv.Atoi(text); err == nil && n != 0 {
		if n < 1 || n > 10000 {
			return nil, bad
		}
		return Depths(n), nil
	}
	var depths []float64
	for _, field := range strings.Split(text, ",") {
		d, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || math.IsNaN(d) || d < 0 || d > 1 {
			return nil, bad
		}
		depths = append(depths, d)
	}
	return depths, nil
}
