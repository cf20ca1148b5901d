package longtext

import (
	"regexp"
	"slices"
	"strings"
)

// ROUGE-L (Lin 2004) in the two forms that the benchmarks' programs use. Both split the texts into sentences and count, for each sentence of
// the reference, the words in the union of its longest common subsequences with the sentences of the answer.

// subsequence returns the indices in a of a longest common subsequence of a and b. Of two that are equally long, preferA drops the last word
// of a first.
func subsequence(a, b []string, preferA bool) (at []int) {
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
	}
	for i := range a {
		for j := range b {
			if a[i] == b[j] {
				table[i+1][j+1] = table[i][j] + 1
			} else {
				table[i+1][j+1] = max(table[i][j+1], table[i+1][j])
			}
		}
	}
	for i, j := len(a), len(b); i > 0 && j > 0; {
		up, left := table[i-1][j], table[i][j-1]
		switch {
		case a[i-1] == b[j-1]:
			at = append(at, i-1)
			i, j = i-1, j-1
		case up > left || up == left && preferA:
			i--
		default:
			j--
		}
	}
	slices.Reverse(at)
	return at
}

// sentences splits a text at full stops, as the package rouge does, and each sentence into words.
func sentences(text string) (all [][]string) {
	for _, s := range strings.Split(text, ".") {
		if s != "" {
			all = append(all, fields(s))
		}
	}
	return all
}

// distinct counts the different words; as in the original, a sentence of white space is one empty word.
func distinctWords(sentences [][]string) int {
	seen := map[string]bool{}
	for _, s := range sentences {
		if len(s) == 0 {
			seen[""] = true
		}
		for _, w := range s {
			seen[w] = true
		}
	}
	return len(seen)
}

// rouge returns precision and recall over different words (rouge-l of the package rouge 1.0.1). The package recurses over the words of two
// sentences and fails where they have about a thousand together (LongBench then scores 0); here they are scored.
func rouge(said, answer string) (p, r float64) {
	c, ref := sentences(said), sentences(answer)
	if len(c) == 0 || len(ref) == 0 {
		return 0, 0
	}
	union := map[string]bool{}
	for _, s := range ref {
		for _, t := range c {
			if len(s) == 0 && len(t) == 0 {
				union[""] = true
			}
			for _, i := range subsequence(s, t, false) {
				union[s[i]] = true
			}
		}
	}
	return float64(len(union)) / float64(distinctWords(c)), float64(len(union)) / float64(distinctWords(ref))
}

// RougeL is the F1 score of ROUGE-L in the package rouge, which LongBench uses.
func RougeL(said, answer string) float64 {
	p, r := rouge(said, answer)
	return 2 * p * r / (p + r + 1e-8)
}

// rougeRecall is the recall of ROUGE-L, which LooGLE reports. An empty answer counts as the word None there.
func rougeRecall(said, answer string) float64 {
	if said == "" {
		said = "None"
	}
	_, r := rouge(said, answer)
	return r
}

var notWord = regexp.MustCompile(`[^a-z0-9]+`)

// rougeLsum is the F1 score of rougeLsum in the package rouge-score 0.1.2 without a stemmer, which InfiniteBench uses: sentences are lines,
// words are runs of letters and digits, and no word counts more often than it occurs in either text.
func rougeLsum(said, answer string) float64 {
	split := func(text string) (all [][]string, counts map[string]int, n int) {
		counts = map[string]int{}
		for _, line := range strings.Split(text, "\n") {
			if line == "" {
				continue
			}
			words := strings.Fields(notWord.ReplaceAllString(lower(line), " "))
			for _, w := range words {
				counts[w]++
			}
			all, n = append(all, words), n+len(words)
		}
		return all, counts, n
	}
	c, inSaid, n := split(said)
	ref, inAnswer, m := split(answer)
	if n == 0 || m == 0 {
		return 0
	}
	hits := 0
	for _, s := range ref {
		union := map[int]bool{}
		for _, t := range c {
			for _, i := range subsequence(s, t, true) {
				union[i] = true
			}
		}
		for i, w := range s {
			if union[i] && inSaid[w] > 0 && inAnswer[w] > 0 {
				hits++
				inSaid[w]--
				inAnswer[w]--
			}
		}
	}
	p, r := float64(hits)/float64(n), float64(hits)/float64(m)
	if p+r == 0 {
		return 0
	}
	return 2 * p * r / (p + r)
}
