package datasets

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A text file that is a corpus by itself is one document. If splits are asked for, it is cut by position: the first 80 % become
// train, then 10 % valid and 10 % test, so that nothing measured on was trained on.

// forSplits returns the corpus as a filter sees it: a single text file is cut if the filter asks for splits.
func (c *Corpus) forSplits(f Filter) *Corpus {
	if !c.alone || len(f.Splits) == 0 {
		return c
	}
	parts := *c
	parts.each = func(visit func(Document) error) error {
		return c.each(func(d Document) error {
			for _, p := range cutByPosition(d) {
				if err := visit(p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return &parts
}

// cutByPosition makes one document per split. Cuts follow a line end where one is near, otherwise a space or a character.
func cutByPosition(d Document) (parts []Document) {
	first, second := cutNear(d.Text, len(d.Text)*8/10), cutNear(d.Text, len(d.Text)*9/10)
	second = max(first, second)
	for i, text := range []string{d.Text[:first], d.Text[first:second], d.Text[second:]} {
		p := d
		p.Split, p.Text = Splits[i], text
		p.ID = fmt.Sprintf("%s (%s)", d.ID, p.Split)
		parts = append(parts, p)
	}
	return parts
}

// cutNear returns the position after the last line end within 4 KiB before at, otherwise after the last space within 64 bytes,
// otherwise at or the start of its character.
func cutNear(text string, at int) int {
	if i := strings.LastIndexByte(text[max(0, at-4096):at], '\n'); i >= 0 && at > 4096 {
		return max(0, at-4096) + i + 1
	}
	if i := strings.LastIndexByte(text[max(0, at-64):at], ' '); i >= 0 && at > 64 {
		return max(0, at-64) + i + 1
	}
	for at > 0 && at < len(text) && !utf8.RuneStart(text[at]) {
		at--
	}
	return at
}
