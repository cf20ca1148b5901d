package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/atomic"
)

// Answer is the answer to a record: one id per position, or text.
type Answer struct {
	IDs  []int32 `json:"answer_ids,omitempty"`
	Text string  `json:"text,omitempty"`
}

// Grade of one answer, 0 to 1.
type Grade struct {
	Accuracy float64 // share of correct ids, or of the correct parts of a text
	Exact    bool    // completely correct
}

// Judge grades an answer. Ids are compared one by one. A text scores the share of the expected parts that occur in it, ignoring case
// (RULER's rule), and is exact if it starts with the answer and the last word does not continue.
func Judge(r Record, a Answer) (Grade, error) {
	switch {
	case a.IDs != nil:
		if len(a.IDs) != len(r.Answers) {
			return Grade{}, fmt.Errorf("%d answer_ids, the record asks for %d", len(a.IDs), len(r.Answers))
		}
		right := 0
		for i, id := range a.IDs {
			right += b2i(id == r.Answers[i])
		}
		return Grade{float64(right) / float64(len(a.IDs)), right == len(a.IDs)}, nil
	case r.Answer == "" && a.Text != "":
		return Grade{}, fmt.Errorf("text, but %s is made of ids: give answer_ids", r.Task)
	}
	answer := strings.TrimSpace(r.Answer)
	return Grade{prompt.Contained(a.Text, r.Parts), answer != "" && prompt.Exact(a.Text, answer)}, nil
}

// Result aggregates grades.
type Result struct {
	Records  int     `json:"records"`
	Accuracy float64 `json:"accuracy"` // mean over records
	Exact    float64 `json:"exact"`    // share of records
}

func (r *Result) add(g Grade) {
	n := float64(r.Records)
	r.Accuracy = (r.Accuracy*n + g.Accuracy) / (n + 1)
	r.Exact = (r.Exact*n + float64(b2i(g.Exact))) / (n + 1)
	r.Records++
}

// TaskResult is the Result of one task, in total and by group.
type TaskResult struct {
	Result
	Groups map[string]*Result `json:"groups"`
}

// Score is the result of scoring a file of answers.
type Score struct {
	Result
	Tasks map[string]*TaskResult `json:"tasks"`
}

// Add adds one grade.
func (s *Score) Add(r Record, g Grade) {
	if s.Tasks == nil {
		s.Tasks = map[string]*TaskResult{}
	}
	t := s.Tasks[r.Task]
	if t == nil {
		t = &TaskResult{Groups: map[string]*Result{}}
		s.Tasks[r.Task] = t
	}
	if t.Groups[r.Group] == nil {
		t.Groups[r.Group] = &Result{}
	}
	s.add(g)
	t.add(g)
	t.Groups[r.Group].add(g)
}

// readAnswer reads the next line of answers. A line without ids and text is an error, since a misspelt name would count as no answer.
func readAnswer(d *json.Decoder) (Answer, error) {
	var said struct {
		IDs  *[]int32 `json:"answer_ids"`
		Text *string  `json:"text"`
	}
	err := d.Decode(&said)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return Answer{}, fmt.Errorf("%s of %s", wrong.Field, wrong.Value)
	case err != nil:
		return Answer{}, err
	case said.IDs == nil && said.Text == nil:
		return Answer{}, errors.New("neither answer_ids nor text")
	}
	var a Answer
	if said.IDs != nil {
		a.IDs = *said.IDs
	}
	if said.Text != nil {
		a.Text = *said.Text
	}
	return a, nil
}

// ScoreFiles scores a file of answers against a file of records, line by line.
func ScoreFiles(records, answers string) (Score, error) {
	var s Score
	questions, err := os.Open(records)
	if err != nil {
		return s, fmt.Errorf("records: %w", err)
	}
	defer questions.Close()
	sheet, err := os.Open(answers)
	if err != nil {
		return s, fmt.Errorf("answers: %w", err)
	}
	defer sheet.Close()
	q, a := json.NewDecoder(questions), json.NewDecoder(sheet)
	for line := 1; ; line++ {
		var r Record
		if err := q.Decode(&r); errors.Is(err, io.EOF) {
			if err := a.Decode(&Answer{}); !errors.Is(err, io.EOF) {
				return s, fmt.Errorf("answers: %s has more than the %d records of %s", filepath.Base(answers), line-1, filepath.Base(records))
			}
			break
		} else if err != nil {
			return s, fmt.Errorf("records: %s, line %d: %w", filepath.Base(records), line, err)
		}
		if len(r.Answers) == 0 {
			return s, fmt.Errorf("records: %s, line %d: no answer_ids; records are as stuffed task write makes them", filepath.Base(records), line)
		}
		said, err := readAnswer(a)
		if errors.Is(err, io.EOF) {
			return s, fmt.Errorf("answers: %s has %d lines, %s more: want one line per record", filepath.Base(answers), line-1, filepath.Base(records))
		} else if err != nil {
			return s, fmt.Errorf("answers: %s, line %d: %w; a line is {\"answer_ids\": [1, 2, …]} or {\"text\": \"…\"}", filepath.Base(answers), line, err)
		}
		g, err := Judge(r, said)
		if err != nil {
			return s, fmt.Errorf("answers: %s, line %d: %w", filepath.Base(answers), line, err)
		}
		s.Add(r, g)
	}
	if s.Records == 0 {
		return s, fmt.Errorf("records: %s is empty", filepath.Base(records))
	}
	return s, nil
}

// Write atomically writes the records first … first+count−1 as JSON lines.
func (t *Task) Write(path string, seed, first int64, count int) error {
	if first < 0 {
		return fmt.Errorf("first is %d, want 0 or more", first)
	}
	return atomic.Write(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		for i := range count {
			r, err := t.Record(seed, first+int64(i))
			if err != nil {
				return err
			}
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	})
}
