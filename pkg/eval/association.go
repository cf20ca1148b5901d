package eval

import (
	"context"
	"fmt"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// Association asks for the values of all keys of a list, for lists of several lengths (datasets.MQAR): how many
// associations the state holds.
type Association struct {
	Task      datasets.MQAR // its Pairs are replaced by those below, its Length by that of Room
	Pairs     []int         // pairs in a list
	Room      int           // tokens of a sequence per pair; 0: 8
	Sequences int           // of each replica and number of pairs
	Progress  func(done, total int)
}

// Run returns for each replica and number of pairs: replica, pairs, length (tokens), loss (nats), loss_low, loss_high,
// accuracy, accuracy_low, accuracy_high (95 % bootstrap intervals over sequences), queries.
func (a Association) Run(ctx context.Context, r *lm.Runner) (*table.Table, error) {
	if a.Sequences < 1 || a.Room < 0 || len(a.Pairs) == 0 {
		return nil, fmt.Errorf("association: %d sequences, room %d, %d numbers of pairs; want 1 or more sequences and numbers, room 0 or more", a.Sequences, a.Room, len(a.Pairs))
	}
	room := a.Room
	if room == 0 {
		room = 8
	}
	tasks := make([]datasets.MQAR, len(a.Pairs))
	for i, pairs := range a.Pairs {
		tasks[i] = a.Task
		tasks[i].Pairs, tasks[i].Length = pairs, room*pairs+2*a.Task.Updates
		if err := tasks[i].Validate(); err != nil {
			return nil, err
		}
		if v := r.Weights.Model.Vocab(); tasks[i].Vocab() > v {
			return nil, fmt.Errorf("association: the task has %d tokens, the model's vocabulary only %d", tasks[i].Vocab(), v)
		}
	}
	replicas := max(r.Weights.Replicas, 1)
	all := table.New()
	for done, task := range tasks {
		loss, hit, err := a.ask(ctx, r, task, replicas)
		if err != nil {
			return nil, fmt.Errorf("association of %d pairs: %w", task.Pairs, err)
		}
		for k := range replicas {
			mean, n := loss[k].of(0)
			share, _ := hit[k].of(0)
			low, high := loss[k].intervals()
			low2, high2 := hit[k].intervals()
			err := all.Append(table.New().AddInt("replica", []int64{int64(k)}).AddInt("pairs", []int64{int64(task.Pairs)}).AddInt("length", []int64{int64(task.Length)}).
				AddFloat("loss", []float64{mean}).AddFloat("loss_low", low).AddFloat("loss_high", high).
				AddFloat("accuracy", []float64{share}).AddFloat("accuracy_low", low2).AddFloat("accuracy_high", high2).AddInt("queries", []int64{n}))
			if err != nil {
				return nil, err
			}
		}
		if a.Progress != nil {
			a.Progress(done+1, len(tasks))
		}
	}
	return all, nil
}

// ask reads all sequences of a task and sums loss and hits at the queries of each, replica by replica.
func (a Association) ask(ctx context.Context, r *lm.Runner, task datasets.MQAR, replicas int) (loss, hit []*cells, err error) {
	rows, wanted, labels := make([][]int32, replicas*a.Sequences), make([][]int32, replicas*a.Sequences), make([][]int32, a.Sequences)
	for s := range a.Sequences {
		rows[s], labels[s] = task.Sequence(int64(s))
		wanted[s] = make([]int32, task.Length)
		for i, l := range labels[s] {
			wanted[s][i] = max(l, 0)
		}
		for k := 1; k < replicas; k++ {
			rows[k*a.Sequences+s], wanted[k*a.Sequences+s] = rows[s], wanted[s]
		}
	}
	for range replicas {
		loss, hit = append(loss, newCells(a.Sequences, 1)), append(hit, newCells(a.Sequences, 1))
	}
	_, err = r.Run(ctx, rows, nil, lm.Request{Loss: true, Hits: true, Labels: wanted}, func(p lm.Piece) error {
		for row := range rows {
			k, s := row/a.Sequences, row%a.Sequences
			for t := range p.Tokens {
				if labels[s][p.Start+t] < 0 {
					continue
				}
				l, h := float64(p.Loss[row*p.Tokens+t]), float64(p.Hits[row*p.Tokens+t])
				if l != l {
					h = 0
				}
				loss[k].add(s, 0, l)
				hit[k].add(s, 0, h)
			}
		}
		return nil
	})
	return loss, hit, err
}
