package eval

import (
	"context"
	"fmt"

	"stuffed/pkg/lm"
	"stuffed/pkg/task"
)

// altered reads the sequences of a task up to the first question, alters the state, and then asks.
type altered struct {
	task  *task.Task
	count int
	seed  int64
}

// ask alters the same state in n ways, one at a time, and passes for each way the losses of the answers and whether each was the most likely
// token, by member and sequence.
func (a altered) ask(ctx context.Context, r *lm.Runner, n int, change func(way, rows int, state lm.State) (lm.State, error), tell func(way int, loss, hit []*cells) error) error {
	asked, cut, err := a.records()
	if err != nil {
		return err
	}
	members := max(r.Weights.Members, 1)
	var head, tail, labels [][]int32
	for range members {
		for _, q := range asked {
			head, tail = append(head, q.IDs[:cut]), append(tail, q.IDs[cut:])
			line := make([]int32, len(q.IDs))
			for i, at := range q.Positions {
				line[at] = q.Answers[i]
			}
			labels = append(labels, line[cut:])
		}
	}
	state, err := r.Run(ctx, head, nil, lm.Request{}, nil)
	if err != nil {
		return err
	}
	for way := range n {
		changed, err := change(way, len(head), state)
		if err != nil {
			return err
		}
		loss, hit := make([]*cells, members), make([]*cells, members)
		for k := range members {
			loss[k], hit[k] = newCells(len(asked), 1), newCells(len(asked), 1)
		}
		_, err = r.Run(ctx, tail, changed, lm.Request{Loss: true, Correct: true, Labels: labels, Offset: cut}, func(p lm.Piece) error {
			for row := range tail {
				k, s := row/len(asked), row%len(asked)
				for _, at := range asked[s].Positions {
					if i := at - cut - p.Start; i >= 0 && i < p.Tokens {
						l, h := float64(p.Loss[row*p.Tokens+i]), float64(p.Correct[row*p.Tokens+i])
						if l != l {
							h = 0
						}
						loss[k].add(s, 0, l)
						hit[k].add(s, 0, h)
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := tell(way, loss, hit); err != nil {
			return err
		}
	}
	return nil
}

// records returns the sequences and the position of the earliest question in any of them.
func (a altered) records() (asked []task.Record, cut int, err error) {
	cut = a.task.Length
	for i := range a.count {
		q, err := a.task.Record(a.seed, int64(i))
		if err != nil {
			return nil, 0, err
		}
		asked, cut = append(asked, q), min(cut, q.Positions[0])
	}
	if cut == 0 {
		return nil, 0, fmt.Errorf("task %s asks from its first token on; choose one that is read before it is asked", a.task.Name)
	}
	return asked, cut, nil
}

// answered summarises the answers of one member. Intervals are 95 % bootstrap intervals over sequences.
type answered struct {
	Answers      int64   `parquet:"answers" doc:"number of answers"`
	Accuracy     float64 `parquet:"accuracy" doc:"share of the answers that were the likeliest token, mean over sequences"`
	AccuracyLow  float64 `parquet:"accuracy_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	AccuracyHigh float64 `parquet:"accuracy_high" doc:"upper end"`
	Loss         float64 `parquet:"loss" doc:"nats per answer"`
}

func answersOf(loss, hit *cells) answered {
	mean, count := loss.of(0)
	share, _ := hit.of(0)
	low, high := hit.intervals()
	return answered{count, share, low[0], high[0], mean}
}
