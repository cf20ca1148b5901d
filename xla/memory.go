package xla

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// Memory returns how many bytes the device can hold, see the function Memory.
func (d *Device) Memory() int64 { return Memory(d.Kind) }

// Memory returns how many bytes a device of a kind can hold, without opening it: GPU memory, or the machine's within the limit of its
// control group. 0 means unknown.
func Memory(kind string) int64 {
	memory.Lock()
	defer memory.Unlock()
	if _, known := memory.of[kind]; !known {
		if kind == "cuda" {
			memory.of[kind] = graphicsMemory()
		} else {
			memory.of[kind] = machineMemory("/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
		}
	}
	return memory.of[kind]
}

var memory = struct {
	sync.Mutex
	of map[string]int64
}{of: map[string]int64{}}

func graphicsMemory() int64 {
	out, err := exec.Command("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits").Output()
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(out), "\n")
	mib, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if err != nil {
		return 0
	}
	return mib << 20
}

func machineMemory(info string, limits ...string) (bytes int64) {
	text, err := os.ReadFile(info)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			if kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64); err == nil {
				bytes = kib << 10
			}
		}
	}
	for _, path := range limits {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 && limit < bytes {
			bytes = limit
		}
	}
	return bytes
}

// Bytes formats a number of bytes for people, such as 1.5 GiB.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, units := float64(n), "KMGTPE"
	i := -1
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.3g %ciB", v, units[i])
}
