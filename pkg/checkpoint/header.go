package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Entry is one tensor of a safetensors header; Begin and End are byte offsets after the header.
type Entry struct {
	Name       string
	DType      string
	Shape      []int
	Begin, End int64
}

// ParseHeader validates a safetensors header against the number of data bytes that follow it and returns its tensors by offset. Like the
// reference parser it requires that the header starts with "{", is UTF-8 JSON without duplicate names, uses only known dtypes and has only
// strings in __metadata__, and that the tensors cover the data from 0 to its end without gap or overlap, with lengths that match shape and
// dtype.
func ParseHeader(header []byte, dataBytes int64) ([]Entry, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, fmt.Errorf("header does not begin with '{'")
	}
	if !utf8.Valid(header) {
		return nil, nil, fmt.Errorf("header is not valid UTF-8")
	}
	r := jsonReader{json.NewDecoder(bytes.NewReader(header))}
	r.UseNumber()
	var entries []Entry
	var meta map[string]string
	err := r.object(func(key string) (err error) {
		if key == "__metadata__" {
			meta, err = r.metadata()
			return err
		}
		e := Entry{Name: key}
		if err := r.tensor(&e); err != nil {
			return fmt.Errorf("tensor %q: %w", short(key), err)
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := r.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("header: bytes after the closing brace")
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name))
	})
	return entries, meta, checkOffsets(entries, dataBytes)
}

func checkOffsets(entries []Entry, dataBytes int64) error {
	var at int64
	for _, e := range entries {
		if e.Begin != at || e.End < e.Begin {
			return fmt.Errorf("tensor %q: data_offsets [%d, %d] must begin at %d, where the one before ends: no holes, no overlap", short(e.Name), e.Begin, e.End, at)
		}
		want, err := byteSize(e.DType, e.Shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", short(e.Name), err)
		}
		if e.End-e.Begin != int64(want) {
			return fmt.Errorf("tensor %q: data_offsets span %d bytes, %s%v needs %d", short(e.Name), e.End-e.Begin, e.DType, e.Shape, want)
		}
		at = e.End
	}
	if at != dataBytes {
		return fmt.Errorf("tensors end at byte %d of the data, the file has %d: it is cut or has bytes left over", at, dataBytes)
	}
	return nil
}

// short truncates an untrusted name for use in a message.
func short(name string) string {
	if len(name) > 200 {
		return name[:200] + "…"
	}
	return name
}

// jsonReader reads JSON token by token.
type jsonReader struct{ *json.Decoder }

func (r jsonReader) delim(want json.Delim) error {
	token, err := r.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("found %v where %v belongs", token, want)
	}
	return nil
}

func (r jsonReader) object(member func(key string) error) error {
	if err := r.delim('{'); err != nil {
		return err
	}
	return r.members(member)
}

// members calls member for each key of an object just opened, positioned at its value, and rejects duplicate keys.
func (r jsonReader) members(member func(key string) error) error {
	seen := map[string]bool{}
	for r.More() {
		token, err := r.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("key %v is not a string", token)
		}
		if seen[key] {
			return fmt.Errorf("key %q occurs twice", short(key))
		}
		seen[key] = true
		if err := member(key); err != nil {
			return err
		}
	}
	return r.delim('}')
}

func (r jsonReader) text() (string, error) {
	token, err := r.Token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("found %v where a string belongs", token)
	}
	return s, nil
}

func (r jsonReader) metadata() (map[string]string, error) {
	meta := map[string]string{}
	err := r.object(func(key string) (err error) {
		meta[key], err = r.text()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("__metadata__ (texts only): %w", err)
	}
	return meta, nil
}

func (r jsonReader) tensor(e *Entry) error {
	var offsets []int
	present := map[string]bool{}
	err := r.object(func(key string) (err error) {
		present[key] = true
		switch key {
		case "dtype":
			if e.DType, err = r.text(); err == nil {
				_, err = DTypeSize(e.DType)
			}
		case "shape":
			e.Shape, err = r.ints()
		case "data_offsets":
			offsets, err = r.ints()
		default:
			return r.skip()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !present[key] {
			return fmt.Errorf("%s is missing", key)
		}
	}
	if len(offsets) != 2 {
		return fmt.Errorf("data_offsets has %d numbers, want 2: begin and end", len(offsets))
	}
	e.Begin, e.End = int64(offsets[0]), int64(offsets[1])
	return nil
}

func (r jsonReader) ints() ([]int, error) {
	if err := r.delim('['); err != nil {
		return nil, err
	}
	out := []int{}
	for r.More() {
		token, err := r.Token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("found %v where a whole number belongs", token)
		}
		v, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil || v > math.MaxInt {
			return nil, fmt.Errorf("%s is not a whole number from 0 to 2^63-1", number)
		}
		out = append(out, int(v))
	}
	return out, r.delim(']')
}

// skip skips one value of any type.
func (r jsonReader) skip() error {
	for depth := 0; ; {
		token, err := r.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
