package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Prune removes unfinished folders and all snapshots of root that the policy does not keep, and returns the removed steps. It keeps the last
// keepLast snapshots and, with ladder, the first snapshot at or after each rung 1, 2, 3, 4, 6, 8, 12, 16, 24, … times the smallest positive
// step. It must not run while a snapshot is being written.
func Prune(root string, keepLast int, ladder bool) (removed []int64, err error) {
	if keepLast < 1 {
		return nil, fmt.Errorf("keepLast is %d, must be at least 1", keepLast)
	}
	if err := restoreReplaced(root); err != nil {
		return nil, err
	}
	steps, err := Snapshots(root)
	if err != nil {
		return nil, err
	}
	keep := kept(steps, keepLast, ladder)
	for _, step := range steps {
		if slices.Contains(keep, step) {
			continue
		}
		// Renamed first, so that an interrupted removal leaves no half-empty snapshot.
		dir := filepath.Join(root, stepName(step))
		if err := os.Rename(dir, dir+".gone.tmp"); err != nil {
			return removed, err
		}
		removed = append(removed, step)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return removed, err
	}
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), "step-") && strings.HasSuffix(entry.Name(), ".tmp") {
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// kept returns the steps that stay, ascending. steps must be ascending.
func kept(steps []int64, keepLast int, ladder bool) []int64 {
	keep := slices.Clone(steps[max(0, len(steps)-keepLast):])
	first, _ := slices.BinarySearch(steps, 1)
	if !ladder || first == len(steps) {
		return keep
	}
	base, last := steps[first], steps[len(steps)-1]
	keep = append(keep, steps[:first]...)
	// Rungs 1, then 2·2^i and 3·2^i; the bound stops before a product can overflow.
	for _, start := range []int64{1, 2, 3} {
		for rung := start; rung <= last/base; rung *= 2 {
			at, found := slices.BinarySearch(steps, rung*base)
			if found || at < len(steps) {
				keep = append(keep, steps[at])
			}
			if start == 1 || rung > last/base/2 {
				break
			}
		}
	}
	slices.Sort(keep)
	return slices.Compact(keep)
}
