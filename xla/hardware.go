package xla

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Hardware names what the device computes on, as its driver or kernel does: "NVIDIA H200", or CPU model and threads. Where Linux
// does not say, it is the plug-in or the architecture.
func (d *Device) Hardware() string {
	if d.Kind == "cuda" {
		paths, _ := filepath.Glob("/proc/driver/nvidia/gpus/*/information")
		for _, path := range paths {
			if name := entry(path, "Model"); name != "" {
				return name
			}
		}
		return d.Plugin
	}
	name := entry("/proc/cpuinfo", "model name")
	if name == "" {
		name = runtime.GOARCH
	}
	return fmt.Sprintf("%s, %d threads", name, runtime.NumCPU())
}

// entry returns the value of the first line "name : value" of a file, empty if there is none.
func entry(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, found := strings.Cut(lines.Text(), ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
