//go:build !noxla

package xla

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stuffed/xla/internal/compile"
	"stuffed/xla/share"
)

// While as many programs are compiled as may be at once, one more waits.
func TestSoManyCompileAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var ends []func()
	for range compile.AtOnce {
		ends = append(ends, share.Turn(t.Context(), "compile", compile.AtOnce))
	}
	folder := filepath.Join(t.TempDir(), "programs")
	over := make(chan string, 1)
	go func() {
		results, _ := run(t, folder, "waits")
		over <- results
	}()
	found := func(pattern string) bool {
		files, _ := filepath.Glob(filepath.Join(folder, pattern)) // the pattern is well formed
		return len(files) > 0
	}
	for begun := false; !begun; begun = found(".lock-*") { // from then on it compiles, or waits for that
		select {
		case results := <-over:
			if !strings.HasPrefix(results, "absent") {
				t.Error("one more was compiled")
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	for begin := time.Now(); !found("*.program") && time.Since(begin) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	if found("*.program") {
		t.Error("one more was compiled")
	}
	for _, end := range ends {
		end()
	}
	if <-over; !found("*.program") {
		t.Error("it did not compile after a turn had ended")
	}
}
