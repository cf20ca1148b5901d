package prompt

import (
	"regexp"
	"strings"
)

// ScoreVersion changes when any score would come out differently.
const ScoreVersion = "score-1"

// Exact reports whether the output, leading white space aside, begins with the answer and the answer is not the start of a longer
// word or number there.
func Exact(output, answer string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(output), answer)
	return ok && (rest == "" || !wordByte(rest[0]))
}

func wordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// Substring reports whether the answer occurs in the output.
func Substring(output, answer string) bool { return answer != "" && strings.Contains(output, answer) }

var integer = regexp.MustCompile(`\d+`)

// FirstInteger is InfiniteBench's rule: the first run of digits of the output is the answer.
func FirstInteger(output, answer string) bool {
	found := integer.FindString(output)
	return found != "" && found == answer
}

// PerDigit compares the digits of the output with those of the answer, position by position.
func PerDigit(output, answer string) float64 {
	want := strings.Join(integer.FindAllString(answer, -1), "")
	got := strings.Join(integer.FindAllString(output, -1), "")
	if want == "" {
		return 0
	}
	right := 0
	for i := range min(len(want), len(got)) {
		if want[i] == got[i] {
			right++
		}
	}
	return float64(right) / float64(len(want))
}

// Contained is RULER's rule: the share of the parts that occur in the output, ignoring case.
func Contained(output string, parts []string) float64 {
	if len(parts) == 0 {
		return 0
	}
	output, found := strings.ToLower(output), 0
	for _, p := range parts {
		if strings.Contains(output, strings.ToLower(p)) {
			found++
		}
	}
	return float64(found) / float64(len(parts))
}
