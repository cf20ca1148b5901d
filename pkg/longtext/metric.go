package longtext

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// metric scores one answer, from 0 to 1.
type metric func(said string, i Item) float64

// scorers are the scoring rules of each benchmark, by task; "" is the default for its other tasks.
var scorers = map[string]map[string]metric{
	"infinitebench": {
		"passkey": firstInteger, "number_string": firstInteger, "kv_retrieval": amongWords, "longdialogue_qa_eng": amongWordsUpper,
		"longbook_qa_eng": best(f1), "longbook_sum_eng": best(rougeLsum), "longbook_choice_eng": choice, "math_find": firstNumber, "math_calc": leading,
		"code_run": lastInteger, "code_debug": debug, "longbook_qa_chn": best(characters),
	},
	"longbench": {
		"narrativeqa": best(f1), "qasper": best(f1), "multifieldqa_en": best(f1), "hotpotqa": best(f1), "2wikimqa": best(f1), "musique": best(f1),
		"triviaqa": firstLine(best(f1)), "gov_report": best(RougeL), "qmsum": best(RougeL), "multi_news": best(RougeL), "samsum": firstLine(best(RougeL)),
		"trec": firstLine(class), "lsht": firstLine(class), "passage_retrieval_en": paragraph, "passage_retrieval_zh": paragraph, "passage_count": best(share),
	},
	"loogle": {
		"shortdep_qa": best(rougeRecall), "longdep_qa": best(rougeRecall), "longdep_summarization": best(rougeRecall), "shortdep_cloze": filled,
	},
	"ruler": {"": containsAll, "qa_1": containsAny, "qa_2": containsAny},
}

// Tasks lists the tasks of a benchmark that can be scored.
func Tasks(format string) (names []string) {
	for name := range scorers[format] {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Score grades an answer to an item, from 0 to 1, by the rule of its benchmark. LongBench's Chinese tasks that need a word segmenter and its
// code tasks scored by edit distance are refused. Of the metrics that LooGLE's program prints, this is the recall of ROUGE-L, and exact
// match for the cloze. If the benchmark's program would fail on an answer, the score is 0.
func Score(i Item, said string) (float64, error) {
	rules := scorers[i.Format]
	if rules == nil {
		return 0, fmt.Errorf("format %q is not one of %s", i.Format, strings.Join(Formats(), ", "))
	}
	rule := rules[i.Task]
	if rule == nil {
		rule = rules[""]
	}
	if rule == nil {
		return 0, fmt.Errorf("%s has no task %q that can be scored here; there are %s", i.Format, i.Task, strings.Join(Tasks(i.Format), ", "))
	}
	return rule(said, i), nil
}

// best is the highest score over the reference answers.
func best(one func(said, answer string) float64) metric {
	return func(said string, i Item) (top float64) {
		for _, a := range i.Answers {
			top = max(top, one(said, a))
		}
		return top
	}
}

// firstLine keeps only the first line of an answer to a few-shot task.
func firstLine(rule metric) metric {
	return func(said string, i Item) float64 {
		said, _, _ = strings.Cut(strings.TrimLeft(said, "\n"), "\n")
		return rule(said, i)
	}
}

var (
	whole       = regexp.MustCompile(`[\p{L}\p{N}_]+`) // words as Python's \b bounds them
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	integer     = regexp.MustCompile(`^[+-]?\p{Nd}+(_\p{Nd}+)*$`) // as Python's int reads it
	integers    = regexp.MustCompile(`[0-9]+`)
	numbers     = regexp.MustCompile(`\p{Nd}+\.\p{Nd}+|\p{Nd}+`)
	digits      = regexp.MustCompile(`\p{Nd}+`)
	paragraphs  = regexp.MustCompile(`(?:Paragraph |段落)(\p{Nd}+)`)
)

// normal lowers the case and removes punctuation, articles and extra white space (SQuAD).
func normal(text string) []string {
	text = strings.Map(func(c rune) rune {
		if strings.ContainsRune(punctuation, c) {
			return -1
		}
		return c
	}, lower(text))
	return fields(whole.ReplaceAllStringFunc(text, func(w string) string {
		if w == "a" || w == "an" || w == "the" {
			return " "
		}
		return w
	}))
}

// f1 is the F1 score over words (SQuAD; arXiv 1606.05250).
func f1(said, answer string) float64 {
	return overlap(normal(said), normal(answer))
}

// overlap is the F1 score of two bags of words.
func overlap(a, b []string) float64 {
	counts, same := map[string]int{}, 0
	for _, w := range b {
		counts[w]++
	}
	for _, w := range a {
		if counts[w] > 0 {
			counts[w]--
			same++
		}
	}
	if same == 0 {
		return 0
	}
	p, r := float64(same)/float64(len(a)), float64(same)/float64(len(b))
	return 2 * p * r / (p + r)
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// firstInteger reads the first run of digits as the answer.
func firstInteger(said string, i Item) float64 { return yes(integers.FindString(said) == i.Answers[0]) }

// lastInteger reads the last word as a number.
func lastInteger(said string, i Item) float64 {
	list := fields(strings.NewReplacer("\n", " ", ".", " ", "`", " ", "'", " ", `"`, " ", ":", " ").Replace(said))
	if len(list) == 0 {
		return 0
	}
	last := list[len(list)-1]
	if !integer.MatchString(last) {
		return 0
	}
	got, err := strconv.Atoi(decimal(strings.ReplaceAll(last, "_", "")))
	want, err2 := strconv.Atoi(i.Answers[0])
	return yes(err == nil && err2 == nil && got == want)
}

// firstNumber reads the first number as the answer. If the reference is written as an integer, the number must be, too: the original program
// fails on others.
func firstNumber(said string, i Item) float64 {
	number := numbers.FindString(said)
	got, err := strconv.ParseFloat(decimal(number), 64)
	want, err2 := strconv.ParseFloat(i.Answers[0], 64)
	if strings.Contains(number, ".") && !strings.ContainsAny(i.Answers[0], ".eE") {
		return 0
	}
	return yes(err == nil && err2 == nil && got == want)
}

// leading is the fraction of the reference numbers that the answer gives in order before its first mistake.
func leading(said string, i Item) float64 {
	got, right := integers.FindAllString(said, -1), 0
	for k, want := range i.Answers {
		if k >= len(got) || strings.TrimLeft(got[k], "0") != strings.TrimLeft(want, "0") {
			break
		}
		right++
	}
	return float64(right) / float64(len(i.Answers))
}

// words splits at white space and at the punctuation that InfiniteBench removes.
func words(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return space(c) || strings.ContainsRune(":\"'.,?!{}", c) })
}

func amongWords(said string, i Item) float64 { return yes(slices.Contains(words(said), i.Answers[0])) }

func amongWordsUpper(said string, i Item) float64 {
	return yes(slices.Contains(words(upper(said)), i.Answers[0]))
}

// class scores LongBench's classification: the fraction of the named classes that are right.
func class(said string, i Item) float64 {
	return best(func(said, answer string) float64 {
		var named []string
		for _, c := range i.Options {
			if strings.Contains(said, c) {
				named = append(named, c)
			}
		}
		for k := 0; k < len(named); k++ { // in the original, removing an element makes the loop skip the next one
			if strings.Contains(answer, named[k]) && named[k] != answer {
				named = slices.Delete(named, k, k+1)
			}
		}
		if !slices.Contains(named, answer) {
			return 0
		}
		return 1 / float64(len(named))
	})(said, i)
}

// share is the fraction of the numbers in the text that equal the answer.
func share(said, answer string) float64 {
	list, right := digits.FindAllString(said, -1), 0
	for _, n := range list {
		if n == answer {
			right++
		}
	}
	return float64(right) / float64(max(len(list), 1))
}

// paragraph is share for answers such as “Paragraph 7” or “段落7”.
func paragraph(said string, i Item) float64 {
	return best(func(said, answer string) float64 {
		if m := paragraphs.FindStringSubmatch(answer); m != nil {
			return share(said, m[1])
		}
		return 0
	})(said, i)
}

// containsAll is RULER's string_match_all: the fraction of the reference answers that occur in the text, ignoring case.
func containsAll(said string, i Item) float64 {
	found := 0.0
	for _, a := range i.Answers {
		found += yes(strings.Contains(lower(said), lower(a)))
	}
	return found / float64(len(i.Answers))
}

// containsAny is RULER's string_match_part.
func containsAny(said string, i Item) float64 {
	return yes(containsAll(said, i) > 0)
}

// filled is the exact match of LooGLE's cloze: the fraction of the blanks that the answer, a Python dict, fills correctly.
func filled(said string, i Item) float64 {
	raw, err := pythonJSON(strings.TrimFunc(said, space))
	if err != nil {
		return 0
	}
	keys, values, _ := blanks(raw) // anything but an object fills none
	right := 0.0
	for k, name := range i.Options {
		at := slices.Index(keys, name)
		right += yes(at >= 0 && values[at] == i.Answers[k])
	}
	return right / float64(len(i.Options))
}

// weight is the weight of an item in the score of its file: LooGLE's program averages over blanks, the others over items.
func weight(i Item) float64 {
	if i.Format == "loogle" && i.Task == "shortdep_cloze" {
		return float64(len(i.Answers))
	}
	return 1
}

// chinese is the punctuation, besides that of ASCII, that InfiniteBench removes from Chinese texts.
const chinese = "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏"

// characters is f1 over characters instead of words, ignoring white space and punctuation.
func characters(said, answer string) float64 {
	split := func(text string) (all []string) {
		for _, c := range lower(text) {
			if !space(c) && !strings.ContainsRune(punctuation, c) && !strings.ContainsRune(chinese, c) {
				all = append(all, string(c))
			}
		}
		return all
	}
	return overlap(split(said), split(answer))
}
