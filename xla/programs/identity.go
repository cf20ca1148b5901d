package programs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Identity is everything that machine code depends on besides program, options and device: the plug-in and the libraries it
// compiles with, the driver, the processor with its features, and XLA's own environment variables.
func (s *Store) Identity(plugin string) ([]byte, error) {
	hash, err := s.hash(plugin)
	if err != nil {
		return nil, err
	}
	parts := []string{hash, runtime.GOOS, runtime.GOARCH, fmt.Sprint(runtime.NumCPU())}
	parts = append(parts, processor("/proc/cpuinfo")...)
	for _, path := range []string{"/proc/driver/nvidia/version", "/sys/module/nvidia/version"} {
		driver, _ := os.ReadFile(path)
		parts = append(parts, string(driver))
	}
	parts = append(parts, libraries(plugin)...)
	for _, v := range slices.Sorted(slices.Values(os.Environ())) {
		if strings.HasPrefix(v, "XLA_") || strings.HasPrefix(v, "TF_XLA") || strings.HasPrefix(v, "NVIDIA_TF32") {
			parts = append(parts, v)
		}
	}
	return json.Marshal(parts)
}

// processor returns the lines about the first processor that decide which instructions are chosen.
func processor(path string) (lines []string) {
	text, _ := os.ReadFile(path)
	first, _, _ := strings.Cut(string(text), "\n\n")
	for line := range strings.Lines(first) {
		name, _, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "flags", "Features", "model name", "model", "cpu family", "stepping", "CPU implementer", "CPU part", "CPU variant":
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// libraries returns names and sizes of NVIDIA's libraries beside a CUDA plug-in: its compiler and the kernels it chooses from.
func libraries(plugin string) (out []string) {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(plugin), "..", "nvidia", "*", "lib", "*.so*"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			out = append(out, fmt.Sprint(filepath.Base(path), " ", info.Size()))
		}
	}
	return out
}

// hash returns the SHA-256 of a plug-in. Hashing takes a second, so the result is remembered for the file's path, size and time.
func (s *Store) hash(plugin string) (string, error) {
	plugin, err := filepath.EvalSymlinks(plugin)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(plugin)
	if err != nil {
		return "", err
	}
	note := filepath.Join(s.Folder, "plugin-"+Key([]byte(fmt.Sprint(plugin, info.Size(), info.ModTime().UnixNano())))[:16])
	if known, err := os.ReadFile(note); err == nil && len(known) == 2*sha256.Size {
		return string(known), nil
	}
	f, err := os.Open(plugin)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	return sum, s.write(note, []byte(sum))
}
