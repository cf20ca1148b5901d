package paper

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"

	"stuffed/pkg/atomic"
	"stuffed/pkg/study"
)

// Zero states come first in every study, whatever the order of its rows, so that figures give them the same colours.
func TestZeroStatesComeFirst(t *testing.T) {
	for _, plan := range []string{RecallPlan, LongPlan} {
		along, err := AlongTraining("../../"+study.Shipped, plan, []string{"state", "policy"}, "train_length", 64)
		if err != nil {
			t.Fatal(err)
		}
		policy, _ := along.Text("policy")
		place, _ := along.Text("place")
		var order []string
		for i := range policy {
			if name := policy[i] + " " + place[i]; len(order) == 0 || order[len(order)-1] != name {
				order = append(order, name)
			}
		}
		if want := []string{"zero inside", "zero far", "passed inside", "passed far"}; len(order) != 4 || order[0] != want[0] || order[1] != want[1] || order[2] != want[2] || order[3] != want[3] {
			t.Errorf("%s: curves come as %v, want %v", plan, order, want)
		}
	}
}

// Words in figures group the digits of large numbers.
func TestFiguresGroupDigits(t *testing.T) {
	specs, err := filepath.Glob("../../figures/*/spec.json")
	if err != nil || len(specs) == 0 {
		t.Fatal(specs, err)
	}
	long := regexp.MustCompile(`(^|[^.\d])\d{5}`)
	for _, path := range specs {
		data, err := atomic.Read(path, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var spec any
		if err := json.Unmarshal(data, &spec); err != nil {
			t.Fatal(path, err)
		}
		var look func(any)
		look = func(v any) {
			switch v := v.(type) {
			case string:
				if long.MatchString(v) {
					t.Errorf("%s: digits without commas in %q", path, v)
				}
			case []any:
				for _, one := range v {
					look(one)
				}
			case map[string]any:
				for _, one := range v {
					look(one)
				}
			}
		}
		look(spec)
	}
}
