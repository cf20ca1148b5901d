package prompt

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseLength reads a number of tokens such as 4096, 64K or 1M (K is 1,024, M is 1,048,576).
func ParseLength(text string) (int, error) {
	number, unit := strings.TrimSpace(text), 1
	switch {
	case strings.HasSuffix(number, "K"), strings.HasSuffix(number, "k"):
		number, unit = number[:len(number)-1], 1<<10
	case strings.HasSuffix(number, "M"):
		number, unit = number[:len(number)-1], 1<<20
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n > (1<<40)/unit {
		return 0, fmt.Errorf("length is %q, want a number of tokens such as 4096, 64K or 1M", text)
	}
	return n * unit, nil
}

// ParseLengths reads lengths separated by commas; a part such as 1K:8K:1K is every length from the first to the second in
// steps of the third.
func ParseLengths(text string) (lengths []int, err error) {
	for _, part := range strings.Split(text, ",") {
		ends := strings.Split(part, ":")
		var n [3]int
		if len(ends) != 1 && len(ends) != 3 {
			return nil, fmt.Errorf("lengths are %q, want a list such as 1K,2K,4K or first:last:step", text)
		}
		for i, e := range ends {
			if n[i], err = ParseLength(e); err != nil {
				return nil, err
			}
			if n[i] == 0 {
				return nil, fmt.Errorf("lengths are %q, want 1 or more tokens each", text)
			}
		}
		if len(ends) == 1 {
			lengths = append(lengths, n[0])
			continue
		}
		if n[1] < n[0] || (n[1]-n[0])/n[2] > 100_000 {
			return nil, fmt.Errorf("lengths are %q, want first ≤ last and at most 100000 lengths", text)
		}
		for at := n[0]; at <= n[1]; at += n[2] {
			lengths = append(lengths, at)
		}
	}
	return lengths, nil
}
