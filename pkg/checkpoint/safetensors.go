package checkpoint

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"stuffed/pkg/atomic"
)

// File is the content of one safetensors file, or of a set of shards.
type File struct {
	Tensors map[string]*Tensor
	Meta    map[string]string
}

// Names returns the tensor names in order.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.Tensors)) }

// Tensor returns one tensor, or an error that names those present.
func (f *File) Tensor(name string) (*Tensor, error) {
	if t, ok := f.Tensors[name]; ok {
		return t, nil
	}
	names := f.Names()
	if len(names) > 20 {
		names = append(names[:20], "…")
	}
	return nil, fmt.Errorf("tensor %q is missing; present: %s", name, strings.Join(names, ", "))
}

// ReadSafetensors reads and validates one file by the rules of the reference parser, see [ParseHeader]. It allocates memory only for bytes
// that the file actually contains.
func ReadSafetensors(path string) (*File, error) {
	f, size, err := atomic.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := DecodeSafetensors(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// DecodeSafetensors reads a safetensors file of the given size in bytes from memory or a file.
func DecodeSafetensors(r io.ReaderAt, size int64) (*File, error) {
	header, start, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	entries, meta, err := ParseHeader(header, size-start)
	if err != nil {
		return nil, err
	}
	out := &File{Tensors: make(map[string]*Tensor, len(entries)), Meta: meta}
	for _, e := range entries {
		data := make([]byte, e.End-e.Begin)
		if n, err := r.ReadAt(data, start+e.Begin); n < len(data) {
			return nil, fmt.Errorf("tensor %q: read %d of %d bytes: %w", e.Name, n, len(data), err)
		}
		out.Tensors[e.Name] = &Tensor{DType: e.DType, Shape: e.Shape, Data: data}
	}
	return out, nil
}

const maxHeader = 100_000_000

func readHeader(r io.ReaderAt, size int64) (header []byte, start int64, err error) {
	if size < 8 {
		return nil, 0, fmt.Errorf("file has %d bytes: a safetensors file begins with an 8-byte header length", size)
	}
	var prefix [8]byte
	if _, err := r.ReadAt(prefix[:], 0); err != nil {
		return nil, 0, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	if n > maxHeader {
		return nil, 0, fmt.Errorf("header length %d is above the limit of %d: not a safetensors file?", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, 0, fmt.Errorf("header length %d exceeds the %d bytes after it: the file is cut or not safetensors", n, size-8)
	}
	header = make([]byte, n)
	if _, err := r.ReadAt(header, 8); err != nil && n > 0 {
		if err != io.EOF || int64(n) != size-8 {
			return nil, 0, err
		}
	}
	return header, 8 + int64(n), nil
}

// WriteSafetensors writes tensors and metadata atomically, larger element sizes first and by name, with a header padded to 8 bytes, so
// that equal content gives equal bytes. A nil meta means {"format": "pt"}, which transformers asks for.
func WriteSafetensors(path string, tensors map[string]*Tensor, meta map[string]string) error {
	if err := atomic.Write(path, func(w io.Writer) error { return EncodeSafetensors(w, tensors, meta) }); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// EncodeSafetensors writes the bytes of a safetensors file; see [WriteSafetensors].
func EncodeSafetensors(w io.Writer, tensors map[string]*Tensor, meta map[string]string) error {
	if meta == nil {
		meta = map[string]string{"format": "pt"}
	}
	names := slices.Sorted(maps.Keys(tensors))
	for _, name := range names {
		if name == "__metadata__" {
			return fmt.Errorf("a tensor cannot be called %q", name)
		}
		if tensors[name] == nil {
			return fmt.Errorf("tensor %q is nil", name)
		}
		if err := tensors[name].Check(); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return dtypeSizes[tensors[b].DType] - dtypeSizes[tensors[a].DType] })

	var header []byte
	header = append(header, '{')
	if len(meta) > 0 {
		header = append(header, `"__metadata__":`...)
		header = append(header, jsonText(meta)...)
	}
	offset := 0
	for _, name := range names {
		t := tensors[name]
		if len(header) > 1 {
			header = append(header, ',')
		}
		header = append(header, jsonText(name)...)
		header = append(header, `:{"dtype":"`+t.DType+`","shape":`...)
		header = append(header, jsonText(append([]int{}, t.Shape...))...)
		header = append(header, `,"data_offsets":[`...)
		header = strconv.AppendInt(header, int64(offset), 10)
		offset += len(t.Data)
		header = append(header, ',')
		header = strconv.AppendInt(header, int64(offset), 10)
		header = append(header, "]}"...)
	}
	header = append(header, '}')
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	if len(header) > maxHeader {
		return fmt.Errorf("header of %d bytes is above the limit of %d: write fewer tensors or less metadata", len(header), maxHeader)
	}
	var prefix [8]byte
	binary.LittleEndian.PutUint64(prefix[:], uint64(len(header)))
	for _, b := range [][]byte{prefix[:], header} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	for _, name := range names {
		if _, err := w.Write(tensors[name].Data); err != nil {
			return err
		}
	}
	return nil
}
