package datasets

import "stuffed/datasets/draw"

// Windows are random windows of T+1 tokens, each from one document, every possible position equally likely. Row r of step s is a
// pure function of seed and s·B + r.
type Windows struct {
	tokens *Tokens
	b, t   int
	key    uint64
	before []int64 // [docs+1]: window positions in the documents before each
}

// NewWindows needs at least one document of T+1 tokens, EOS included; otherwise the error names the longest.
func NewWindows(t *Tokens, b, length int, seed int64) (*Windows, error) {
	if err := checkShape(t, b, length); err != nil {
		return nil, err
	}
	w := &Windows{tokens: t, b: b, t: length, key: draw.Key(seed, "windows"), before: make([]int64, t.Documents()+1)}
	for i := range t.Origins {
		w.before[i+1] = w.before[i] + max(0, t.CuSeqlens[i+1]-t.CuSeqlens[i]-int64(length))
	}
	if w.before[t.Documents()] == 0 {
		return nil, tooShort(t, length)
	}
	return w, nil
}

// Batch returns the windows of a step.
func (w *Windows) Batch(step int64) (Batch, error) {
	if err := checkStep(step); err != nil {
		return Batch{}, err
	}
	batch := newBatch(w.b, w.t)
	for r := range w.b {
		at := w.place(step*int64(w.b) + int64(r))
		batch.row(r, w.tokens.IDs[at:at+int64(w.t)+1])
		batch.Reset[r] = true
	}
	return batch, nil
}

// place returns the position in the tokens at which window number i begins.
func (w *Windows) place(i int64) int64 {
	u := int64(draw.Below(draw.At(w.key, uint64(i)), uint64(w.before[len(w.before)-1])))
	d := find(w.before, u)
	return w.tokens.CuSeqlens[d] + u - w.before[d]
}

// Shape returns rows and tokens per row.
func (w *Windows) Shape() (b, t int) { return w.b, w.t }

// Vocab returns the number of token ids.
func (w *Windows) Vocab() int { return w.tokens.Vocab }

// Tokens counts the tokens of the documents that are long enough for a window.
func (w *Windows) Tokens() int64 {
	n := int64(0)
	for i := range w.tokens.Origins {
		if l := w.tokens.CuSeqlens[i+1] - w.tokens.CuSeqlens[i]; l > int64(w.t) {
			n += l
		}
	}
	return n
}
