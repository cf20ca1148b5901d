package trace

import "stuffed/pkg/table"

// buffer collects the rows of one table: prompt, whole numbers, perhaps a part, numbers.
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

func (b *buffer) clear() {
	b.prompt, b.part = []string{}, []string{}
	b.ints, b.floats = make([][]int64, len(b.whole)), make([][]float64, len(b.numbers))
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

func (b *buffer) rows() int { return len(b.prompt) }

// table hands the rows over.
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
