package fit_test

import (
	"fmt"

	"stuffed/pkg/fit"
)

// Thresholds that grow with the state: which law do they follow?
func ExampleFit() {
	var points []fit.Point
	for _, n := range []float64{0.5, 1, 2, 4, 8} {
		points = append(points, fit.Point{N: n, Low: 5*n - 0.1, High: 5*n + 0.1})
	}
	r, err := fit.Fit(points, fit.Options{Law: "forget", Resamples: 40})
	if err != nil {
		panic(err)
	}
	fmt.Printf("T = %.0f N, in thousands of tokens and millions of state entries\n", r.Form("linear").Params["a"])
	// Output: T = 5 N, in thousands of tokens and millions of state entries
}
