package paper

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Unrevised says which shipped rows of studies do not record the revision of the program that made them; empty if all do.
func Unrevised(root string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(root, "*", "rows", "*", "manifest.json"))
	if err != nil {
		return "", err
	}
	all, without, plans := map[string]int{}, map[string]int{}, []string(nil)
	rows := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		var m struct {
			Run struct {
				Revision string `json:"revision"`
			} `json:"run"`
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		plan := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path))))
		if all[plan]++; m.Run.Revision != "" {
			continue
		}
		if rows++; without[plan] == 0 {
			plans = append(plans, plan)
		}
		without[plan]++
	}
	if rows == 0 {
		return "", nil
	}
	slices.Sort(plans)
	for i, p := range plans {
		plans[i] = fmt.Sprintf("%s %d of %d", p, without[p], all[p])
	}
	return fmt.Sprintf("\n### Rows without a revision\n\n%d of %d rows of the studies do not record which revision of the program made them, as they are older than that record: %s. "+
		"Claims about these studies rest on them; backend, precision and versions of the libraries are in the manifest of every row.\n",
		rows, len(paths), strings.Join(plans, ", ")), nil
}
