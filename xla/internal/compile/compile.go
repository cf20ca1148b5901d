//go:build !noxla

// Package compile replaces a PJRT plug-in's compiler by a function that looks for each program on disk and saves what the plug-in
// compiles. PJRT is a table of functions; go-xla takes a table registered under a plug-in's path for the plug-in itself, so that
// every graph of the process goes through it.
package compile

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "table.h"
*/
import "C"

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"

	"stuffed/xla/programs"
	"stuffed/xla/share"
)

// Event is one program that was loaded from disk or compiled.
type Event struct {
	Key, Name string
	Found     bool
	Took      time.Duration // to load or compile
	Bytes     int           // of the compiled program, 0 if it was not saved
	Why       string        // why it was not loaded or saved, or empty
}

// plugin is a plug-in with its own compiler and the store of its programs.
type plugin struct {
	slot     C.int
	store    *programs.Store
	identity []byte
	tell     func(Event)
}

var (
	mu      sync.Mutex
	byPath  = map[string]*plugin{}
	plugins []*plugin
)

// Keep makes go-xla use the plug-in at path (absolute) through the store, and calls tell, if not nil, for every program. It must
// be called before the plug-in is first used; a second call for the same plug-in does nothing.
func Keep(path string, store *programs.Store, tell func(Event)) error {
	mu.Lock()
	defer mu.Unlock()
	if byPath[path] != nil {
		return nil
	}
	identity, err := store.Identity(path)
	if err != nil {
		return err
	}
	p := &plugin{slot: C.int(len(plugins)), store: store, identity: identity, tell: tell}
	file := C.CString(path)
	defer C.free(unsafe.Pointer(file))
	var why text
	table := C.stuffed_interpose(file, p.slot, why.c(), C.size_t(len(why)))
	if table == nil {
		return errors.New(why.String())
	}
	plugins, byPath[path] = append(plugins, p), p
	return pjrt.RegisterPreloadedPlugin(path, uintptr(unsafe.Pointer(table)))
}

// AtOnce is how many programs of a user are compiled at once on a machine: one for each processor, and at least four. More take each other's
// processors, so that all of them begin late, the last one included.
var AtOnce = max(4, runtime.NumCPU())

//export stuffedCompile
func stuffedCompile(slot C.int, args unsafe.Pointer) unsafe.Pointer {
	mu.Lock()
	p := plugins[slot]
	mu.Unlock()
	a := (*C.compile_args)(args)
	program, name := programs.Text(view(a.program.code, a.program.code_size))
	var device text
	C.stuffed_describe(slot, a.client, device.c(), C.size_t(len(device)))
	key := programs.Key(p.identity, []byte(device.String()), view(a.program.format, a.program.format_size), program,
		view(a.compile_options, a.compile_options_size))
	defer p.store.Lock(key)()
	event := Event{Key: key, Name: name}
	if p.find(&event, a) {
		p.report(event)
		return nil
	}
	end := share.Turn(context.Background(), "compile", AtOnce)
	start := time.Now()
	failed := C.stuffed_compiled(slot, a)
	end()
	if failed != nil {
		return failed
	}
	event.Took = time.Since(start)
	kind, _, _ := bytes.Cut([]byte(device.String()), []byte("\n"))
	p.keep(&event, a, string(kind))
	p.report(event)
	return nil
}

// find loads the program from the store.
func (p *plugin) find(event *Event, a *C.compile_args) bool {
	start := time.Now()
	saved, _, err := p.store.Get(event.Key)
	if err != nil {
		return false
	}
	var why text
	if len(saved) == 0 || C.stuffed_load(p.slot, a, (*C.char)(unsafe.Pointer(&saved[0])), C.size_t(len(saved)), why.c(), C.size_t(len(why))) != 0 {
		event.Why = "refused: " + why.String()
		return false
	}
	event.Found, event.Bytes, event.Took = true, len(saved), time.Since(start)
	return true
}

// keep saves the compiled program in the store.
func (p *plugin) keep(event *Event, a *C.compile_args, device string) {
	var why text
	var size C.size_t
	raw := C.stuffed_serialized(p.slot, a.executable, &size, why.c(), C.size_t(len(why)))
	if raw == nil {
		event.Why = "not kept: " + why.String()
		return
	}
	defer C.free(unsafe.Pointer(raw))
	entry := programs.Entry{Key: event.Key, Name: event.Name, Device: device, Compile: event.Took}
	if err := p.store.Put(entry, view(raw, size)); err != nil {
		event.Why = fmt.Sprint("not kept: ", err)
		return
	}
	event.Bytes = int(size)
}

func (p *plugin) report(e Event) {
	if p.tell != nil {
		p.tell(e)
	}
}

// text is a buffer into which C writes a line.
type text [512]byte

func (t *text) c() *C.char { return (*C.char)(unsafe.Pointer(t)) }

func (t *text) String() string { return string(t[:bytes.IndexByte(t[:], 0)]) }

func view(p *C.char, n C.size_t) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n)) }
