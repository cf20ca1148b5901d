package prompt

import (
	"fmt"
	"strings"
)

// byteEncoder has one token per byte.
type byteEncoder struct{}

func (byteEncoder) Encode(text string) ([]int, error) {
	ids := make([]int, len(text))
	for i := range ids {
		ids[i] = int(text[i])
	}
	return ids, nil
}

func (byteEncoder) Decode(ids []int) (string, error) {
	var b strings.Builder
	for _, id := range ids {
		if id < 0 || id > 255 {
			return "", fmt.Errorf("id %d", id)
		}
		b.WriteByte(byte(id))
	}
	return b.String(), nil
}

func (byteEncoder) Vocab() int   { return 257 }
func (byteEncoder) EOS() int     { return 256 }
func (byteEncoder) Name() string { return "bytes" }
