// Package plaintext reads text files as people save them: with a byte order mark, in UTF-16, with the line ends of any system.
package plaintext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	mark   = []byte("\xef\xbb\xbf")
	little = []byte("\xff\xfe")
	big    = []byte("\xfe\xff")
)

// ErrEncoding says that bytes are neither UTF-8 nor UTF-16 with a byte order mark.
var ErrEncoding = errors.New("not UTF-8 text; convert it first (iconv -f latin1 -t utf-8)")

// Decode returns the text as UTF-8 without a byte order mark. Text that begins with the mark of UTF-16 is converted.
func Decode(b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, little):
		return wide(b[2:], 0, 1)
	case bytes.HasPrefix(b, big):
		return wide(b[2:], 1, 0)
	}
	b = bytes.TrimPrefix(b, mark)
	if !utf8.Valid(b) {
		return nil, ErrEncoding
	}
	return b, nil
}

// wide converts UTF-16, whose units have their low and high byte at these places.
func wide(b []byte, low, high int) ([]byte, error) {
	if len(b)%2 != 0 {
		return nil, errors.New("UTF-16 text of an odd number of bytes: the file is cut")
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i+low]) | uint16(b[2*i+high])<<8
	}
	return []byte(string(utf16.Decode(units))), nil
}

// Lines is Decode with every line end, CR LF or CR, as LF.
func Lines(b []byte) ([]byte, error) {
	b, err := Decode(b)
	if err != nil || !bytes.ContainsRune(b, '\r') {
		return b, err
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n")), nil
}

// Read reads a whole file by Decode.
func Read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if b, err = Decode(b); err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: err}
	}
	return b, nil
}

// Reader leaves out a byte order mark at the start of a stream, and refuses UTF-16 there.
func Reader(r io.Reader) (io.Reader, error) {
	b, ok := r.(*bufio.Reader)
	if !ok {
		b = bufio.NewReader(r)
	}
	start, _ := b.Peek(3) // a shorter stream has no mark
	switch {
	case bytes.HasPrefix(start, little), bytes.HasPrefix(start, big):
		return nil, errors.New("UTF-16 text; convert it first (iconv -f utf-16 -t utf-8)")
	case bytes.HasPrefix(start, mark):
		if _, err := b.Discard(3); err != nil {
			return nil, err
		}
	}
	return b, nil
}
