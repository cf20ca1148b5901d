package datasets

import (
	"fmt"
	"sync"

	"stuffed/datasets/draw"
)

// Batch is what one training step reads: B rows of T tokens, row after row.
type Batch struct {
	Inputs    []int32 // [B, T]
	Targets   []int32 // [B, T]: the token after each input
	B, T      int
	Reset     []bool  // [B]: the row does not continue the same row of the previous step, so its state starts anew
	CuSeqlens []int32 // [pieces+1]: offsets into the flattened rows at which a document or a row begins; nil if no row holds two documents
	Mask      []bool  // [B, T]: false where input and target belong to different documents; nil if no row holds two documents
}

// Starts returns [B, T], true at every token before which the state must be reset: CuSeqlens and Reset in a form whose shape is
// the same at every step.
func (b Batch) Starts() []bool {
	starts := make([]bool, b.B*b.T)
	for _, at := range b.CuSeqlens {
		if int(at) < len(starts) && int(at)%b.T != 0 {
			starts[at] = true
		}
	}
	for r, reset := range b.Reset {
		starts[r*b.T] = reset
	}
	return starts
}

// Batcher returns the batch of any step. The result depends only on the step and on how the Batcher was made, never on earlier
// calls, so a snapshot need only keep the step. A Batcher may be used by several goroutines.
type Batcher interface {
	Batch(step int64) (Batch, error)
	Shape() (b, t int)
	Tokens() int64 // distinct tokens that an endless run draws from; 0 if the data is generated without end
	Vocab() int
}

func newBatch(b, t int) Batch {
	return Batch{Inputs: make([]int32, b*t), Targets: make([]int32, b*t), B: b, T: t, Reset: make([]bool, b)}
}

// row copies T+1 tokens into a row's inputs and targets.
func (b *Batch) row(r int, ids []uint16) {
	in, out := b.Inputs[r*b.T:(r+1)*b.T], b.Targets[r*b.T:(r+1)*b.T]
	for i := range in {
		in[i], out[i] = int32(ids[i]), int32(ids[i+1])
	}
}

func checkShape(t *Tokens, b, length int) error {
	if b < 1 || length < 1 {
		return fmt.Errorf("batch: %d rows of %d tokens; batch and train_length must be 1 or more", b, length)
	}
	if t.Documents() == 0 || len(t.IDs) == 0 {
		return fmt.Errorf("batch: the corpus is empty")
	}
	return nil
}

func checkStep(step int64) error {
	if step < 0 {
		return fmt.Errorf("batch: step is %d, want 0 or more", step)
	}
	return nil
}

// tooShort is the error of a corpus without a document that fills a row.
func tooShort(t *Tokens, length int) error {
	return fmt.Errorf("documents shorter than T_train only: train_length is %d and the longest document is %d tokens; choose train_length ≤ %d",
		length, t.Longest(), t.Longest()-1)
}

// epochs caches the order of documents in the epochs asked for last.
type epochs struct {
	seed    int64
	purpose string
	size    func(document int) int64 // units of a document: tokens or segments
	count   int                      // documents
	mu      sync.Mutex
	last    [2]*epoch
}

// epoch is one pass over the documents in random order, with the number of units before each place in that order.
type epoch struct {
	number int64
	order  []int
	before []int64 // [documents+1]
}

func (e *epochs) get(number int64) *epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.last {
		if p != nil && p.number == number {
			return p
		}
	}
	p := &epoch{number: number, order: draw.Permutation(draw.Key(e.seed, e.purpose, number), e.count), before: make([]int64, e.count+1)}
	for i, d := range p.order {
		p.before[i+1] = p.before[i] + e.size(d)
	}
	e.last[0], e.last[1] = p, e.last[0]
	return p
}

// find returns the last place i with before[i] ≤ unit, so that before[i+1] > unit; places without units are never found.
func find(before []int64, unit int64) int {
	low, high := 0, len(before)-1
	for high-low > 1 {
		if middle := (low + high) / 2; before[middle] <= unit {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}
