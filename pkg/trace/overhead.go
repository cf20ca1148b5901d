package trace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"stuffed/datasets/prompt"
	"stuffed/pkg/lm"
)

// Overhead compares a traced pass with the same pass without statistics; both score every token.
type Overhead struct {
	Tokens   int     `json:"tokens"`
	Plain    float64 `json:"plain_seconds"`
	Traced   float64 `json:"traced_seconds"`
	Ratio    float64 `json:"ratio"`
	Resident int64   `json:"resident_bytes"` // largest so far of the whole process; 0 where the system does not tell
}

// Measure times both passes over tokens tokens, after a short run of each that compiles the graphs; the traced one writes
// all its tables to a folder that is removed.
func Measure(ctx context.Context, r *lm.Runner, tokens int, c Config) (Overhead, error) {
	c = c.filled()
	vocab := r.Weights.Model.Vocab()
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32((uint64(i)*2654435761 + uint64(i)*uint64(i)*40503>>3) % uint64(vocab))
	}
	dir, err := os.MkdirTemp("", "trace")
	if err != nil {
		return Overhead{}, err
	}
	defer os.RemoveAll(dir)
	short := min(tokens, 4*max(r.Piece, c.Bucket))
	own := traced(r, c.every())
	plain := func(n int) (float64, error) {
		start := time.Now()
		_, err := own.Run(ctx, [][]int32{ids[:n]}, nil, lm.Request{Loss: true}, func(lm.Piece) error { return nil })
		return time.Since(start).Seconds(), err
	}
	through := func(name string, n int) (float64, error) {
		start := time.Now()
		err := Write(ctx, own, []prompt.Probe{{Name: name, IDs: ids[:n]}}, c, filepath.Join(dir, name+".parquet"))
		return time.Since(start).Seconds(), err
	}
	if _, err := plain(short); err != nil {
		return Overhead{}, err
	}
	if _, err := through("short", short); err != nil {
		return Overhead{}, err
	}
	o := Overhead{Tokens: tokens}
	if o.Plain, err = plain(tokens); err != nil {
		return o, err
	}
	if o.Traced, err = through("long", tokens); err != nil {
		return o, err
	}
	o.Ratio, o.Resident = o.Traced/o.Plain, resident()
	return o, nil
}

// resident is the largest resident memory of this process, from the kernel's books.
func resident() int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
