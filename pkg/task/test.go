package task

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Test asks models: every member of the weights reads the same sequences.
type Test struct {
	Tasks    []*Task
	Count    int   // sequences of each task
	Seed     int64 // of the sequences
	First    int64 // index of the first
	Batch    int   // sequences of each member that run side by side; 0 to choose
	Generate bool  // also let the model write the answers that are one piece at the end
	Controls map[string]*tensors.Tensor
	Read     Reader                  // in the place of lm.Runner.Run, or nil
	Progress func(done, total int64) // tokens of one member
}

// Reader reads sequences, of which none asks before position first, and emits what the request is for.
type Reader func(ctx context.Context, r *lm.Runner, ids [][]int32, first int, req lm.Request, emit func(lm.Piece) error) error

// Run returns one row for each member, task and sequence: member, task, version, length, group, index, seed, answers (their
// number), accuracy (share of the answers that were the most likely token, given those before), exact (all of them: 0
// or 1), loss (nats per answer); and written_accuracy, written_exact, output and answer of what the model wrote by itself
// (greedily). What is not one piece at the end is not written: the model never reads its own answer there, so that
// written_accuracy and written_exact are those given. Without Generate they are NaN.
func (t Test) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	if len(t.Tasks) == 0 || t.Count < 1 || t.Batch < 0 || t.First < 0 {
		return nil, fmt.Errorf("test: %d tasks, count %d, batch %d, first %d; want 1 or more tasks and sequences, batch and first 0 or more", len(t.Tasks), t.Count, t.Batch, t.First)
	}
	total := int64(0)
	for _, one := range t.Tasks {
		vocab := one.Vocab()
		if one.enc != nil && one.Text {
			vocab = one.enc.Vocab()
		}
		if v := r.Weights.Model.Vocab(); vocab > v {
			return nil, fmt.Errorf("test: task %s has %d ids, the model's vocabulary only %d", one.Name, vocab, v)
		}
		total += int64(one.Length) * int64(t.Count)
	}
	type part struct {
		*Task
		from, batch int
	}
	var parts []part
	for _, one := range t.Tasks {
		batch := t.Batch
		if batch == 0 {
			batch = max(1, 16384/min(one.Length, max(r.Piece, 1)))
		}
		batch = min(batch, t.Count)
		for from := 0; from < t.Count; from += batch {
			parts = append(parts, part{one, from, batch})
		}
	}
	all, progress := newRows().table(), lm.NewTally(t.Progress, 0, total)
	return all, lm.Each(ctx, r, len(parts), func(ctx context.Context, r *lm.Runner, i int) (*table.Table, error) {
		p, own, report := parts[i], newRows(), progress.Part()
		asked, err := t.records(p.Task, p.from, p.batch)
		if err != nil {
			return nil, err
		}
		counted := min(p.batch, t.Count-p.from)
		if err := t.ask(ctx, r, p.Task, asked, counted, own, func(tokens int) { report(int64(tokens) * int64(counted)) }); err != nil {
			return nil, fmt.Errorf("test of %s, length %d: %w", p.Name, p.Length, err)
		}
		return own.table(), nil
	}, all.Append)
}

// records are those of one batch. Beyond the last there are more, which are not counted: another batch size would be
// another graph to compile.
func (t Test) records(one *Task, from, batch int) ([]Record, error) {
	asked := make([]Record, batch)
	for i := range asked {
		var err error
		if asked[i], err = one.Record(t.Seed, t.First+int64(from+i)); err != nil {
			return nil, err
		}
	}
	return asked, nil
}

// ask reads records with all members side by side and appends the rows of the first counted of them.
func (t Test) ask(ctx context.Context, r *lm.Runner, one *Task, asked []Record, counted int, all *rows, progress func(tokens int)) error {
	members := max(r.Weights.Members, 1)
	ids, labels := make([][]int32, 0, members*len(asked)), make([][]int32, 0, members*len(asked))
	wanted := make([][]bool, len(asked))
	for i, q := range asked {
		line := make([]int32, len(q.IDs))
		wanted[i] = make([]bool, len(q.IDs))
		for k, at := range q.Positions {
			line[at], wanted[i][at] = q.Answers[k], true
		}
		ids, labels = append(ids, q.IDs), append(labels, line)
	}
	for range members - 1 {
		ids, labels = append(ids, ids[:len(asked)]...), append(labels, labels[:len(asked)]...)
	}
	given := make([]grades, len(ids))
	req := lm.Request{Loss: true, Correct: true, Labels: labels, Controls: t.Controls, Progress: func(done, _ int) { progress(done) }}
	read, first := t.Read, one.Length
	for _, q := range asked {
		first = min(first, q.Positions[0])
	}
	if read == nil {
		read = func(ctx context.Context, r *lm.Runner, ids [][]int32, _ int, req lm.Request, emit func(lm.Piece) error) error {
			_, err := r.Run(ctx, ids, nil, req, emit)
			return err
		}
	}
	err := read(ctx, r, ids, first, req, func(p lm.Piece) error {
		for row := range ids {
			for i := range p.Tokens {
				if wanted[row%len(asked)][p.Start+i] {
					given[row].add(p.Loss[row*p.Tokens+i], p.Correct[row*p.Tokens+i])
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	written := make([]writing, len(ids))
	for i := range written {
		written[i] = writing{Grade{math.NaN(), false}, ""}
	}
	if t.Generate {
		if err := t.write(ctx, r, one, asked, given, written); err != nil {
			return err
		}
	}
	for row := range ids {
		if row%len(asked) < counted {
			all.add(row/len(asked), asked[row%len(asked)], given[row], written[row], t.Generate)
		}
	}
	return nil
}

// grades sums up one sequence. A loss that is not a number counts as infinite and as wrong.
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

// write lets every member go on after the question. Questions with answers of one length are asked together.
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
		made, err := r.Generate(ctx, prompts, n, lm.Sampling{}, t.Controls, nil)
		if err != nil {
			return err
		}
		for k, row := range rows {
			q, a := asked[row%len(asked)], Answer{IDs: made[k]}
			if one.Text {
				if a.Text, err = decode(one.enc, made[k]); err != nil {
					return err
				}
				a.IDs = nil
			}
			g, err := Judge(q, a)
			if err != nil {
				return err
			}
			written[row] = writing{g, strings.ToValidUTF8(a.Text, "\uFFFD")}
		}
	}
	return nil
}

// rows are the columns of Run.
type rows struct {
	member, length, index, seed, answers, exact   []int64
	task, version, group, output, answer          []string
	accuracy, loss, writtenAccuracy, writtenExact []float64
}

func newRows() *rows { return &rows{} }

func (c *rows) add(member int, r Record, g grades, w writing, generated bool) {
	c.member, c.length, c.index = append(c.member, int64(member)), append(c.length, int64(len(r.IDs))), append(c.index, r.Index)
	c.seed, c.answers = append(c.seed, r.Seed), append(c.answers, int64(len(r.Answers)))
	c.exact = append(c.exact, int64(b2i(g.right == g.n)))
	c.task, c.version, c.group = append(c.task, r.Task), append(c.version, r.Version), append(c.group, r.Group)
	c.output, c.answer = append(c.output, w.output), append(c.answer, strings.ToValidUTF8(r.Answer, "\uFFFD"))
	c.accuracy, c.loss = append(c.accuracy, g.right/g.n), append(c.loss, g.loss/g.n)
	exact := math.NaN()
	if generated {
		exact = float64(b2i(w.Exact))
	}
	c.writtenAccuracy, c.writtenExact = append(c.writtenAccuracy, w.Accuracy), append(c.writtenExact, exact)
}

func (c *rows) table() *table.Table {
	return table.New().AddInt("member", c.member).AddText("task", c.task).AddText("version", c.version).AddInt("length", c.length).
		AddText("group", c.group).AddInt("index", c.index).AddInt("seed", c.seed).AddInt("answers", c.answers).
		AddFloat("accuracy", c.accuracy).AddInt("exact", c.exact).AddFloat("loss", c.loss).
		AddFloat("written_accuracy", c.writtenAccuracy).AddFloat("written_exact", c.writtenExact).
		AddText("output", c.output).AddText("answer", c.answer)
}

// Summary has one row per member, task, length and group of a table of Run: records, and over them the means of accuracy
// (with accuracy_low and accuracy_high, its 95 % normal interval), answers, exact, loss, written_accuracy and written_exact.
func Summary(t *table.Table) (*table.Table, error) {
	means := []string{"accuracy", "answers", "exact", "loss", "written_accuracy", "written_exact"}
	values := map[string][]float64{}
	for _, name := range means {
		v, err := t.Float(name)
		if err != nil {
			return nil, fmt.Errorf("summary: %w", err)
		}
		values[name] = v
	}
	cells, at, err := cellsOf(t)
	if err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	var member, length, records []int64
	var task, group []string
	var low, high []float64
	columns := map[string][]float64{}
	for _, c := range cells {
		n := float64(len(at[c]))
		member, length, records = append(member, c.member), append(length, c.length), append(records, int64(n))
		task, group = append(task, c.task), append(group, c.group)
		for _, name := range means {
			sum, square := 0.0, 0.0
			for _, i := range at[c] {
				sum += values[name][i]
				square += values[name][i] * values[name][i]
			}
			columns[name] = append(columns[name], sum/n)
			if name == "accuracy" {
				half := 1.96 * math.Sqrt(max(square/n-sum/n*sum/n, 0)/n)
				low, high = append(low, max(sum/n-half, 0)), append(high, min(sum/n+half, 1))
			}
		}
	}
	out := table.New().AddInt("member", member).AddText("task", task).AddInt("length", length).AddText("group", group).AddInt("records", records).
		AddFloat("accuracy", columns["accuracy"]).AddFloat("accuracy_low", low).AddFloat("accuracy_high", high)
	for _, name := range means[1:] {
		out.AddFloat(name, columns[name])
	}
	return out, nil
}

// cell is what Summary takes together.
type cell struct {
	member, length int64
	task, group    string
}

func cellsOf(t *table.Table) (order []cell, at map[cell][]int, err error) {
	var member, length []int64
	var task, group []string
	for _, f := range []struct {
		name string
		into *[]int64
	}{{"member", &member}, {"length", &length}} {
		if *f.into, err = t.Int(f.name); err != nil {
			return nil, nil, err
		}
	}
	for _, f := range []struct {
		name string
		into *[]string
	}{{"task", &task}, {"group", &group}} {
		if *f.into, err = t.Text(f.name); err != nil {
			return nil, nil, err
		}
	}
	at = map[cell][]int{}
	for i := range t.Rows() {
		c := cell{member[i], length[i], task[i], group[i]}
		if at[c] == nil {
			order = append(order, c)
		}
		at[c] = append(at[c], i)
	}
	return order, at, nil
}
