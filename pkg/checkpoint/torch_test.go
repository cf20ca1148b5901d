package checkpoint

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// torchFile makes the zip of a torch.save from a pickle and storages.
func torchFile(t testing.TB, pickled string, storages map[string][]byte, method uint16) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	add := func(name string, content []byte) {
		h := &zip.FileHeader{Name: "archive/" + name, Method: method}
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("data.pkl", []byte(pickled))
	for key, content := range storages {
		add("data/"+key, content)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Opcodes of pickles, by name.
const (
	start, stop, mark = "\x80\x02", ".", "("
	dict, setItem     = "}", "s"
	tuple, emptyTuple = "t", ")"
	reduce, build     = "R", "b"
)

func global(module, name string) string { return "c" + module + "\n" + name + "\n" }

func text(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func number(n uint32) string { return "J" + string(binary.LittleEndian.AppendUint32(nil, n)) }

func storage(kind, key string, elements uint32) string {
	return mark + text("storage") + global("torch", kind) + text(key) + text("cpu") + number(elements) + tuple + "Q"
}

// rebuilt is a tensor on a storage, contiguous unless strides are given.
func rebuilt(storage string, offset uint32, shape, strides []uint32) string {
	list := func(v []uint32) string {
		s := mark
		for _, n := range v {
			s += number(n)
		}
		return s + tuple
	}
	return global("torch._utils", "_rebuild_tensor_v2") + mark + storage + number(offset) + list(shape) + list(strides) +
		"\x89" + global("collections", "OrderedDict") + emptyTuple + reduce + tuple + reduce
}

func stateDict(name, value string) string { return start + dict + text(name) + value + setItem + stop }

var fourFloats = map[string][]byte{"0": make([]byte, 16)}

func TestTorchReadsViews(t *testing.T) {
	content := map[string][]byte{"0": {0, 1, 2, 3, 4, 5}}
	for name, c := range map[string]struct {
		value string
		want  []byte
		shape string
	}{
		"whole":      {rebuilt(storage("ByteStorage", "0", 6), 0, []uint32{2, 3}, []uint32{3, 1}), []byte{0, 1, 2, 3, 4, 5}, "U8[2 3]"},
		"transposed": {rebuilt(storage("ByteStorage", "0", 6), 0, []uint32{3, 2}, []uint32{1, 3}), []byte{0, 3, 1, 4, 2, 5}, "U8[3 2]"},
		"offset":     {rebuilt(storage("ByteStorage", "0", 6), 4, []uint32{2}, []uint32{1}), []byte{4, 5}, "U8[2]"},
		"scalar":     {rebuilt(storage("ByteStorage", "0", 6), 5, nil, nil), []byte{5}, "U8[]"},
		"parameter": {global("torch._utils", "_rebuild_parameter") + mark + rebuilt(storage("ByteStorage", "0", 6), 4, []uint32{2}, []uint32{1}) +
			"\x89" + global("collections", "OrderedDict") + emptyTuple + reduce + tuple + reduce, []byte{4, 5}, "U8[2]"},
	} {
		b := torchFile(t, stateDict("w", c.value), content, zip.Store)
		f, err := DecodeTorch(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if w := f.Tensors["w"]; w.String() != c.shape || !bytes.Equal(w.Data, c.want) {
			t.Errorf("%s: %s %v, want %s %v", name, w, w.Data, c.shape, c.want)
		}
	}
}

type hostilePickle struct {
	pickle   string
	storages map[string][]byte
	want     string
}

func hostilePickles() map[string]hostilePickle {
	good := rebuilt(storage("FloatStorage", "0", 4), 0, []uint32{4}, []uint32{1})
	with := func(storage string, offset uint32, shape, strides []uint32) string {
		return stateDict("w", rebuilt(storage, offset, shape, strides))
	}
	float := storage("FloatStorage", "0", 4)
	return map[string]hostilePickle{
		"os.system":             {start + global("os", "system") + mark + text("touch pwned") + tuple + reduce + stop, nil, `"os" "system" is not allowed`},
		"posix.system, stacked": {start + text("posix") + text("system") + "\x93" + stop, nil, "not allowed"},
		"builtins.eval":         {start + global("builtins", "eval") + mark + text("1") + tuple + reduce + stop, nil, "not allowed"},
		"builtins.getattr":      {start + global("builtins", "getattr") + stop, nil, "not allowed"},
		"torch.load":            {start + global("torch", "load") + stop, nil, "not allowed"},
		"runpy in a value":      {stateDict("w", global("runpy", "_run_code")), nil, "not allowed"},
		"dotted global":         {start + text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + "\x93" + stop, nil, "not allowed"},
		"INST":                  {start + mark + "ios\nsystem\n" + stop, nil, "opcode is not allowed"},
		"OBJ":                   {start + mark + "o" + stop, nil, "opcode is not allowed"},
		"NEWOBJ":                {start + global("collections", "OrderedDict") + emptyTuple + "\x81" + stop, nil, "opcode is not allowed"},
		"EXT1":                  {start + "\x82\x01" + stop, nil, "opcode is not allowed"},
		"PERSID":                {start + "Pabc\n" + stop, nil, "opcode is not allowed"},
		"call of a text":        {start + text("os.system") + emptyTuple + reduce + stop, nil, "allowed global"},
		"call of a storage":     {start + global("torch", "FloatStorage") + emptyTuple + reduce + stop, nil, "cannot be called"},
		"dict with arguments":   {start + global("collections", "OrderedDict") + mark + dict + tuple + reduce + stop, nil, "no arguments"},
		"build on a tensor":     {stateDict("w", good+dict+build), fourFloats, "attributes"},
		"protocol 200":          {"\x80\xc8" + stop, nil, "protocol 200"},
		"no stop":               {start + dict, nil, "without STOP"},
		"empty":                 {"", nil, "without STOP"},
		"two values":            {start + dict + dict + stop, nil, "2 values"},
		"nothing":               {start + stop, nil, "0 values"},
		"text beyond the end":   {start + "X\xff\xff\xff\xff" + "ab", nil, "are left"},
		"text of 2^63 bytes":    {start + "\x8d\xff\xff\xff\xff\xff\xff\xff\x7f", nil, "are left"},
		"frame beyond the end":  {start + "\x95\xff\xff\xff\xff\xff\xff\xff\xff", nil, "frame"},
		"text not UTF-8":        {start + text("\xff") + stop, nil, "UTF-8"},
		"long of 255 bytes":     {start + "\x8a\xff" + stop, nil, "limit is 8"},
		"memo never set":        {start + "h\x07" + stop, nil, "memo 7"},
		"memo 2^32-1 unset":     {start + "j\xff\xff\xff\xff" + stop, nil, "memo 4294967295"},
		"pop of nothing":        {start + "0" + stop, nil, "stack is empty"},
		"tuple without a mark":  {start + tuple + stop, nil, "no mark"},
		"mark as a value":       {start + mark + "\x85" + stop, nil, "mark"},
		"odd items":             {start + dict + mark + text("a") + "u" + stop, nil, "last key has no value"},
		"item on a list":        {start + "]" + text("a") + text("b") + setItem + stop, nil, "not a dict"},
		"append on a dict":      {start + dict + text("a") + "a" + stop, nil, "not a list"},
		"list of tensors":       {start + "]" + good + "a" + stop, fourFloats, "no state dict"},
		"number as a key":       {start + dict + number(1) + good + setItem + stop, fourFloats, "not a text"},
		"value is a text":       {stateDict("w", text("x")), nil, "not a tensor"},
		"nested state dict":     {stateDict("model", dict+text("w")+good+setItem), fourFloats, "not a tensor"},
		"dict in itself":        {start + dict + "q\x00" + text("w") + "h\x00" + setItem + stop, nil, "not a tensor"},
		"tensor twice":          {start + dict + mark + text("w") + good + text("w") + good + "u" + stop, fourFloats, "twice"},
		"storage missing":       {with(storage("FloatStorage", "9", 4), 0, []uint32{4}, []uint32{1}), fourFloats, `"archive/data/9"`},
		"storage outside":       {with(storage("FloatStorage", "../../data.pkl", 4), 0, []uint32{4}, []uint32{1}), fourFloats, "data.pkl"},
		"storage too short":     {with(storage("FloatStorage", "0", 5), 0, []uint32{5}, []uint32{1}), fourFloats, "need 20"},
		"storage of 2^31":       {with(storage("DoubleStorage", "0", 1<<31-1), 0, []uint32{1 << 30}, []uint32{1}), fourFloats, "need"},
		"negative storage":      {with(storage("FloatStorage", "0", 1<<32-4), 0, []uint32{4}, []uint32{1}), fourFloats, "whole number from 0"},
		"unknown storage":       {with(storage("QUInt8Storage", "0", 4), 0, []uint32{4}, []uint32{1}), fourFloats, "not allowed"},
		"persistent text":       {start + text("storage") + "Q" + stop, nil, "persistent id"},
		"offset beyond":         {with(float, 5, []uint32{1}, []uint32{1}), fourFloats, "offset 5"},
		"negative offset":       {with(float, 1<<32-1, []uint32{1}, []uint32{1}), fourFloats, "offset -1"},
		"view beyond":           {with(float, 2, []uint32{3}, []uint32{1}), fourFloats, "reaches element 4"},
		"stride beyond":         {with(float, 0, []uint32{2}, []uint32{4}), fourFloats, "reaches element 4"},
		"negative stride":       {with(float, 3, []uint32{2}, []uint32{1<<32 - 1}), fourFloats, "stride[0]"},
		"more than stored":      {with(float, 0, []uint32{1 << 20, 1 << 10}, []uint32{0, 0}), fourFloats, "more elements than its storage"},
		"shape overflow":        {with(float, 0, []uint32{1 << 30, 1 << 30, 1 << 30}, []uint32{0, 0, 0}), fourFloats, "elements"},
		"rank of stride":        {with(float, 0, []uint32{4}, []uint32{1, 1}), fourFloats, "1 dimensions, stride 2"},
		"rank 17":               {with(float, 0, make([]uint32, 17), make([]uint32, 17)), fourFloats, "at most 16"},
		"tensor of a tensor":    {with(good, 0, []uint32{4}, []uint32{1}), fourFloats, "not a storage"},
	}
}

func TestHostilePickles(t *testing.T) {
	work := t.TempDir()
	t.Chdir(work)
	for name, h := range hostilePickles() {
		path := filepath.Join(t.TempDir(), "pytorch_model.bin")
		content := torchFile(t, h.pickle, h.storages, zip.Store)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if n := allocated(func() { _, err = ReadTorch(path) }); n > 1<<20 {
			t.Errorf("%s: a file of %d bytes allocated %d", name, len(content), n)
		}
		if err == nil || !strings.Contains(err.Error(), h.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one that names the file and says %q", name, err, h.want)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("something ran: %v %v", left, err)
	}
}

// TestPickleMemory: a pickle of nothing but pushes, memos or nesting takes a bounded multiple of its size.
func TestPickleMemory(t *testing.T) {
	const n = 1 << 18
	for name, p := range map[string]string{
		"dicts": strings.Repeat(dict, n), "lists": strings.Repeat("]", n), "marks": strings.Repeat(mark, n),
		"memo": dict + strings.Repeat("\x94", n), "memo and pop": strings.Repeat(dict+"\x940", n/3),
		"nested tuples": emptyTuple + strings.Repeat("\x85", n), "copies of the memo": "]q\x00" + strings.Repeat("h\x00a", n/3),
	} {
		var err error
		if got := allocated(func() { _, err = unpickle([]byte(start + p + stop + stop)) }); got > 200*n {
			t.Errorf("%s: %d bytes of pickle allocated %d", name, len(p), got)
		}
		if name == "dicts" && err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20)) // nesting must not recurse
	b := torchFile(t, start+emptyTuple+strings.Repeat("\x85", n)+stop, nil, zip.Store)
	if _, err := DecodeTorch(bytes.NewReader(b), int64(len(b))); err == nil {
		t.Error("nested tuples were accepted as a state dict")
	}
}

func TestHostileZips(t *testing.T) {
	good := stateDict("w", rebuilt(storage("FloatStorage", "0", 4), 0, []uint32{4}, []uint32{1}))
	plain := torchFile(t, good, fourFloats, zip.Store)
	if _, err := DecodeTorch(bytes.NewReader(plain), int64(len(plain))); err != nil {
		t.Fatal(err)
	}
	lying := func(size uint64) []byte { // an entry whose header claims another size
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		body := []byte(good)
		w, err := z.CreateRaw(&zip.FileHeader{Name: "archive/data.pkl", Method: zip.Store, CRC32: crc32.ChecksumIEEE(body),
			CompressedSize64: uint64(len(body)), UncompressedSize64: size})
		if err == nil {
			_, err = w.Write(body)
		}
		if err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	flipped := bytes.Clone(plain)
	flipped[bytes.Index(flipped, []byte("storage"))] ^= 1
	renamed := bytes.ReplaceAll(plain, []byte("data.pkl"), []byte("data.pkx"))
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":              {nil, "zip"},
		"fifty zeros":        {make([]byte, 50), "zip"},
		"old torch":          {append([]byte("\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."), make([]byte, 30)...), "torch before 1.6"},
		"cut":                {plain[:len(plain)/2], "zip"},
		"compressed bomb":    {torchFile(t, start+strings.Repeat(dict, 1<<20)+stop, nil, zip.Deflate), "compress"},
		"compressed storage": {torchFile(t, good, map[string][]byte{"0": make([]byte, 1<<20)}, zip.Deflate), "compress"},
		"no pickle":          {renamed, "0 entries data.pkl"},
		"flipped bit":        {flipped, "checksum"},
		"claims 4 GB":        {lying(1 << 32), ""},
		"claims 2^63":        {lying(1 << 63), ""},
		"claims nothing":     {lying(0), ""},
	} {
		var err error
		if n := allocated(func() { _, err = DecodeTorch(bytes.NewReader(c.content), int64(len(c.content))) }); n > 1<<20 {
			t.Errorf("%s: a file of %d bytes allocated %d", name, len(c.content), n)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func FuzzTorch(f *testing.F) {
	f.Add(torchFile(f, stateDict("w", rebuilt(storage("ByteStorage", "0", 6), 0, []uint32{3, 2}, []uint32{1, 3})), map[string][]byte{"0": make([]byte, 6)}, zip.Store))
	f.Add([]byte("PK"))
	f.Fuzz(func(t *testing.T, content []byte) { checkTorch(t, content) })
}

func FuzzPickle(f *testing.F) {
	for _, h := range hostilePickles() {
		f.Add([]byte(h.pickle))
	}
	f.Add([]byte(stateDict("w", rebuilt(storage("ByteStorage", "0", 6), 0, []uint32{3, 2}, []uint32{1, 3}))))
	f.Fuzz(func(t *testing.T, pickled []byte) {
		checkTorch(t, torchFile(t, string(pickled), map[string][]byte{"0": make([]byte, 64)}, zip.Store))
	})
}

// checkTorch: what is read is well formed and no larger than a few times the file.
func checkTorch(t *testing.T, content []byte) {
	file, err := DecodeTorch(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return
	}
	for name, x := range file.Tensors {
		if err := x.Check(); err != nil {
			t.Fatalf("tensor %q: %v", name, err)
		}
	}
}
