package eval

import (
	"context"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
	"stuffed/pkg/table"
)

// HeldOut is the index of the first sequence of a recall stream beyond the reach of any training run.
const HeldOut = prompt.HeldOut

// Recall tests a model on held-out sequences of a recall stream: loss and accuracy on the values of repeated pairs, by position and by age.
// All members of a model read the same sequences.
type Recall struct {
	Stream      datasets.RecallStream
	Sequences   int   // per member
	Batch       int   // sequences per member in a batch; 0 means all
	Length      int   // tokens per sequence
	TrainLength int   // tokens; determines the edges if none are given
	Edges       []int // first positions of the buckets, ascending from 0; nil means Doublings(TrainLength, Length)
	Ages        []int // first ages of the buckets, counted in pairs, ascending from 1; nil means 1, 2, 3, 5, 9, 17 …
	First       int64 // index of the first sequence; 0 means HeldOut
	Controls    map[string]*tensors.Tensor
	Progress    func(done, total int) // tokens per row
}

// RecallRow is one member's recall of repeated pairs in one bucket of positions.
type RecallRow struct {
	Member int `parquet:"replica" doc:"number of the member, from 0"`
	RecallBucket
}

// RecallBucket summarises the values of repeated pairs in a bucket of positions. Intervals are 95 % bootstrap intervals over sequences.
type RecallBucket struct {
	Position     int     `parquet:"position" doc:"first position of the bucket, in tokens"`
	End          int     `parquet:"end" doc:"position after the bucket"`
	Loss         float64 `parquet:"loss" doc:"nats per value of a repeated pair; on text, per token"`
	LossLow      float64 `parquet:"loss_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	LossHigh     float64 `parquet:"loss_high" doc:"upper end"`
	Accuracy     float64 `parquet:"accuracy" doc:"share of these that were the likeliest token"`
	AccuracyLow  float64 `parquet:"accuracy_low" doc:"lower end of its 95 % bootstrap interval over sequences"`
	AccuracyHigh float64 `parquet:"accuracy_high" doc:"upper end"`
	Repeats      int64   `parquet:"repeats" doc:"how many there are"`
	LossAll      float64 `parquet:"loss_all" doc:"nats per token, of all tokens"`
}

// AgeRow is one member's recall of repeated pairs in one bucket of positions and ages.
type AgeRow struct {
	Member int `parquet:"replica" doc:"number of the member, from 0"`
	AgeBucket
}

// AgeBucket summarises the values of repeated pairs in a bucket of positions and ages.
type AgeBucket struct {
	Position int     `parquet:"position" doc:"first position of the bucket, in tokens"`
	End      int     `parquet:"end" doc:"position after the bucket"`
	Age      int     `parquet:"age" doc:"first age of the bucket, in pairs"`
	AgeEnd   int     `parquet:"age_end" doc:"age after the bucket; 0: no end"`
	Loss     float64 `parquet:"loss" doc:"nats per value"`
	Accuracy float64 `parquet:"accuracy" doc:"share of the values that were the likeliest token"`
	Repeats  int64   `parquet:"repeats" doc:"number of values"`
}

// Recalled holds the tables of Recall.Run.
type Recalled struct {
	ByPosition *table.Table // of RecallRow, one per member and bucket
	ByAge      *table.Table // of AgeRow, without empty buckets
}

// RecallByPosition runs Recall on all sequences in one batch, with buckets that start at edges.
func RecallByPosition(ctx context.Context, r *lm.Runner, stream datasets.RecallStream, sequences, length int, edges []int) (*table.Table, error) {
	out, err := Recall{Stream: stream, Sequences: sequences, Length: length, Edges: edges}.Run(ctx, r)
	if err != nil {
		return nil, err
	}
	return out.ByPosition, nil
}

// Validate fills in defaults and returns an error that names the field that is out of range.
func (q *Recall) Validate(vocab int) error {
	if err := q.Stream.Validate(); err != nil {
		return err
	}
	for _, f := range []struct {
		name       string
		value, low int
	}{{"sequences", q.Sequences, 1}, {"batch", q.Batch, 0}, {"length", q.Length, 2}, {"train_length", q.TrainLength, 0}} {
		if f.value < f.low {
			return fmt.Errorf("recall: %s is %d, want %d or more", f.name, f.value, f.low)
		}
	}
	if q.Stream.Vocab() > vocab {
		return fmt.Errorf("recall: the stream has %d tokens, the model's vocabulary only %d: give the model's own keys and values", q.Stream.Vocab(), vocab)
	}
	if q.Edges == nil {
		if q.TrainLength == 0 {
			return fmt.Errorf("recall: neither edges nor train_length given")
		}
		q.Edges = Doublings(q.TrainLength, q.Length)
	}
	if q.Ages == nil {
		q.Ages = []int{1}
		for past := 1; past < q.Stream.Gap; past *= 2 {
			q.Ages = append(q.Ages, past+1)
		}
	}
	if q.Batch == 0 || q.Batch > q.Sequences {
		q.Batch = q.Sequences
	}
	if q.First == 0 {
		q.First = HeldOut
	}
	if err := checkEdges("recall: edges", q.Edges, 0, q.Length-1); err != nil {
		return err
	}
	return checkEdges("recall: ages", q.Ages, 1, q.Stream.Gap+1)
}

// Run reads the sequences batch by batch in constant memory.
func (q Recall) Run(ctx context.Context, r *lm.Runner) (*Recalled, error) {
	if err := q.Validate(r.Weights.Model.Vocab()); err != nil {
		return nil, err
	}
	members := max(r.Weights.Members, 1)
	sums := make([]recallSums, members)
	for i := range sums {
		sums[i] = newRecallSums(q.Sequences, len(q.Edges), len(q.Ages))
	}
	total := (q.Sequences + q.Batch - 1) / q.Batch * q.Length
	for from := 0; from < q.Sequences; from += q.Batch {
		rows, repeat, age := make([][]int32, q.Batch*members), make([][]bool, q.Batch), make([][]int32, q.Batch)
		for s := range q.Batch { // an incomplete last batch is filled with sequences that are not counted
			rows[s], repeat[s], age[s] = q.Stream.Sequence(q.First+int64(from+s), q.Length)
			for k := 1; k < members; k++ {
				rows[k*q.Batch+s] = rows[s]
			}
		}
		req := lm.Request{Loss: true, Correct: true, Controls: q.Controls}
		if q.Progress != nil {
			before := from / q.Batch * q.Length
			req.Progress = func(done, _ int) { q.Progress(before+done, total) }
		}
		_, err := r.Run(ctx, rows, nil, req, func(p lm.Piece) error {
			for row := range rows {
				s := row % q.Batch
				if from+s < q.Sequences {
					sums[row/q.Batch].add(q, from+s, p, row, repeat[s], age[s])
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("recall: sequences %d … %d: %w", from, from+q.Batch-1, err)
		}
	}
	return q.tables(sums), nil
}

// recallSums holds one member's sums, by bucket of positions and by position × age.
type recallSums struct{ loss, hit, all, ageLoss, ageHit *cells }

func newRecallSums(sequences, positions, ages int) recallSums {
	return recallSums{newCells(sequences, positions), newCells(sequences, positions), newCells(sequences, positions),
		newCells(1, positions*ages), newCells(1, positions*ages)}
}

func (c recallSums) add(q Recall, sequence int, p lm.Piece, row int, repeat []bool, age []int32) {
	for t := range p.Tokens {
		at := p.Start + t
		if at+1 >= q.Length {
			return
		}
		loss, hit, bucket := float64(p.Loss[row*p.Tokens+t]), float64(p.Correct[row*p.Tokens+t]), bucketOf(q.Edges, at)
		c.all.add(sequence, bucket, loss)
		if !repeat[at+1] {
			continue
		}
		if loss != loss {
			hit = 0
		}
		c.loss.add(sequence, bucket, loss)
		c.hit.add(sequence, bucket, hit)
		both := bucket*len(q.Ages) + bucketOf(q.Ages, int(age[at+1]))
		c.ageLoss.add(0, both, loss)
		c.ageHit.add(0, both, hit)
	}
}

func (q Recall) tables(sums []recallSums) *Recalled {
	var positions []RecallRow
	var ages []AgeRow
	for k, c := range sums {
		lossLow, lossHigh := c.loss.intervals()
		hitLow, hitHigh := c.hit.intervals()
		for b, edge := range q.Edges {
			end := until(q.Edges, b, q.Length)
			loss, n := c.loss.of(b)
			hit, _ := c.hit.of(b)
			all, _ := c.all.of(b)
			positions = append(positions, RecallRow{k, RecallBucket{Position: edge, End: end, Loss: loss, LossLow: lossLow[b], LossHigh: lossHigh[b],
				Accuracy: hit, AccuracyLow: hitLow[b], AccuracyHigh: hitHigh[b], Repeats: n, LossAll: all}})
			for a, age := range q.Ages {
				loss, n := c.ageLoss.of(b*len(q.Ages) + a)
				if n == 0 {
					continue
				}
				hit, _ := c.ageHit.of(b*len(q.Ages) + a)
				ages = append(ages, AgeRow{k, AgeBucket{edge, end, age, until(q.Ages, a, 0), loss, hit, n}})
			}
		}
	}
	return &Recalled{table.Of(positions), table.Of(ages)}
}

// until is the end of the bucket that starts at edge i.
func until(edges []int, i, last int) int {
	if i+1 < len(edges) {
		return edges[i+1]
	}
	return last
}
