package task

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"stuffed/datasets/draw"
)

func ruler(name, about string, n niah) Kind {
	return Kind{name, name + "-1", about + " (RULER)", true, func() maker { m := n; return &m }}
}

// niah is RULER's needle in a haystack (arXiv 2404.06654, section 3): Values values are kept for each of Keys keys and
// all values of Queries of them are asked for. Haystacks: noise (the same sentences), prose (random sentences instead of
// essays) and needle (values kept for other keys, as many as fit). Needles stand at random ones of 40 even depths. The
// answer is right by the share of values in it.
type niah struct {
	Hay        string `json:"hay" about:"noise, prose or needle"`
	Key        string `json:"key" about:"word, number or uuid"`
	Value      string `json:"value" about:"word, number or uuid"`
	Keys       int    `json:"keys" about:"keys in the haystack; 0: as many as queries, or four where they fit"`
	Values     int    `json:"values" about:"values of each key; 0: four where they fit"`
	Queries    int    `json:"queries" about:"keys that are asked for; 0: four where they fit"`
	Identifier int    `json:"identifier" about:"characters of a uuid; 0: 36, or fewer where 36 do not fit"`
	Wording    string `json:"wording" about:"full or short; empty: full where it fits"`

	most   int
	length int
	lexicon
}

func (n *niah) open(length int, words lexicon) error {
	n.length, n.lexicon = length, words
	for _, f := range [][2]string{{"key", n.Key}, {"value", n.Value}} {
		if err := oneOf(f[0], f[1], "word", "number", "uuid"); err != nil {
			return err
		}
	}
	if err := oneOf("hay", n.Hay, "noise", "prose", "needle"); err != nil {
		return err
	}
	if err := oneOf("wording", n.Wording, "", "full", "short"); err != nil {
		return err
	}
	if err := within(bounds{"keys", n.Keys, 0, 512}, bounds{"values", n.Values, 0, 512}, bounds{"queries", n.Queries, 0, 512}, bounds{"identifier", n.Identifier, 0, 36}); err != nil {
		return err
	}
	if n.Keys > 0 && n.Queries > n.Keys {
		return fmt.Errorf("param queries is %d, want at most keys = %d", n.Queries, n.Keys)
	}
	keys, values, queries := n.Keys, n.Values, n.Queries
	identifiers := []int{36}
	if n.Key == "uuid" || n.Value == "uuid" {
		identifiers = auto(n.Identifier, 36, 13, 8, 4)
	}
	var settings []func()
	for _, id := range identifiers {
		for count := max(n.most, 1); count >= 1; count-- {
			for _, wording := range auto(n.Wording, "full", "short") {
				settings = append(settings, func() {
					n.Identifier, n.Wording = id, wording
					n.Values, n.Queries = auto(values, count)[0], auto(queries, count)[0]
					n.Keys = auto(keys, max(n.Queries, count))[0]
				})
			}
		}
	}
	return n.choose(length, "wording=short, fewer keys, values or queries, or a shorter identifier", n.passages(nil), settings...)
}

// passages have the first value of the first key at a place, or anywhere.
func (n *niah) passages(place *float64) func(s *draw.Stream) passage {
	return func(s *draw.Stream) passage { return n.passage(s, place) }
}

// item draws a word, number or identifier that has not been drawn before.
func (n *niah) item(s *draw.Stream, kind string, used map[string]bool) string {
	return fresh(used, func() string {
		switch kind {
		case "word":
			return adjectives[s.Below(len(adjectives))] + "-" + nouns[s.Below(len(nouns))]
		case "uuid":
			return identifier(s, n.Identifier)
		}
		return strconv.Itoa(1_000_000 + s.Below(9_000_000))
	})
}

func (n *niah) passage(s *draw.Stream, place *float64) passage {
	used := map[string]bool{}
	say := func(key, value string) string {
		if n.Wording == "short" {
			return " " + key + ": " + value + "."
		}
		return " The " + n.Value + " kept for " + key + " is " + value + "."
	}
	var p passage
	type fact struct {
		needle
		value string
		key   int
	}
	var facts []fact
	var asked []string
	for k := range n.Keys {
		key := n.item(s, n.Key, used)
		if k < n.Queries {
			asked = append(asked, key)
		}
		for range n.Values {
			value, depth := n.item(s, n.Value, used), float64(s.Below(40))/39
			main := len(facts) == 0
			if main && place != nil {
				depth = *place
			}
			facts = append(facts, fact{needle{say(key, value), depth, main}, value, k})
		}
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return int(math.Copysign(1, a.depth-b.depth)) * b2i(a.depth != b.depth) })
	for k := range n.Queries { // key by key as asked, the values of each as they stand
		for _, f := range facts {
			if f.key == k {
				p.parts = append(p.parts, f.value)
			}
		}
	}
	for _, f := range facts {
		p.needles = append(p.needles, f.needle)
	}
	p.prefix = "Some " + n.Value + "s are written down below. Remember them.\n"
	p.question = "\nWhich " + n.Value + "s are kept for " + strings.Join(asked, " and ") + "? They are"
	if n.Wording == "short" {
		p.prefix, p.question = "", "\n"+strings.Join(asked, ", ")+":"
	}
	switch n.Hay {
	case "noise":
		p.filler = func() string { return " " + noise }
	case "prose":
		p.filler = func() string { return prose(s) }
	default:
		p.filler = func() string { return say(n.item(s, n.Key, used), n.item(s, n.Value, used)) }
	}
	p.answer = " " + strings.Join(p.parts, ", ")
	p.group = depthGroup(facts[0].depth)
	if n.Keys*n.Values > 1 {
		p.group = fmt.Sprintf("keys %d values %d queries %d", n.Keys, n.Values, n.Queries)
	}
	p.meta = map[string]float64{"depth": facts[0].depth}
	return p
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (n *niah) fill(s *draw.Stream, r *Record) error {
	return n.lay(s, n.length, r, n.passages(r.place))
}
func (n *niah) guess(s *draw.Stream, _ *Record) answer { return guessed(s, n.passages(nil)) }
func (n *niah) vocab() int                             { return 0 }

// chance is the probability of guessing a value: negligible except for the shortest ones.
func (n *niah) chance() float64 {
	switch n.Value {
	case "word":
		return float64(n.Queries*n.Values) / float64(len(adjectives)*len(nouns))
	case "number":
		return float64(n.Queries*n.Values) / 9e6
	}
	return float64(n.Queries*n.Values) / math.Pow(16, float64(min(n.Identifier, 8)))
}

// chain is RULER's variable tracking (vt): chains of assignments of which each hands on the name before it, in noise; all
// names that hold the value of the first chain are asked for. Names are five capitals, values 10000 … 99998.
type chain struct {
	Chains  int    `json:"chains" about:"chains; the first is asked for"`
	Hops    int    `json:"hops" about:"assignments after the first; 0: four where they fit"`
	Wording string `json:"wording" about:"full (with a worked example) or short; empty: full where it fits"`

	length int
	lexicon
}

func (c *chain) open(length int, words lexicon) error {
	c.length, c.lexicon = length, words
	if err := within(bounds{"chains", c.Chains, 1, 64}, bounds{"hops", c.Hops, 0, 64}); err != nil {
		return err
	}
	if err := oneOf("wording", c.Wording, "", "full", "short"); err != nil {
		return err
	}
	var settings []func()
	for _, hops := range auto(c.Hops, 4, 3, 2, 1) {
		for _, wording := range auto(c.Wording, "full", "short") {
			settings = append(settings, func() { c.Hops, c.Wording = hops, wording })
		}
	}
	return c.choose(length, "wording=short or fewer hops", c.passage, settings...)
}

// chainOf draws names and their assignments.
func (c *chain) chainOf(s *draw.Stream, used map[string]bool) (value string, names, lines []string) {
	value = fresh(used, func() string { return strconv.Itoa(10000 + s.Below(89999)) })
	for h := range c.Hops + 1 {
		name := fresh(used, func() string {
			b := make([]byte, 5)
			for i := range b {
				b[i] = byte('A' + s.Below(26))
			}
			return string(b)
		})
		line := "\nVAR " + name + " = " + value
		if h > 0 {
			line = "\nVAR " + name + " = VAR " + names[h-1]
		}
		if c.Wording == "short" {
			line = strings.ReplaceAll(strings.ReplaceAll(line, "VAR ", ""), " = ", "=")
		}
		names, lines = append(names, name), append(lines, line)
	}
	return value, names, lines
}

func (c *chain) passage(s *draw.Stream) passage {
	used := map[string]bool{}
	ask := func(value string) string {
		if c.Wording == "short" {
			return "\n" + value + ":"
		}
		return "\nWhich variables hold " + value + "? They are"
	}
	p := passage{group: fmt.Sprint("hops ", c.Hops), filler: func() string { return "\n" + noise }}
	if c.Wording == "short" {
		p.filler = func() string { return "\nThe sky is blue." }
	} else {
		value, names, lines := c.chainOf(s, used)
		p.prefix = "Follow the variables.\n" + strings.Join(lines, "") + ask(value) + " " + strings.Join(names, ", ") + "\n"
	}
	for i := range c.Chains {
		value, names, lines := c.chainOf(s, used)
		for k, depth := range sorted(s, len(lines)) {
			p.needles = append(p.needles, needle{text: lines[k], depth: depth})
		}
		if i == 0 {
			p.question, p.parts = ask(value), names
		}
	}
	p.answer = " " + strings.Join(p.parts, ", ")
	return p
}

func (c *chain) fill(s *draw.Stream, r *Record) error   { return c.lay(s, c.length, r, c.passage) }
func (c *chain) guess(s *draw.Stream, _ *Record) answer { return guessed(s, c.passage) }
func (c *chain) chance() float64                        { return 0 }
func (c *chain) vocab() int                             { return 0 }
