package numeral_test

import (
	"fmt"

	"stuffed/pkg/numeral"
)

func ExampleText() {
	fmt.Println(numeral.Text(0.01234), numeral.Text(-45.67), numeral.Text(1.2e-5), numeral.Text(8192))
	// Output: 0.0123 −45.7 1.2×10⁻⁵ 8192
}

func ExampleGrouped() {
	fmt.Println(numeral.Grouped(0), numeral.Grouped(999), numeral.Grouped(65281), numeral.Grouped(-123456), numeral.Grouped(1048576))
	// Output: 0 999 65,281 −123,456 1,048,576
}
