package datasets

import "fmt"

// Lanes are B texts read side by side for truncated back-propagation: row r of step s continues where row r of step s-1 ended,
// unless Reset says otherwise. An epoch is the documents in random order, cut into B equal lanes.
type Lanes struct {
	tokens *Tokens
	b, t   int
	across bool
	steps  int64 // per epoch
	epochs epochs
}

// NewLanes makes lanes of whole segments: a document gives ⌊(tokens-1)/T⌋ of them, its rest is left out, a segment never holds two
// documents and Reset marks the first segment of each document. With across, documents follow each other without a gap, CuSeqlens and
// Mask show where they meet inside a row, and Reset marks rows that begin with a document. Who wants the state to run on from document
// to document ignores Reset.
func NewLanes(t *Tokens, b, length int, seed int64, across bool) (*Lanes, error) {
	if err := checkShape(t, b, length); err != nil {
		return nil, err
	}
	l := &Lanes{tokens: t, b: b, t: length, across: across}
	size := func(d int) int64 { return (t.CuSeqlens[d+1] - t.CuSeqlens[d] - 1) / int64(length) }
	segments := (int64(len(t.IDs)) - 1) / int64(length)
	if across {
		size = func(d int) int64 { return t.CuSeqlens[d+1] - t.CuSeqlens[d] }
	} else {
		segments = 0
		for d := range t.Origins {
			segments += size(d)
		}
		if segments == 0 {
			return nil, tooShort(t, length)
		}
	}
	l.epochs = epochs{seed: seed, purpose: "lanes", count: t.Documents(), size: size}
	if l.steps = segments / int64(b); l.steps == 0 {
		return nil, fmt.Errorf("batch: %d lanes, but the corpus gives only %d segments of %d tokens; choose a smaller batch or train_length", b, segments, length)
	}
	return l, nil
}

// Batch is segment step of every lane.
func (l *Lanes) Batch(step int64) (Batch, error) {
	if err := checkStep(step); err != nil {
		return Batch{}, err
	}
	e, within := l.epochs.get(step/l.steps), step%l.steps
	batch := newBatch(l.b, l.t)
	if l.across {
		batch.startPieces()
	}
	for r := range l.b {
		segment := int64(r)*l.steps + within
		batch.Reset[r] = within == 0
		if l.across {
			batch.Reset[r] = batch.mixedRow(r, l.tokens, e, segment) || within == 0
			continue
		}
		place := find(e.before, segment)
		inside := segment - e.before[place]
		at := l.tokens.CuSeqlens[e.order[place]] + inside*int64(l.t)
		batch.row(r, l.tokens.IDs[at:at+int64(l.t)+1])
		batch.Reset[r] = batch.Reset[r] || inside == 0
	}
	if l.across {
		batch.endPieces()
	}
	return batch, nil
}

// Shape is lanes and tokens per segment.
func (l *Lanes) Shape() (b, t int) { return l.b, l.t }

// Vocab is the number of token ids.
func (l *Lanes) Vocab() int { return l.tokens.Vocab }

// Tokens is the number of tokens of an epoch.
func (l *Lanes) Tokens() int64 { return l.steps * int64(l.b) * int64(l.t) }

// Steps is the number of steps of an epoch.
func (l *Lanes) Steps() int64 { return l.steps }
