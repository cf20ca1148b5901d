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

// HeldOut is the index of the first sequence of a recall stream that no training run reaches.
const HeldOut = prompt.HeldOut

// Recall is a test on held-out sequences of a recall stream: what is known of the values of repeated pairs, by position
// and by age. Members of a model read the same sequences.
type Recall struct {
	Stream      datasets.RecallStream
	Sequences   int   // of each member
	Batch       int   // sequences of each member that run side by side; 0 means all
	Length      int   // tokens of a sequence
	TrainLength int   // tokens; chooses the edges when there are none
	Edges       []int // first positions of the buckets, ascending from 0; nil means Doublings(TrainLength, Length)
	Ages        []int // first ages of the buckets in pairs, ascending from 1; nil means 1, 2, 3, 5, 9, 17 …
	First       int64 // index of the first sequence; 0 means HeldOut
	Controls    map[string]*tensors.Tensor
	Progress    func(done, total int) // tokens of one row
}

// Recalled is the outcome, one row per member and bucket. Losses are in nats, accuracy is the share of values that were
// the most likely token, _low and _high are 95 % bootstrap intervals over sequences, repeats is the number of values.
type Recalled struct {
	ByPosition *table.Table // replica (number of the member), position, end, loss, loss_low, loss_high, accuracy, accuracy_low, accuracy_high, repeats, loss_all (of all tokens)
	ByAge      *table.Table // replica, position, end, age, age_end, loss, accuracy, repeats; without empty rows; age_end 0: no end
}

// RecallByPosition is Recall.Run for sequences that all run at once, in buckets that begin at edges.
func RecallByPosition(ctx context.Context, r *lm.Runner, stream datasets.RecallStream, sequences, length int, edges []int) (*table.Table, error) {
	out, err := Recall{Stream: stream, Sequences: sequences, Length: length, Edges: edges}.Run(ctx, r)
	if err != nil {
		return nil, err
	}
	return out.ByPosition, nil
}

// Validate names the field that is out of range and fills what was left to choose.
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

// Run reads the sequences batch by batch in flat memory.
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
		for s := range q.Batch { // a last batch that is not full reads sequences that are not counted
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

// recallSums of one member: buckets of positions, and positions × ages.
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
	var member, position, end, repeats []int64
	var loss, lossLow, lossHigh, hit, hitLow, hitHigh, all []float64
	var aMember, aPosition, aEnd, aAge, aAgeEnd, aRepeats []int64
	var aLoss, aHit []float64
	until := func(edges []int, i, last int) int64 {
		if i+1 < len(edges) {
			return int64(edges[i+1])
		}
		return int64(last)
	}
	for k, c := range sums {
		low, high := c.loss.intervals()
		low2, high2 := c.hit.intervals()
		for b, edge := range q.Edges {
			mean, n := c.loss.of(b)
			share, _ := c.hit.of(b)
			every, _ := c.all.of(b)
			member, position, end, repeats = append(member, int64(k)), append(position, int64(edge)), append(end, until(q.Edges, b, q.Length)), append(repeats, n)
			loss, lossLow, lossHigh = append(loss, mean), append(lossLow, low[b]), append(lossHigh, high[b])
			hit, hitLow, hitHigh, all = append(hit, share), append(hitLow, low2[b]), append(hitHigh, high2[b]), append(all, every)
			for a, age := range q.Ages {
				mean, n := c.ageLoss.of(b*len(q.Ages) + a)
				if n == 0 {
					continue
				}
				share, _ := c.ageHit.of(b*len(q.Ages) + a)
				aMember, aPosition, aEnd, aRepeats = append(aMember, int64(k)), append(aPosition, int64(edge)), append(aEnd, until(q.Edges, b, q.Length)), append(aRepeats, n)
				aAge, aAgeEnd = append(aAge, int64(age)), append(aAgeEnd, until(q.Ages, a, 0))
				aLoss, aHit = append(aLoss, mean), append(aHit, share)
			}
		}
	}
	return &Recalled{
		table.New().AddInt("replica", member).AddInt("position", position).AddInt("end", end).
			AddFloat("loss", loss).AddFloat("loss_low", lossLow).AddFloat("loss_high", lossHigh).
			AddFloat("accuracy", hit).AddFloat("accuracy_low", hitLow).AddFloat("accuracy_high", hitHigh).
			AddInt("repeats", repeats).AddFloat("loss_all", all),
		table.New().AddInt("replica", aMember).AddInt("position", aPosition).AddInt("end", aEnd).AddInt("age", aAge).AddInt("age_end", aAgeEnd).
			AddFloat("loss", aLoss).AddFloat("accuracy", aHit).AddInt("repeats", aRepeats),
	}
}
