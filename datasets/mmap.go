package datasets

import (
	"encoding/binary"
	"unsafe"
)

// asUint16 views little-endian bytes as uint16, in place where the machine is little-endian.
func asUint16(raw []byte) []uint16 {
	if len(raw) < 2 {
		return nil
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return unsafe.Slice((*uint16)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw)/2)
	}
	ids := make([]uint16, len(raw)/2)
	for i := range ids {
		ids[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return ids
}
