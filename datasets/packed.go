package datasets

import "fmt"

// Packed are rows cut from all documents in random order, one after the other: no token is lost to padding, documents of any length
// are used, and CuSeqlens says where the state has to start anew. Each epoch has its own order.
type Packed struct {
	tokens *Tokens
	b, t   int
	rows   int64 // per epoch
	epochs epochs
}

// NewPacked wants at least T+1 tokens in all.
func NewPacked(t *Tokens, b, length int, seed int64) (*Packed, error) {
	if err := checkShape(t, b, length); err != nil {
		return nil, err
	}
	rows := (int64(len(t.IDs)) - 1) / int64(length)
	if rows == 0 {
		return nil, fmt.Errorf("batch: train_length is %d and the corpus has %d tokens; choose train_length ≤ %d", length, len(t.IDs), len(t.IDs)-1)
	}
	return &Packed{tokens: t, b: b, t: length, rows: rows, epochs: epochs{seed: seed, purpose: "packed", count: t.Documents(),
		size: func(d int) int64 { return t.CuSeqlens[d+1] - t.CuSeqlens[d] }}}, nil
}

// Batch is the rows of a step.
func (p *Packed) Batch(step int64) (Batch, error) {
	if err := checkStep(step); err != nil {
		return Batch{}, err
	}
	batch := newBatch(p.b, p.t)
	batch.startPieces()
	for r := range p.b {
		row := step*int64(p.b) + int64(r)
		batch.mixedRow(r, p.tokens, p.epochs.get(row/p.rows), row%p.rows)
		batch.Reset[r] = true
	}
	batch.endPieces()
	return batch, nil
}

func (b *Batch) startPieces() {
	b.Mask = make([]bool, b.B*b.T)
	b.CuSeqlens = nil
}

func (b *Batch) endPieces() { b.CuSeqlens = append(b.CuSeqlens, int32(b.B*b.T)) }

// mixedRow fills row r with tokens [segment·T, segment·T + T] of an epoch whose units are tokens, and says whether the row begins with
// a document.
func (b *Batch) mixedRow(r int, t *Tokens, e *epoch, segment int64) (fresh bool) {
	at := segment * int64(b.T)
	place := find(e.before, at)
	fresh = e.before[place] == at
	b.CuSeqlens = append(b.CuSeqlens, int32(r*b.T))
	for i := range b.T {
		for at+int64(i) >= e.before[place+1] {
			place++
			if i > 0 {
				b.CuSeqlens = append(b.CuSeqlens, int32(r*b.T+i))
			}
		}
		next := place
		if at+int64(i)+1 >= e.before[place+1] {
			next++
		}
		k := r*b.T + i
		b.Inputs[k] = int32(t.IDs[t.CuSeqlens[e.order[place]]+at+int64(i)-e.before[place]])
		b.Targets[k] = int32(t.IDs[t.CuSeqlens[e.order[next]]+at+int64(i)+1-e.before[next]])
		b.Mask[k] = next == place
	}
	return fresh
}

// Shape is rows and tokens per row.
func (p *Packed) Shape() (b, t int) { return p.b, p.t }

// Vocab is the number of token ids.
func (p *Packed) Vocab() int { return p.tokens.Vocab }

// Tokens is the number of tokens of an epoch.
func (p *Packed) Tokens() int64 { return int64(len(p.tokens.IDs)) }
