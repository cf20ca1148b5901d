package models

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"stuffed/pkg/lm"
	"stuffed/pkg/tokenizer"
)

// Continue writes count continuations of a text by up to n tokens each: the first as it is made, the others after it, with a
// line of their own between them. The tokenizer's end of a document ends a text.
func Continue(ctx context.Context, o *Opened, prompt string, n, count int, s lm.Sampling, w io.Writer) error {
	t, err := o.Encoder()
	if err != nil {
		return err
	}
	if count < 1 {
		return fmt.Errorf("count = %d must be at least 1", count)
	}
	ids, err := t.Encode(prompt)
	if err != nil {
		return fmt.Errorf("prompt: %w", err)
	}
	before, _ := tokenizer.Frame(t)
	ids = append(before, ids...)
	if len(ids) == 0 && t.EOS() >= 0 {
		ids = []int{t.EOS()} // an empty prompt begins a document
	}
	var row []int32
	for _, id := range ids {
		row = append(row, int32(id))
	}
	if t.EOS() >= 0 {
		s.Stop = append(slices.Clone(s.Stop), int32(t.EOS()))
	}
	prompts := make([][]int32, count)
	for i := range prompts {
		prompts[i] = row
	}
	text := func(ids []int32) (string, error) {
		var plain []int
		for _, id := range ids {
			if int(id) != t.EOS() && int(id) < t.Vocab() { // rows of padding have no text
				plain = append(plain, int(id))
			}
		}
		return t.Decode(plain)
	}
	rest := "" // bytes of a character that is not complete
	made, err := o.Generate(ctx, prompts, n, s, nil, func(rows [][]int32) error {
		piece, err := text(rows[0])
		if err != nil {
			return err
		}
		piece = rest + piece
		whole := completeUTF8(piece)
		rest = piece[whole:]
		_, err = io.WriteString(w, piece[:whole])
		return err
	})
	if _, writeErr := io.WriteString(w, rest+"\n"); err == nil {
		err = writeErr
	}
	if err != nil {
		return err
	}
	for i, ids := range made[1:] {
		piece, err := text(ids)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s %d\n%s\n", strings.Repeat("-", 8), i+2, piece); err != nil {
			return err
		}
	}
	return nil
}

// completeUTF8 is the length of s without the beginning of a character at its end.
func completeUTF8(s string) int {
	for i := len(s) - 1; i >= 0 && i >= len(s)-utf8.UTFMax+1; i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRuneInString(s[i:]) {
				return i
			}
			break
		}
	}
	return len(s)
}
