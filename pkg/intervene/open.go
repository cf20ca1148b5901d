package intervene

import (
	"path/filepath"
	"slices"
	"strings"

	"stuffed/pkg/models"
)

// Open loads model folders (see models.Open) on one device, for pieces of so many tokens, 0 for the runner's choice. They
// are named after their folders, with parent folders where names would be alike.
func Open(dirs []string, backend string, piece int) (all []Named, err error) {
	opened, err := models.OpenAll(dirs, backend, "")
	if err != nil {
		return nil, err
	}
	shapes := map[string]*Bench{}
	for i, name := range names(dirs) {
		if piece > 0 {
			opened[i].Piece = piece
		}
		b, err := NewBench(opened[i].Runner)
		if err != nil {
			return nil, err
		}
		shape := b.Model.Name() + " " + b.Model.Hash()
		if like := shapes[shape]; like != nil {
			b = like.with(b.weights)
		} else {
			shapes[shape] = b
		}
		all = append(all, Named{name, b})
	}
	return all, nil
}

func names(dirs []string) []string {
	for depth := 1; ; depth++ {
		var short []string
		longest := 0
		for _, dir := range dirs {
			parts := strings.Split(filepath.ToSlash(filepath.Clean(dir)), "/")
			longest = max(longest, len(parts))
			short = append(short, strings.Join(parts[max(0, len(parts)-depth):], "/"))
		}
		if len(slices.Compact(slices.Sorted(slices.Values(short)))) == len(short) || depth >= longest {
			return short
		}
	}
}
