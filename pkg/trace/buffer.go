package trace

import (
	"slices"

	"stuffed/pkg/table"
)

// buffer collects the rows of one table: prompt, integer columns, an optional part, float columns.
type buffer struct {
	whole, numbers []string
	hasPart        bool
	prompt, part   []string
	ints           [][]int64
	floats         [][]float64
}

func newBuffer(whole []string, part bool, numbers []string) *buffer {
	b := &buffer{whole: whole, numbers: numbers, hasPart: part}
	b.clear()
	return b
}

// clear starts a new table, with capacity for as many rows as the last one.
func (b *buffer) clear() {
	room := len(b.prompt)
	b.prompt, b.part = make([]string, 0, room), []string{}
	b.ints, b.floats = make([][]int64, len(b.whole)), make([][]float64, len(b.numbers))
	for i := range b.ints {
		b.ints[i] = make([]int64, 0, room)
	}
	for i := range b.floats {
		b.floats[i] = make([]float64, 0, room)
	}
}

func (b *buffer) add(prompt, part string, whole ...int) {
	b.prompt = append(b.prompt, prompt)
	if b.hasPart {
		b.part = append(b.part, part)
	}
	for i, v := range whole {
		b.ints[i] = append(b.ints[i], int64(v))
	}
}

func (b *buffer) number(i int, v float64) { b.floats[i] = append(b.floats[i], v) }

// block adds one row per entry of whole; all rows share the values in first. Their floats are added separately.
func (b *buffer) block(prompt string, first []int, whole ...[]int64) {
	n := len(whole[0])
	b.prompt = append(b.prompt, slices.Repeat([]string{prompt}, n)...)
	for i, v := range first {
		b.ints[i] = append(b.ints[i], slices.Repeat([]int64{int64(v)}, n)...)
	}
	for i, v := range whole {
		b.ints[len(first)+i] = append(b.ints[len(first)+i], v...)
	}
}

// append adds the rows of another buffer.
func (b *buffer) append(other *buffer) {
	b.prompt, b.part = append(b.prompt, other.prompt...), append(b.part, other.part...)
	for i := range b.ints {
		b.ints[i] = append(b.ints[i], other.ints[i]...)
	}
	for i := range b.floats {
		b.floats[i] = append(b.floats[i], other.floats[i]...)
	}
}

func (b *buffer) rows() int { return len(b.prompt) }

// table returns the rows as a table, without copying.
func (b *buffer) table() *table.Table {
	t := table.New().AddText("prompt", b.prompt)
	for i, name := range b.whole {
		t.AddInt(name, b.ints[i])
	}
	if b.hasPart {
		t.AddText("part", b.part)
	}
	for i, name := range b.numbers {
		t.AddFloat(name, b.floats[i])
	}
	return t
}

// cut splits a table into parts of nearly equal length, at most size rows each.
func cut(t *table.Table, size int) (parts []*table.Table) {
	n := (t.Rows() + size - 1) / size
	for i := range n {
		from, to := i*t.Rows()/n, (i+1)*t.Rows()/n
		part := &table.Table{Meta: t.Meta}
		for _, c := range t.Columns {
			switch {
			case c.Ints != nil:
				c.Ints = c.Ints[from:to]
			case c.Floats != nil:
				c.Floats = c.Floats[from:to]
			default:
				c.Texts = c.Texts[from:to]
			}
			part.Columns = append(part.Columns, c)
		}
		parts = append(parts, part)
	}
	return parts
}
