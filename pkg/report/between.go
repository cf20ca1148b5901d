package report

import (
	"fmt"
	"os"
	"strings"
)

// Between replaces what stands between the lines <!-- claims --> and <!-- /claims --> of a file.
func Between(path, mark, text string) ([]byte, error) {
	begin, end := "<!-- "+mark+" -->\n", "<!-- /"+mark+" -->"
	old, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, rest, found := strings.Cut(string(old), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return nil, fmt.Errorf("%s: the lines %s and %s are needed around the place of the %s", path, strings.TrimSpace(begin), end, mark)
	}
	return []byte(head + begin + text + end + tail), nil
}
