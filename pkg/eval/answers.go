package eval

import (
	"math"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
)

// PasskeyRow is the outcome of one question of Passkey.
type PasskeyRow struct {
	Variant      string  `parquet:"variant" doc:"paper, infinitebench, longlora; of retrieval single, multikey, multivalue or multiquery"`
	Length       int     `parquet:"length" doc:"tokens before the answer"`
	Depth        float64 `parquet:"depth" doc:"of the needle; 0: start of the haystack, 1: its end"`
	Trial        int     `parquet:"trial" doc:"number at this length and depth"`
	Seed         int64   `parquet:"seed" doc:"of keys"`
	Answer       string  `parquet:"answer" doc:"the key, or the numbers"`
	Output       string  `parquet:"output" doc:"what the model wrote"`
	Exact        int     `parquet:"exact" doc:"1: the output begins with the answer"`
	Substring    int     `parquet:"substring" doc:"1: the answer is somewhere in it"`
	FirstInteger int     `parquet:"first_integer" doc:"1: its first whole number is the answer"`
	PerDigit     float64 `parquet:"per_digit" doc:"share of digits in their places"`
	Contained    float64 `parquet:"contained" doc:"share of the parts of the answer in it"`
	ForcedExact  int     `parquet:"forced_exact" doc:"1: every token of the answer, given those before, was the likeliest"`
	Probability  float64 `parquet:"probability" doc:"of the whole answer"`
	LogProb      float64 `parquet:"log_prob" doc:"its logarithm, nats"`
	PerToken     float64 `parquet:"per_token" doc:"share of its tokens that were the likeliest"`
	Version      string  `parquet:"version" doc:"of task and scores"`
}

func passkeyRow(variant string, at task.Place, a task.Row) PasskeyRow {
	flag := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	want, total := strings.TrimSpace(a.Answer), min(0, -a.Loss*float64(a.Answers))
	return PasskeyRow{Variant: variant, Length: a.Length - a.Answers, Depth: at.Depth, Trial: at.Trial, Seed: a.Seed, Answer: want, Output: a.Output,
		Exact: int(a.WrittenExact), Substring: flag(prompt.Substring(a.Output, want)), FirstInteger: flag(prompt.FirstInteger(a.Output, want)),
		PerDigit: prompt.PerDigit(a.Output, want), Contained: a.WrittenAccuracy, ForcedExact: a.Exact, Probability: math.Exp(total), LogProb: total,
		PerToken: a.Accuracy, Version: a.Version + " " + prompt.ScoreVersion}
}

// passkeyRows converts rows of task.Test.
func passkeyRows(variant string, places map[int64]task.Place, t *table.Table) (*table.Table, error) {
	all, err := table.Rows[task.Row](t)
	if err != nil {
		return nil, err
	}
	rows := make([]PasskeyRow, len(all))
	for i, a := range all {
		rows[i] = passkeyRow(variant, places[a.Index], a)
	}
	return table.Of(rows), nil
}
