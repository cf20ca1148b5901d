//go:build !noxla

package xla

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"stuffed/xla/internal/compile"
	"stuffed/xla/programs"
)

// logVariable makes xla print a line on standard error for every program that is loaded or compiled.
const logVariable = "STUFFED_PROGRAMS_LOG"

var opening sync.Mutex

// keepPrograms makes the plug-in load and save its compiled programs on disk (see package programs). Where that is impossible,
// programs are compiled in every process, as without it.
func keepPrograms(plugin string) {
	log, _ := strconv.ParseBool(os.Getenv(logVariable))
	store, err := programs.Open()
	if err == nil {
		var tell func(compile.Event)
		if log {
			tell = logProgram
		}
		err = compile.Keep(plugin, store, tell)
	}
	if err != nil && log || err != nil && !errors.Is(err, programs.ErrOff) && os.Getenv(programs.FolderVariable) != "" {
		fmt.Fprintln(os.Stderr, "compiled programs are not kept:", err)
	}
}

func logProgram(e compile.Event) {
	what := "compiled"
	if e.Found {
		what = "found"
	}
	why := ""
	if e.Why != "" {
		why = " (" + e.Why + ")"
	}
	fmt.Fprintf(os.Stderr, "program %.12s %s: %s in %v, %s%s\n", e.Key, e.Name, what, e.Took.Round(time.Millisecond), Bytes(int64(e.Bytes)), why)
}
