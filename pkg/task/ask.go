package task

import (
	"context"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/lm"
)

// ask reads records with all members in one batch and returns the rows of the first counted records.
func (t Test) ask(ctx context.Context, r *lm.Runner, one *Task, asked []Record, counted int, progress func(tokens int)) ([]Row, error) {
	s := newQuiz(asked, max(r.Weights.Members, 1))
	req := lm.Request{Loss: true, Correct: true, Labels: s.labels, Controls: t.Controls, Progress: func(done, _ int) { progress(done) }}
	written := make([]writing, len(s.ids))
	for i := range written {
		written[i] = writing{Grade{math.NaN(), false}, ""}
	}
	var err error
	switch {
	case t.Generate && t.Read == nil && s.spoken(asked):
		err = t.answer(ctx, r, one, s, asked, req, written)
	case t.Read != nil:
		err = t.Read(ctx, r, s.ids, s.first, req, s.grade)
	default:
		_, err = r.Run(ctx, s.ids, nil, req, s.grade)
	}
	if err == nil && t.Generate && !(t.Read == nil && s.spoken(asked)) {
		err = t.write(ctx, r, one, asked, s.given, written)
	}
	if err != nil {
		return nil, err
	}
	var all []Row
	for row := range s.ids {
		if row%len(asked) < counted {
			all = append(all, newRow(row/len(asked), asked[row%len(asked)], s.given[row], written[row], t.Generate))
		}
	}
	return all, nil
}

// quiz holds the questions of a batch, member by member, and the grades of the answers.
type quiz struct {
	ids, labels [][]int32 // [members × records][tokens of the longest]
	wanted      [][]bool  // [records][tokens]
	first       int       // position of the first question
	given       []grades  // [members × records]
}

func newQuiz(asked []Record, members int) *quiz {
	longest := 0
	for _, q := range asked {
		longest = max(longest, len(q.IDs))
	}
	s := &quiz{first: longest, wanted: make([][]bool, len(asked)), given: make([]grades, members*len(asked))}
	for i, q := range asked {
		ids, labels := make([]int32, longest), make([]int32, longest)
		copy(ids, q.IDs) // tokens after the end of a shorter record are ignored
		s.wanted[i] = make([]bool, longest)
		for k, at := range q.Positions {
			labels[at], s.wanted[i][at] = q.Answers[k], true
		}
		s.ids, s.labels, s.first = append(s.ids, ids), append(s.labels, labels), min(s.first, q.Positions[0])
	}
	for range members - 1 {
		s.ids, s.labels = append(s.ids, s.ids[:len(asked)]...), append(s.labels, s.labels[:len(asked)]...)
	}
	return s
}

func (s *quiz) grade(p lm.Piece) error {
	for row := range s.ids {
		for i := range p.Tokens {
			if s.wanted[row%len(s.wanted)][p.Start+i] {
				s.given[row].add(p.Loss[row*p.Tokens+i], p.Correct[row*p.Tokens+i])
			}
		}
	}
	return nil
}

// spoken reports whether all questions end at the same position with the answer in one piece.
func (s *quiz) spoken(asked []Record) bool {
	return !slices.ContainsFunc(asked, func(q Record) bool { return !q.Spoken() || q.Positions[0] != s.first })
}

// answer reads the questions once; from the resulting state it scores the given answers and then generates its own.
func (t Test) answer(ctx context.Context, r *lm.Runner, one *Task, s *quiz, asked []Record, req lm.Request, written []writing) error {
	piece := func(rows [][]int32, from, to int) (out [][]int32) {
		for _, row := range rows {
			out = append(out, row[from:to])
		}
		return out
	}
	state, err := r.Run(ctx, piece(s.ids, 0, s.first), nil, lm.Request{Controls: t.Controls, Progress: req.Progress}, nil)
	if err != nil {
		return err
	}
	length, last := len(s.ids[0]), make([]int32, len(s.ids))
	req.Labels, req.Offset, req.Progress = piece(s.labels, s.first, length), s.first, nil
	_, err = r.Run(ctx, piece(s.ids, s.first, length), state, req, func(p lm.Piece) error {
		p.Start += s.first
		return s.grade(p)
	})
	if err != nil {
		return err
	}
	for row, ids := range s.ids {
		last[row] = ids[s.first]
	}
	made, err := r.Continue(ctx, state, last, s.first, t.tokens(length-1-s.first), lm.Sampling{}, t.Controls, nil)
	if err != nil {
		return err
	}
	for row, ids := range made {
		if written[row], err = one.judge(asked[row%len(asked)], ids); err != nil {
			return err
		}
	}
	return nil
}

// tokens is the number of tokens to generate for an answer of the given length.
func (t Test) tokens(answer int) int {
	if t.Tokens == nil {
		return answer
	}
	return t.Tokens(answer)
}

// judge grades what the model generated after a question.
func (t *Task) judge(q Record, ids []int32) (writing, error) {
	a := Answer{IDs: ids[:min(len(ids), len(q.Answers))]}
	if t.Text {
		var err error
		if a.Text, err = Decode(t.enc, ids); err != nil {
			return writing{}, err
		}
		a.IDs = nil
	}
	g, err := Judge(q, a)
	return writing{g, strings.ToValidUTF8(a.Text, "\uFFFD")}, err
}

// grades accumulates one sequence. A NaN loss counts as infinite and as wrong.
type grades struct{ loss, right, n float64 }

func (g *grades) add(loss, hit float32) {
	if math.IsNaN(float64(loss)) {
		loss, hit = float32(math.Inf(1)), 0
	}
	g.loss += float64(loss)
	g.right += float64(hit)
	g.n++
}

type writing struct {
	Grade
	output string
}

// write lets every member continue after the question. Questions with answers of equal length are asked together.
func (t Test) write(ctx context.Context, r *lm.Runner, one *Task, asked []Record, given []grades, written []writing) error {
	byLength := map[int][]int{} // answers → records
	for i, q := range asked {
		if q.Spoken() {
			byLength[len(q.Answers)] = append(byLength[len(q.Answers)], i)
			continue
		}
		for row := i; row < len(given); row += len(asked) {
			g := given[row]
			written[row].Grade = Grade{g.right / g.n, g.right == g.n}
		}
	}
	for n, some := range byLength {
		var prompts [][]int32
		var rows []int
		for from := 0; from < len(given); from += len(asked) {
			for _, i := range some {
				prompts, rows = append(prompts, asked[i].IDs[:len(asked[i].IDs)-n]), append(rows, from+i)
			}
		}
		made, err := r.Generate(ctx, prompts, t.tokens(n), lm.Sampling{}, t.Controls, nil)
		if err != nil {
			return err
		}
		for k, row := range rows {
			if written[row], err = one.judge(asked[row%len(asked)], made[k]); err != nil {
				return err
			}
		}
	}
	return nil
}
