package xla

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

// checkPlugin rejects files that would crash the dynamic loader or go-xla: truncated, for another machine, or without the PJRT
// entry point.
func checkPlugin(path string) error {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("plug-in %s: %w", name, err)
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("plug-in %s is not a shared library (%v); install it again with make setup", name, err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 && f.Machine != elf.EM_AARCH64 || f.Type != elf.ET_DYN {
		return fmt.Errorf("plug-in %s is a %v of %v, not a shared library of this machine", name, f.Type, f.Machine)
	}
	for _, p := range f.Progs {
		if end := int64(p.Off + p.Filesz); p.Type == elf.PT_LOAD && end > info.Size() {
			return fmt.Errorf("plug-in %s is cut: it has %d bytes and needs %d; install it again with make setup", name, info.Size(), end)
		}
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return fmt.Errorf("plug-in %s: unreadable symbols (%v); install it again with make setup", name, err)
	}
	for _, s := range symbols {
		if s.Name == "GetPjrtApi" && s.Section != elf.SHN_UNDEF {
			return nil
		}
	}
	return fmt.Errorf("plug-in %s has no symbol GetPjrtApi: it is not a PJRT plug-in", name)
}
