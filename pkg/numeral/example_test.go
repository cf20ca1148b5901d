package numeral_test

import (
	"fmt"

	"stuffed/pkg/numeral"
)

func ExampleText() {
	fmt.Println(numeral.Text(0.01234), numeral.Text(-45.67), numeral.Text(1.2e-5), numeral.Text(8192))
	// Output: 0.0123 −45.7 1.2×10⁻⁵ 8192
}
