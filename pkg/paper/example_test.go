package paper_test

import (
	"fmt"

	"stuffed/pkg/paper"
)

// A verdict joins the sides that the parts of a claim take.
func ExampleVerdict() {
	fmt.Println(paper.Verdict(paper.For, paper.For, paper.Open))
	fmt.Println(paper.Verdict(paper.For, paper.Against))
	fmt.Println(paper.Verdict(paper.Open, paper.Open))
	// Output:
	// reproduced
	// mixed
	// undecided
}
