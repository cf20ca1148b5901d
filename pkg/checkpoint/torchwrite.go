package checkpoint

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"stuffed/pkg/atomic"
)

// WriteTorch atomically writes a state dict in the format of torch.save (pytorch_model.bin, model.pth), with names sorted by order; nil
// sorts them alphabetically. Both torch.load with weights_only and ReadTorch can read it.
func WriteTorch(path string, tensors map[string]*Tensor, order func(a, b string) int) error {
	if err := atomic.Write(path, func(w io.Writer) error { return EncodeTorch(w, tensors, order) }); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// EncodeTorch writes the bytes of such a file; see [WriteTorch].
func EncodeTorch(w io.Writer, tensors map[string]*Tensor, order func(a, b string) int) error {
	names := slices.Sorted(maps.Keys(tensors))
	if order != nil {
		slices.SortStableFunc(names, order)
	}
	for _, name := range names {
		if tensors[name] == nil {
			return fmt.Errorf("tensor %q is nil", name)
		}
		if err := tensors[name].Check(); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
	}
	pickled, err := pickleStateDict(names, tensors)
	if err != nil {
		return err
	}
	archive := zip.NewWriter(w)
	stored := func(name string, content []byte) {
		if err != nil {
			return
		}
		var entry io.Writer
		// Sizes and checksum precede the content, since torch's reader does not look for a trailing data descriptor.
		entry, err = archive.CreateRaw(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(content),
			CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))})
		if err == nil {
			_, err = entry.Write(content)
		}
	}
	stored("data.pkl", pickled)
	stored("byteorder", []byte("little"))
	for i, name := range names {
		stored(fmt.Sprint("data/", i), tensors[name].Data)
	}
	stored("version", []byte("3\n"))
	if err != nil {
		return err
	}
	return archive.Close()
}

// pickler emits the few protocol 2 opcodes that a state dict needs.
type pickler struct{ out []byte }

// pickleStateDict pickles an OrderedDict of tensors, the i-th of which has its own storage named i.
func pickleStateDict(names []string, tensors map[string]*Tensor) ([]byte, error) {
	globals := map[string]pickleGlobal{}
	for g, dtype := range storageDTypes {
		globals[dtype] = g
	}
	p := pickler{out: []byte{0x80, 2}} // PROTO 2
	p.empty(globalDict)
	p.out = append(p.out, '(') // MARK
	for i, name := range names {
		t := tensors[name]
		storage, known := globals[t.DType]
		if !known {
			return nil, fmt.Errorf("tensor %q has dtype %s, which torch.save does not write here", name, t.DType)
		}
		p.text(name)
		p.global(globalTensor)
		p.tuple(func() {
			p.tuple(func() {
				p.text("storage")
				p.global(storage)
				p.text(fmt.Sprint(i))
				p.text("cpu")
				p.whole(t.Len())
			})
			p.out = append(p.out, 'Q') // BINPERSID
			p.whole(0)
			p.tuple(func() {
				for _, n := range t.Shape {
					p.whole(n)
				}
			})
			p.tuple(func() {
				for i := range t.Shape {
					step := 1
					for _, n := range t.Shape[i+1:] {
						step *= n
					}
					p.whole(step)
				}
			})
			p.out = append(p.out, 0x89) // NEWFALSE: requires_grad
			p.empty(globalDict)         // backward hooks
		})
		p.out = append(p.out, 'R') // REDUCE
	}
	return append(p.out, 'u', '.'), nil // SETITEMS, STOP
}

func (p *pickler) global(g pickleGlobal) {
	var module, name string
	_, _ = fmt.Sscan(string(g), &module, &name)
	p.out = append(p.out, 'c')
	p.out = append(p.out, module+"\n"+name+"\n"...)
}

// empty calls a global without arguments.
func (p *pickler) empty(g pickleGlobal) {
	p.global(g)
	p.out = append(p.out, ')', 'R')
}

func (p *pickler) tuple(items func()) {
	p.out = append(p.out, '(')
	items()
	p.out = append(p.out, 't')
}

func (p *pickler) text(s string) {
	p.out = append(p.out, 'X')
	p.out = binary.LittleEndian.AppendUint32(p.out, uint32(len(s)))
	p.out = append(p.out, s...)
}

// whole emits a non-negative integer: BININT, or an eight-byte LONG1 if it does not fit.
func (p *pickler) whole(n int) {
	if n < 1<<31 {
		p.out = append(p.out, 'J')
		p.out = binary.LittleEndian.AppendUint32(p.out, uint32(n))
		return
	}
	p.out = append(p.out, 0x8a, 8)
	p.out = binary.LittleEndian.AppendUint64(p.out, uint64(n))
}
