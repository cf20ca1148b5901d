package programs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	// FolderVariable names the folder of compiled programs; "off" disables it.
	FolderVariable = "STUFFED_PROGRAMS"
	// LimitVariable is the limit of that folder in MiB.
	LimitVariable = "STUFFED_PROGRAMS_LIMIT"

	defaultLimit = 4 << 10 // MiB
)

// ErrOff reports that the user wants no programs saved.
var ErrOff = errors.New("switched off by " + FolderVariable + "=off")

// Open returns the store: $STUFFED_PROGRAMS, otherwise stuffed/programs in the user's cache ($XDG_CACHE_HOME, ~/.cache). The
// folder is created if necessary, and refused if others may write to it.
func Open() (*Store, error) {
	folder := os.Getenv(FolderVariable)
	switch {
	case folder == "off":
		return nil, ErrOff
	case folder == "":
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no folder for compiled programs (set %s): %w", FolderVariable, err)
		}
		folder = filepath.Join(cache, "stuffed", "programs")
	}
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	limit := int64(defaultLimit)
	if text := os.Getenv(LimitVariable); text != "" {
		if limit, err = strconv.ParseInt(text, 10, 32); err != nil || limit < 1 {
			return nil, fmt.Errorf("%s=%q: must be a whole number of MiB from 1 on", LimitVariable, text)
		}
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Stat(folder)
	if err != nil {
		return nil, err
	}
	if !ownAlone(info) {
		return nil, fmt.Errorf("%s belongs to, or can be written to by, somebody else (%v); compiled programs are code: chmod 700 it, or set %s to a folder of your own",
			folder, info.Mode(), FolderVariable)
	}
	return &Store{Folder: folder, Limit: limit << 20}, nil
}
