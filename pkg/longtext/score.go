package longtext

import (
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Mean is the score of a file: the mean over its items, or over the blanks for LooGLE's cloze.
func Mean(items []Item, scores []float64) float64 {
	sum, all := 0.0, 0.0
	for k, i := range items {
		sum, all = sum+weight(i)*scores[k], all+weight(i)
	}
	return sum / all
}

// Result is the mean score of a file.
type Result struct {
	Format string    `json:"format"`
	Task   string    `json:"task"`
	Items  int       `json:"items"`
	Score  float64   `json:"score"`
	Scores []float64 `json:"scores"` // by item
}

// ScoreFiles scores a file of answers against the items of a file, one JSON line per item: {"text": "…"}, or the field prediction or pred
// that the benchmarks' programs write. Every item must have an answer.
func ScoreFiles(input, format, task, answers string) (Result, error) {
	items, err := Read(input, format, task)
	if err != nil {
		return Result{}, err
	}
	r := Result{Format: format, Task: items[0].Task, Items: len(items)}
	err = lines(answers, func(line []byte, number int) error {
		var a struct{ Text, Prediction, Pred *string }
		if err := json.Unmarshal(line, &a); err != nil {
			return err
		}
		if number > len(items) {
			return fmt.Errorf("%s has only %d items", filepath.Base(input), len(items))
		}
		for _, said := range []*string{a.Text, a.Prediction, a.Pred} {
			if said == nil {
				continue
			}
			s, err := Score(items[number-1], *said)
			r.Scores = append(r.Scores, s)
			return err
		}
		return fmt.Errorf("wants text, prediction or pred")
	})
	if err == nil && len(r.Scores) != len(items) {
		err = fmt.Errorf("%s has %d answers to the %d items of %s", filepath.Base(answers), len(r.Scores), len(items), filepath.Base(input))
	}
	if err == nil {
		r.Score = Mean(items, r.Scores)
	}
	return r, err
}
