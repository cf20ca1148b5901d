//go:build !noxla

package xla

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stuffed/xla/share"
)

// While four processes compile, a fifth waits.
func TestFourCompileAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var ends []func()
	for range 4 {
		ends = append(ends, share.Turn(t.Context(), "compile", 4))
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
				t.Error("a fifth process compiled beside four")
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	for begin := time.Now(); !found("*.program") && time.Since(begin) < 2*time.Second; time.Sleep(10 * time.Millisecond) {
	}
	if found("*.program") {
		t.Error("a fifth process compiled beside four")
	}
	for _, end := range ends {
		end()
	}
	if <-over; !found("*.program") {
		t.Error("it did not compile after a turn had ended")
	}
}
