package prompt

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// ScoreVersion changes when any score would come out differently.
const ScoreVersion = "score-1"

// Score is what a generated answer is worth.
type Score struct {
	Version      string  `json:"version"`
	Exact        bool    `json:"exact"`         // the output begins with the answer
	Substring    bool    `json:"substring"`     // the answer is somewhere in the output
	FirstInteger bool    `json:"first_integer"` // the first whole number of the output is the answer
	PerDigit     float64 `json:"per_digit"`     // share of the answer's digits that stand in their places
	Contained    float64 `json:"contained"`     // share of the parts of the answer that are in the output
}

// Judge scores the text that a model generated after a record.
func Judge(r Record, output string) Score {
	return Score{ScoreVersion, Exact(output, r.Answer), Substring(output, r.Answer), FirstInteger(output, r.Answer),
		PerDigit(output, r.Answer), Contained(output, r.Answers)}
}

// Exact is true when the output, without white space before it, begins with the answer and the answer is not the beginning of a longer
// word or number there.
func Exact(output, answer string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(output), answer)
	return ok && (rest == "" || !wordByte(rest[0]))
}

func wordByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// ExactTokens is the token form: the first generated ids are the answer's.
func ExactTokens(generated, answer []int) bool {
	return len(answer) > 0 && len(generated) >= len(answer) && slices.Equal(generated[:len(answer)], answer)
}

// Substring is true when the answer occurs in the output.
func Substring(output, answer string) bool { return answer != "" && strings.Contains(output, answer) }

var integer = regexp.MustCompile(`\d+`)

// FirstInteger is InfiniteBench's rule: the first run of digits of the output is the answer.
func FirstInteger(output, answer string) bool {
	found := integer.FindString(output)
	return found != "" && found == answer
}

// PerDigit compares the digits of the output with those of the answer, place by place.
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

// Contained is RULER's rule: the share of the parts that occur in the output, whatever their case.
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

// Forced is the score of an answer that was given to the model token by token.
type Forced struct {
	Version     string  `json:"version"`
	Exact       bool    `json:"exact"`       // every token of the answer was the most likely one
	Probability float64 `json:"probability"` // of the whole answer
	LogProb     float64 `json:"log_prob"`    // nats, of the whole answer
	PerToken    float64 `json:"per_token"`   // share of the answer's tokens that were the most likely ones
}

// TeacherForced sums up the model's log-probability of each token of the answer (nats) and whether it was the most likely one.
func TeacherForced(logProbs []float64, likeliest []bool) (Forced, error) {
	if len(logProbs) == 0 || len(logProbs) != len(likeliest) {
		return Forced{}, fmt.Errorf("teacher forcing: %d log-probabilities and %d comparisons, want one of each per answer token", len(logProbs), len(likeliest))
	}
	f := Forced{Version: ScoreVersion, Exact: true}
	for i, l := range logProbs {
		if math.IsNaN(l) || l > 1e-4 {
			return Forced{}, fmt.Errorf("teacher forcing: log-probability %d is %g, want 0 or less", i, l)
		}
		f.LogProb += l
		if likeliest[i] {
			f.PerToken += 1 / float64(len(logProbs))
		} else {
			f.Exact = false
		}
	}
	f.Probability = math.Exp(f.LogProb)
	return f, nil
}
