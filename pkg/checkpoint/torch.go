package checkpoint

import (
	"archive/zip"
	"fmt"
	"io"
	"strings"

	"stuffed/pkg/atomic"
)

// ReadTorch reads a state dict that torch.save wrote in its zip form (pytorch_model.bin), running no code of it. Only a flat dict of
// names and tensors is accepted; strided views become contiguous; tensors on one storage share memory. Every zip entry must be stored
// without compression, as torch.save does, so that memory is bounded by the size of the file.
func ReadTorch(path string) (*File, error) {
	f, size, err := atomic.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := DecodeTorch(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// DecodeTorch reads the torch.save zip of the given size in bytes from memory or a file; see [ReadTorch].
func DecodeTorch(r io.ReaderAt, size int64) (*File, error) {
	archive, err := openTorchZip(r, size)
	if err != nil {
		return nil, err
	}
	pickled, err := archive.entry("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	value, err := unpickle(pickled)
	if err != nil {
		return nil, err
	}
	dict, ok := value.(*pickleDict)
	if !ok {
		return nil, fmt.Errorf("the pickle holds no state dict of names and tensors")
	}
	out := &File{Tensors: map[string]*Tensor{}, Meta: map[string]string{}}
	for i, key := range dict.keys {
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("key %d of the state dict is not a text", i)
		}
		view, ok := dict.values[i].(*pickleTensor)
		if !ok {
			return nil, fmt.Errorf("state dict entry %q is not a tensor: only plain state dicts are read", short(name))
		}
		if out.Tensors[name] != nil {
			return nil, fmt.Errorf("state dict names tensor %q twice", short(name))
		}
		if out.Tensors[name], err = archive.tensor(view); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", short(name), err)
		}
	}
	return out, nil
}

type torchZip struct {
	size     int64
	prefix   string
	entries  map[string]*zip.File
	storages map[string][]byte
	read     int64 // bytes of storages read so far
	copied   int64 // bytes of strided views made contiguous so far
}

func openTorchZip(r io.ReaderAt, size int64) (*torchZip, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("not a zip archive (%w): files of torch before 1.6 must be saved again with a current torch.save", err)
	}
	z := &torchZip{size: size, entries: map[string]*zip.File{}, storages: map[string][]byte{}}
	found := 0
	for _, f := range archive.File {
		if z.entries[f.Name] != nil {
			return nil, fmt.Errorf("zip has two entries %q", short(f.Name))
		}
		z.entries[f.Name] = f
		if f.Name == "data.pkl" || strings.HasSuffix(f.Name, "/data.pkl") {
			z.prefix = strings.TrimSuffix(f.Name, "data.pkl")
			found++
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("zip has %d entries data.pkl, want 1: not a file of torch.save", found)
	}
	if z.entries[z.prefix+"byteorder"] != nil {
		order, err := z.entry("byteorder", 16)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("byte order is %q, only \"little\" is read", order)
		}
	}
	return z, nil
}

// entry reads one stored entry in full. Its size is checked against limit and against the size of the archive itself.
func (z *torchZip) entry(name string, limit int64) ([]byte, error) {
	f := z.entries[z.prefix+name]
	if f == nil {
		return nil, fmt.Errorf("zip entry %q is missing", short(z.prefix+name))
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("zip entry %q is compressed: torch.save stores without compression", short(f.Name))
	}
	if f.UncompressedSize64 > uint64(min(limit, z.size)) {
		return nil, fmt.Errorf("zip entry %q claims %d bytes, the limit is %d", short(f.Name), f.UncompressedSize64, min(limit, z.size))
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("zip entry %q: %w", short(f.Name), err)
	}
	defer r.Close()
	content := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, fmt.Errorf("zip entry %q: %w", short(f.Name), err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF { // at EOF the reader verifies the checksum
		return nil, fmt.Errorf("zip entry %q: %w", short(f.Name), err)
	}
	return content, nil
}

// storage reads the bytes of one storage, once. Overlapping entries cannot make the sum exceed the archive.
func (z *torchZip) storage(s pickleStorage) ([]byte, error) {
	size, err := byteSize(s.dtype, []int{s.elements})
	if err != nil {
		return nil, err
	}
	content, ok := z.storages[s.key]
	if !ok {
		if content, err = z.entry("data/"+s.key, z.size-z.read); err != nil {
			return nil, err
		}
		z.read += int64(len(content))
		z.storages[s.key] = content
	}
	if len(content) < size {
		return nil, fmt.Errorf("storage %q has %d bytes, %d elements of %s need %d", short(s.key), len(content), s.elements, s.dtype, size)
	}
	return content[:size:size], nil
}

// tensor returns a view as a contiguous tensor, sharing the storage's memory where it already is contiguous.
func (z *torchZip) tensor(view *pickleTensor) (*Tensor, error) {
	storage, err := z.storage(view.storage)
	if err != nil {
		return nil, err
	}
	size := dtypeSizes[view.storage.dtype]
	t := &Tensor{DType: view.storage.dtype, Shape: view.shape}
	n := t.Len() // bounded by the storage, see check
	if n == 0 {
		return t, nil
	}
	if view.contiguous() {
		end := (view.offset + n) * size
		t.Data = storage[view.offset*size : end : end]
		return t, nil
	}
	if z.copied += int64(n * size); z.copied > 2*z.size {
		return nil, fmt.Errorf("strided views of more than twice the file's %d bytes", z.size)
	}
	t.Data = make([]byte, 0, n*size)
	index := make([]int, len(view.shape))
	for range n {
		at := view.offset
		for d, i := range index {
			at += i * view.stride[d]
		}
		t.Data = append(t.Data, storage[at*size:(at+1)*size]...)
		for d := len(index) - 1; d >= 0; d-- {
			if index[d]++; index[d] < view.shape[d] {
				break
			}
			index[d] = 0
		}
	}
	return t, nil
}

func (t *pickleTensor) contiguous() bool {
	step := 1
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] != 1 && t.stride[i] != step {
			return false
		}
		step *= t.shape[i]
	}
	return true
}
