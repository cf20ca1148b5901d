package task

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oracles answer from what a reader sees, the ids before each question or the text before the answer, knowing the rules
// of the task and nothing of how the record was made.
var oracles = map[string]func(t *testing.T, r Record) Answer{
	"mqar": lastValue(1, 1), "mqar-forgetting": lastValue(1, 1), "recall": lastValue(1, 1), "recall-list": lastValue(1, 1), "mqar-compositional": lastValue(2, 1),
	"retrieval": everyValue, "copy": copied, "copy-duplicate": copied, "copy-prefix": following, "copy-suffix": following,
	"selective-copying": scattered, "induction": induced, "parity": folded(2), "permutations": folded(120),
	"passkey":       matched(`(?:passkey|pass key|key) is (\d+)\.`),
	"number-string": matched(`(?:sequence of digits|key) is (\d+)\.`),
	"key-value":     keyed(`"([0-9a-f-]+)": "([0-9a-f-]+)",`, `(?:Key: )?"([0-9a-f-]+)"(?:\nThe value of this key is)?:$`),
	"phone-book":    keyed(`([A-Z][a-z]+ [A-Z][a-z]+): (\d{10})\n`, `\n([A-Z][a-z]+ [A-Z][a-z]+):$`),
	"niah-single-1": needled, "niah-single-2": needled, "niah-single-3": needled, "niah-multikey-1": needled, "niah-multikey-2": needled,
	"niah-multikey-3": needled, "niah-multivalue": needled, "niah-multiquery": needled,
	"variable-tracking": tracked, "common-words": counted, "frequent-words": counted, "quotation": quoted, "names": named,
}

// lastValue is the value after the last time that a key of so many tokens stood among the bindings at the beginning: before
// the first question where there are answers apart, anywhere before where the values follow.
func lastValue(key, _ int) func(*testing.T, Record) Answer {
	return func(_ *testing.T, r Record) Answer {
		var a Answer
		bound := map[string]int32{}
		end := r.Positions[0] + 1 - key
		if r.Task != "recall" && r.Task != "recall-list" {
			end = contextOf(r, key)
		}
		at := 0
		read := func(until int) {
			for ; at+key < until; at += key + 1 {
				bound[fmt.Sprint(r.IDs[at:at+key])] = r.IDs[at+key]
			}
		}
		read(end)
		for _, p := range r.Positions {
			if r.Task == "recall" || r.Task == "recall-list" {
				read(p + 1)
			}
			a.IDs = append(a.IDs, bound[fmt.Sprint(r.IDs[p+1-key:p+1])])
		}
		return a
	}
}

// contextOf is the length of the bindings, from the params.
func contextOf(r Record, key int) int {
	p := map[string]any{}
	mustUnmarshal(r.Params, &p)
	n := func(name string) int { v, _ := p[name].(float64); return int(v) }
	if key == 2 {
		return 3 * n("grid") * n("grid")
	}
	return 2 * (n("pairs")*n("passes") + n("updates"))
}

func everyValue(_ *testing.T, r Record) Answer {
	var a Answer
	values := map[int32][]int32{}
	end := r.Positions[0]
	for at := 0; at+1 < end; at += 2 {
		if k := r.IDs[at]; k > 0 {
			values[k] = append(values[k], r.IDs[at+1])
		}
	}
	p := map[string]any{}
	mustUnmarshal(r.Params, &p)
	each := int(p["values"].(float64))
	for i := range r.Positions {
		a.IDs = append(a.IDs, values[r.IDs[r.Positions[i-i%each]]][i%each])
	}
	return a
}

// between are the ids between marks ($ is 26, | is 27).
func between(r Record) (pieces [][]int32) {
	at := slices.Index(r.IDs, 26) + 1
	for {
		next := slices.Index(r.IDs[at:], 27)
		if next < 0 {
			return pieces
		}
		pieces = append(pieces, r.IDs[at:at+next])
		at += next + 1
	}
}

func copied(_ *testing.T, r Record) Answer { return Answer{IDs: between(r)[0]} }

func following(_ *testing.T, r Record) Answer {
	pieces := between(r)
	text, gram := pieces[0], pieces[1]
	if r.Task == "copy-prefix" {
		text, gram = gram, text
	}
	for at := range text {
		if slices.Equal(text[at:min(at+len(gram), len(text))], gram) {
			return Answer{IDs: text[at+len(gram):][:len(r.Answers)]}
		}
	}
	return Answer{}
}

func scattered(_ *testing.T, r Record) Answer {
	var a Answer
	for _, id := range r.IDs {
		if id > 0 && id <= 16 {
			a.IDs = append(a.IDs, id)
		}
	}
	return a
}

func induced(_ *testing.T, r Record) Answer {
	special := r.IDs[r.Positions[0]]
	return Answer{IDs: []int32{r.IDs[slices.Index(r.IDs, special)+1]}}
}

// folded multiplies group elements: bits by exclusive or, permutations of 5 by their images read from their rank.
func folded(n int) func(*testing.T, Record) Answer {
	image := func(rank int32) (p []int) {
		left, rest := []int{0, 1, 2, 3, 4}, int(rank)
		for _, f := range []int{24, 6, 2, 1, 1} {
			p = append(p, left[rest/f])
			left = slices.Delete(left, rest/f, rest/f+1)
			rest %= f
		}
		return p
	}
	return func(_ *testing.T, r Record) Answer {
		var a Answer
		if n == 2 {
			ones := 0
			for _, id := range r.IDs {
				ones += int(id)
				a.IDs = append(a.IDs, int32(ones%2))
			}
			return a
		}
		state := []int{0, 1, 2, 3, 4}
		for _, id := range r.IDs {
			by := image(id)
			for i := range state {
				state[i] = by[state[i]]
			}
			rank := 0
			for i, f := range []int{24, 6, 2, 1, 1} {
				for _, later := range state[i+1:] {
					rank += f * b2i(later < state[i])
				}
			}
			a.IDs = append(a.IDs, int32(rank))
		}
		return a
	}
}

// question is the text before the answer.
func question(r Record) string { return strings.TrimSuffix(r.Text, r.Answer) }

func matched(pattern string) func(*testing.T, Record) Answer {
	fact := regexp.MustCompile(pattern)
	return func(_ *testing.T, r Record) Answer { return Answer{Text: fact.FindStringSubmatch(question(r))[1]} }
}

func keyed(pattern, asks string) func(*testing.T, Record) Answer {
	fact, ask := regexp.MustCompile(pattern), regexp.MustCompile(asks)
	return func(t *testing.T, r Record) Answer {
		key := ask.FindStringSubmatch(question(r))[1]
		for _, m := range fact.FindAllStringSubmatch(question(r), -1) {
			if m[1] == key {
				return Answer{Text: m[2]}
			}
		}
		t.Fatalf("%s: no value of %q", r.Task, key)
		return Answer{}
	}
}

var (
	niahFact = regexp.MustCompile(` (?:The (?:word|number|uuid) kept for )?([a-z0-9-]+)(?: is|:) ([a-z0-9-]+)\.`)
	niahAsks = regexp.MustCompile(`\n(?:Which (?:word|number|uuid)s are kept for (.+)\? They are|(.+):)$`)
)

func needled(_ *testing.T, r Record) Answer {
	values := map[string][]string{}
	for _, m := range niahFact.FindAllStringSubmatch(question(r), -1) {
		values[m[1]] = append(values[m[1]], m[2])
	}
	asks := niahAsks.FindStringSubmatch(question(r))
	var all []string
	for _, key := range strings.Split(strings.ReplaceAll(asks[1]+asks[2], ", ", " and "), " and ") {
		all = append(all, values[key]...)
	}
	return Answer{Text: strings.Join(all, ", ")}
}

func tracked(_ *testing.T, r Record) Answer {
	text := question(r)
	lines := strings.Split(strings.NewReplacer("VAR ", "", " = ", "=").Replace(text), "\n")
	ask := regexp.MustCompile(`(\d{5})(?:\? They are|:)$`).FindStringSubmatch(text)[1]
	var names []string
	for _, line := range lines {
		left, right, ok := strings.Cut(line, "=")
		if ok && (right == ask || slices.Contains(names, right)) {
			names = append(names, left)
		}
	}
	return Answer{Text: strings.Join(names, ", ")}
}

func counted(_ *testing.T, r Record) Answer {
	text := question(r)
	if at := strings.LastIndex(text, "\n\n"); at >= 0 {
		text = text[at:] // after the worked example
	} else if at := strings.Index(text, "often.\n"); at >= 0 {
		text = text[at+7:]
	}
	text = text[:strings.LastIndex(text, "\n")]
	counts, words := map[string]int{}, []string(nil)
	for _, w := range strings.Fields(text) {
		if strings.Contains(noise, strings.Trim(w, ".")) || w[0] >= '0' && w[0] <= '9' || w == "..." {
			continue
		}
		if counts[w]++; counts[w] == 1 {
			words = append(words, w)
		}
	}
	slices.SortStableFunc(words, func(a, b string) int { return counts[b] - counts[a] })
	return Answer{Text: strings.Join(words[:len(r.Parts)], ", ")}
}

// quoted finds the quotation in the text before it.
func quoted(t *testing.T, r Record) Answer {
	text, cue, ok := strings.Cut(question(r), "\n\nIt says: ")
	for more := ok; more; { // the text may hold the phrase itself
		var next string
		if _, next, more = strings.Cut(cue, "\n\nIt says: "); more {
			text, cue = text+cue, next
		}
	}
	at := strings.Index(text, cue)
	if at < 0 || strings.Count(text, cue) != 1 {
		t.Fatalf("%q stands %d times in the text", cue, strings.Count(text, cue))
	}
	return Answer{Text: text[at+len(cue):][:len(r.Answer)]}
}

var named = quoted
