//go:build linux && cgo && !noxla

package gomlx

/*
#include <malloc.h>
// One arena, before the first thread makes its own: what does not fit into a thread's is given back at once.
__attribute__((constructor)) static void one_arena(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}
static void keep_memory(void) {
#ifdef __GLIBC__
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	mallopt(M_TOP_PAD, 64 << 20);
#endif
}
*/
import "C"

// KeepMemory makes the C library keep what XLA frees. XLA on the CPU allocates the temporaries of a graph anew at every call;
// returned to the system each time, they would cost a third of a small model's training step in page faults.
func KeepMemory() { C.keep_memory() }
