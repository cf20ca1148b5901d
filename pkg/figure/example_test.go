package figure_test

import (
	"fmt"
	"os"

	"stuffed/pkg/figure"
	"stuffed/pkg/table"
)

// A figure from a table, saved with everything that a paper needs, and checked.
func Example() {
	dir, err := os.MkdirTemp("", "figures")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	loss := table.New().AddInt("position", []int64{64, 512, 4096}).AddFloat("loss", []float64{2.9, 2.3, 3.1})
	f, err := figure.New(figure.Curves{
		X:     figure.Axis{Column: "position", Label: "Position", Unit: "tokens", Scale: figure.Log2},
		Y:     figure.Axis{Column: "loss", Label: "Loss", Unit: "nat/token"},
		Marks: []figure.Mark{figure.TrainLength(512)},
	}, loss)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := figure.Save(dir, "loss-by-position", f, map[string]any{"command": "stuffed loss", "seeds": []int{1}}); err != nil {
		fmt.Println(err)
		return
	}
	ids, _ := figure.List(dir)
	fmt.Println(ids, figure.Check(dir, ids[0]))
	// Output: [loss-by-position] <nil>
}
