package xla

import "regexp"

// The words of XLA's allocators and of NVIDIA's libraries. PJRT's code 8 alone says less: a kernel that asks for too much shared memory has it,
// too. The Go backend has no such error: the process ends.
var (
	exhausted = regexp.MustCompile(`(?i)\bout of memory\b|_out_of_memory\b|failed to allocate (request for )?[0-9]|[a-z]_alloc_failed\b`)
	arena     = regexp.MustCompile(`\bArena\(`) // of go-xla's calls, on the host: a fault of the program
	asked     = regexp.MustCompile(`(?i)allocat(?:e|ing)(?: request for)? ([0-9.]+ ?(?:[KMGT]i?B|B|bytes)\b)`)
)

// OutOfMemory reports whether an error says that the device had no memory left, and how much was asked for, where it says so. Another
// process may have taken the memory: the same work may do later or alone.
func OutOfMemory(err error) (size string, out bool) {
	if err == nil {
		return "", false
	}
	text := err.Error()
	if !exhausted.MatchString(text) || arena.MatchString(text) {
		return "", false
	}
	if m := asked.FindStringSubmatch(text); m != nil {
		size = m[1]
	}
	return size, true
}
