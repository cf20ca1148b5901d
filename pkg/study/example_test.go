package study_test

import (
	"fmt"

	"stuffed/pkg/study"
)

// A plan consists of a base configuration and the fields that vary; workers train and measure its rows.
func ExampleParsePlan() {
	p, err := study.ParsePlan([]byte(`{"name": "states", "about": "two state sizes, two lengths", "base": {
		"train": {"train_length": 64}, "tokens": 1000000, "evaluate": {"times": 16, "sequences": 4, "traced": 2, "shares": []}},
		"groups": [{"name": "grid", "axes": [
			{"field": "train.model.state", "values": [32, 64]},
			{"field": "train.train_length", "values": [64, 128]}]}]}`))
	if err != nil {
		panic(err)
	}
	rows, err := p.Rows()
	if err != nil {
		panic(err)
	}
	for _, r := range rows {
		fmt.Println(r.Label)
	}
	// Output:
	// N 32, width 256, heads 8, T 64, zero × 1 seeds
	// N 32, width 256, heads 8, T 128, zero × 1 seeds
	// N 64, width 256, heads 8, T 64, zero × 1 seeds
	// N 64, width 256, heads 8, T 128, zero × 1 seeds
}
