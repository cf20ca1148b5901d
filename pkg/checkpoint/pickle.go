package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// The unpickler below knows only what torch.save writes for a state dict: plain values, containers, five harmless globals and
// references to storages. It builds values of the types here and nothing else, so no code of the file can run. Each opcode pushes at
// most one value and texts are bounded by the bytes left, so memory stays within a small multiple of the pickle's own size.

const (
	maxPickle = 4 << 20 // bytes; a state dict of 64 layers has about 100,000
	maxRank   = 16
)

type (
	pickleMark   struct{}
	pickleGlobal string // "module name"
	pickleTuple  []any
	pickleList   struct{ items []any }
	pickleDict   struct {
		keys   []any
		values []any
	}
	pickleStorage struct {
		dtype, key string
		elements   int
	}
	pickleTensor struct {
		storage pickleStorage
		offset  int
		shape   []int
		stride  []int
	}
)

const (
	globalDict      pickleGlobal = "collections OrderedDict"
	globalTensor    pickleGlobal = "torch._utils _rebuild_tensor_v2"
	globalParameter pickleGlobal = "torch._utils _rebuild_parameter"
)

var storageDTypes = map[pickleGlobal]string{
	"torch FloatStorage": "F32", "torch HalfStorage": "F16", "torch BFloat16Storage": "BF16", "torch DoubleStorage": "F64",
	"torch LongStorage": "I64", "torch IntStorage": "I32", "torch ShortStorage": "I16", "torch CharStorage": "I8",
	"torch ByteStorage": "U8", "torch BoolStorage": "BOOL",
}

func allowedGlobal(module, name string) (pickleGlobal, error) {
	g := pickleGlobal(module + " " + name)
	if _, ok := storageDTypes[g]; ok || g == globalDict || g == globalTensor || g == globalParameter {
		return g, nil
	}
	return "", fmt.Errorf("global %q %q is not allowed: only the tensors of a plain state dict are read, and no code is run", short(module), short(name))
}

type unpickler struct {
	data  []byte
	at    int
	stack []any
	memo  map[uint64]any
}

// unpickle runs the restricted machine over one pickle and returns its value.
func unpickle(data []byte) (any, error) {
	if len(data) > maxPickle {
		return nil, fmt.Errorf("pickle has %d bytes, the limit is %d", len(data), maxPickle)
	}
	u := &unpickler{data: data, memo: map[uint64]any{}}
	for {
		start := u.at
		op, err := u.take(1)
		if err != nil {
			return nil, fmt.Errorf("pickle ends at byte %d without STOP", start)
		}
		if op[0] == '.' {
			if len(u.stack) != 1 {
				return nil, fmt.Errorf("pickle stops at byte %d with %d values on the stack, want 1", start, len(u.stack))
			}
			return u.stack[0], nil
		}
		if err := u.step(op[0]); err != nil {
			return nil, fmt.Errorf("pickle byte %d, opcode 0x%02x: %w", start, op[0], err)
		}
	}
}

func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.data)-u.at) {
		return nil, fmt.Errorf("needs %d bytes, %d are left", n, len(u.data)-u.at)
	}
	b := u.data[u.at : u.at+int(n)]
	u.at += int(n)
	return b, nil
}

// number reads an unsigned little-endian integer of 1 to 8 bytes.
func (u *unpickler) number(bytes uint64) (uint64, error) {
	b, err := u.take(bytes)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

func (u *unpickler) line() (string, error) {
	for i := u.at; i < len(u.data); i++ {
		if u.data[i] == '\n' {
			s := string(u.data[u.at:i])
			u.at = i + 1
			return s, nil
		}
	}
	return "", fmt.Errorf("line without end")
}

func (u *unpickler) push(v any) error {
	u.stack = append(u.stack, v)
	return nil
}

func (u *unpickler) pop() (any, error) {
	if len(u.stack) == 0 {
		return nil, fmt.Errorf("stack is empty")
	}
	v := u.stack[len(u.stack)-1]
	if _, ok := v.(pickleMark); ok {
		return nil, fmt.Errorf("a mark lies where a value belongs")
	}
	u.stack = u.stack[:len(u.stack)-1]
	return v, nil
}

func (u *unpickler) popN(n int) (pickleTuple, error) {
	out := make(pickleTuple, n)
	for i := n - 1; i >= 0; i-- {
		v, err := u.pop()
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// popMark returns the values above the topmost mark and removes both.
func (u *unpickler) popMark() (pickleTuple, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(pickleMark); ok {
			out := append(pickleTuple{}, u.stack[i+1:]...)
			u.stack = u.stack[:i]
			return out, nil
		}
	}
	return nil, fmt.Errorf("no mark on the stack")
}

func (u *unpickler) top() (any, error) {
	v, err := u.pop()
	if err != nil {
		return nil, err
	}
	return v, u.push(v)
}

func (u *unpickler) text(lengthBytes uint64) error {
	n, err := u.number(lengthBytes)
	if err != nil {
		return err
	}
	b, err := u.take(n)
	if err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return fmt.Errorf("text is not valid UTF-8")
	}
	return u.push(string(b))
}

func (u *unpickler) put(index uint64) error {
	v, err := u.top()
	if err != nil {
		return err
	}
	u.memo[index] = v
	return nil
}

func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := u.number(1)
		if err == nil && version > 5 {
			return fmt.Errorf("protocol %d is unknown, want 2 to 5", version)
		}
		return err
	case 0x95: // FRAME
		n, err := u.number(8)
		if err == nil && n > uint64(len(u.data)-u.at) {
			return fmt.Errorf("frame of %d bytes, %d are left", n, len(u.data)-u.at)
		}
		return err
	case 'N':
		return u.push(nil)
	case 0x88:
		return u.push(true)
	case 0x89:
		return u.push(false)
	case 'K', 'M', 'J':
		n, err := u.number(map[byte]uint64{'K': 1, 'M': 2, 'J': 4}[op])
		if err != nil {
			return err
		}
		if op == 'J' {
			return u.push(int64(int32(n)))
		}
		return u.push(int64(n))
	case 0x8a: // LONG1
		return u.long()
	case 'G':
		b, err := u.take(8)
		if err != nil {
			return err
		}
		return u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'X':
		return u.text(4)
	case 0x8c, 'U': // SHORT_BINUNICODE, and Python 2's SHORT_BINSTRING
		return u.text(1)
	case 0x8d: // BINUNICODE8
		return u.text(8)
	case 'q', 'r':
		n, err := u.number(map[byte]uint64{'q': 1, 'r': 4}[op])
		if err != nil {
			return err
		}
		return u.put(n)
	case 0x94: // MEMOIZE
		return u.put(uint64(len(u.memo)))
	case 'h', 'j':
		n, err := u.number(map[byte]uint64{'h': 1, 'j': 4}[op])
		if err != nil {
			return err
		}
		v, ok := u.memo[n]
		if !ok {
			return fmt.Errorf("memo %d was never set", n)
		}
		return u.push(v)
	}
	return u.stepContainer(op)
}

// long reads a signed little-endian integer of up to 8 bytes.
func (u *unpickler) long() error {
	n, err := u.number(1)
	if err != nil {
		return err
	}
	if n > 8 {
		return fmt.Errorf("integer of %d bytes, the limit is 8", n)
	}
	v, err := u.number(n)
	if err != nil {
		return err
	}
	shift := 64 - 8*n
	return u.push(int64(v<<shift) >> shift)
}

func (u *unpickler) stepContainer(op byte) error {
	switch op {
	case '(':
		return u.push(pickleMark{})
	case ')':
		return u.push(pickleTuple{})
	case '}':
		return u.push(&pickleDict{})
	case ']':
		return u.push(&pickleList{})
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		items, err := u.popN(int(op) - 0x84)
		if err != nil {
			return err
		}
		return u.push(items)
	case 't':
		items, err := u.popMark()
		if err != nil {
			return err
		}
		return u.push(items)
	case 's', 'u', 'a', 'e':
		return u.extend(op)
	case '0':
		_, err := u.pop()
		return err
	case 'c':
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		if err != nil {
			return err
		}
		g, err := allowedGlobal(module, name)
		if err != nil {
			return err
		}
		return u.push(g)
	case 0x93: // STACK_GLOBAL
		pair, err := u.popN(2)
		if err != nil {
			return err
		}
		module, ok1 := pair[0].(string)
		name, ok2 := pair[1].(string)
		if !ok1 || !ok2 {
			return fmt.Errorf("a global's module and name must be texts")
		}
		g, err := allowedGlobal(module, name)
		if err != nil {
			return err
		}
		return u.push(g)
	case 'R':
		pair, err := u.popN(2)
		if err != nil {
			return err
		}
		v, err := rebuild(pair[0], pair[1])
		if err != nil {
			return err
		}
		return u.push(v)
	case 'b': // BUILD: attributes of a dict (a state dict's _metadata) carry no weights
		pair, err := u.popN(2)
		if err != nil {
			return err
		}
		if _, ok := pair[0].(*pickleDict); !ok {
			return fmt.Errorf("attributes may be set on a dict only")
		}
		return u.push(pair[0])
	case 'Q':
		v, err := u.pop()
		if err != nil {
			return err
		}
		storage, err := persistentStorage(v)
		if err != nil {
			return err
		}
		return u.push(storage)
	}
	return fmt.Errorf("opcode is not allowed: only the tensors of a plain state dict are read, and no code is run")
}

// extend runs SETITEM, SETITEMS, APPEND and APPENDS.
func (u *unpickler) extend(op byte) (err error) {
	var items pickleTuple
	switch op {
	case 's':
		items, err = u.popN(2)
	case 'a':
		items, err = u.popN(1)
	default:
		items, err = u.popMark()
	}
	if err != nil {
		return err
	}
	target, err := u.top()
	if err != nil {
		return err
	}
	if op == 'a' || op == 'e' {
		list, ok := target.(*pickleList)
		if !ok {
			return fmt.Errorf("append to something that is not a list")
		}
		list.items = append(list.items, items...)
		return nil
	}
	dict, ok := target.(*pickleDict)
	if !ok {
		return fmt.Errorf("item set on something that is not a dict")
	}
	if len(items)%2 != 0 {
		return fmt.Errorf("%d keys and values for a dict: the last key has no value", len(items))
	}
	for i := 0; i < len(items); i += 2 {
		dict.keys = append(dict.keys, items[i])
		dict.values = append(dict.values, items[i+1])
	}
	return nil
}

func rebuild(callable, arguments any) (any, error) {
	g, ok := callable.(pickleGlobal)
	args, ok2 := arguments.(pickleTuple)
	if !ok || !ok2 {
		return nil, fmt.Errorf("a call needs an allowed global and a tuple")
	}
	switch g {
	case globalDict:
		if len(args) != 0 {
			return nil, fmt.Errorf("OrderedDict takes no arguments here, got %d", len(args))
		}
		return &pickleDict{}, nil
	case globalParameter:
		if len(args) < 2 || len(args) > 4 {
			return nil, fmt.Errorf("_rebuild_parameter has %d arguments, want 2 to 4", len(args))
		}
		if t, ok := args[0].(*pickleTensor); ok {
			return t, nil
		}
		return nil, fmt.Errorf("_rebuild_parameter of something that is not a tensor")
	case globalTensor:
		return rebuildTensor(args)
	}
	return nil, fmt.Errorf("%q cannot be called", string(g))
}

func rebuildTensor(args pickleTuple) (*pickleTensor, error) {
	if len(args) < 4 || len(args) > 7 {
		return nil, fmt.Errorf("_rebuild_tensor_v2 has %d arguments, want 4 to 7", len(args))
	}
	storage, ok := args[0].(pickleStorage)
	if !ok {
		return nil, fmt.Errorf("_rebuild_tensor_v2: first argument is not a storage")
	}
	offset, ok := args[1].(int64)
	if !ok || offset < 0 || offset > int64(storage.elements) {
		return nil, fmt.Errorf("_rebuild_tensor_v2: offset %v is outside the storage of %d elements", args[1], storage.elements)
	}
	shape, err := intTuple("size", args[2])
	if err != nil {
		return nil, err
	}
	stride, err := intTuple("stride", args[3])
	if err != nil {
		return nil, err
	}
	t := &pickleTensor{storage, int(offset), shape, stride}
	return t, t.check()
}

func intTuple(what string, v any) ([]int, error) {
	items, ok := v.(pickleTuple)
	if !ok || len(items) > maxRank {
		return nil, fmt.Errorf("%s must be a tuple of at most %d whole numbers", what, maxRank)
	}
	out := make([]int, len(items))
	for i, item := range items {
		n, ok := item.(int64)
		if !ok || n < 0 {
			return nil, fmt.Errorf("%s[%d] is not a whole number from 0", what, i)
		}
		out[i] = int(n)
	}
	return out, nil
}

// check returns an error unless every element of the view lies within its storage.
func (t *pickleTensor) check() error {
	if len(t.shape) != len(t.stride) {
		return fmt.Errorf("size has %d dimensions, stride %d", len(t.shape), len(t.stride))
	}
	n, err := elements(t.shape)
	if err != nil {
		return err
	}
	if n > t.storage.elements {
		return fmt.Errorf("tensor of shape %v has more elements than its storage, %d", t.shape, t.storage.elements)
	}
	if n == 0 {
		return nil
	}
	last := t.offset
	for i, d := range t.shape {
		if d > 1 && t.stride[i] > (math.MaxInt-last)/(d-1) {
			return fmt.Errorf("stride %d overflows", t.stride[i])
		}
		last += (d - 1) * t.stride[i]
	}
	if last >= t.storage.elements {
		return fmt.Errorf("tensor of shape %v, stride %v at offset %d reaches element %d of a storage of %d", t.shape, t.stride, t.offset, last, t.storage.elements)
	}
	return nil
}

func persistentStorage(v any) (pickleStorage, error) {
	id, ok := v.(pickleTuple)
	if !ok || len(id) != 5 || id[0] != "storage" {
		return pickleStorage{}, fmt.Errorf("persistent id must be ('storage', type, key, location, elements)")
	}
	g, _ := id[1].(pickleGlobal)
	dtype, ok := storageDTypes[g]
	if !ok {
		return pickleStorage{}, fmt.Errorf("storage type is not one of the allowed torch storages")
	}
	key, ok := id[2].(string)
	if !ok || key == "" {
		return pickleStorage{}, fmt.Errorf("storage key must be a text")
	}
	n, ok := id[4].(int64)
	if !ok || n < 0 {
		return pickleStorage{}, fmt.Errorf("storage size must be a whole number from 0")
	}
	return pickleStorage{dtype, key, int(n)}, nil
}
