package report_test

import (
	"fmt"
	"os"
	"path/filepath"

	"stuffed/pkg/report"
)

// A generated table takes its place between the marks of a page.
func ExampleBetween() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("above\n<!-- speed -->\nold\n<!-- /speed -->\nbelow\n"), 0o644); err != nil {
		panic(err)
	}
	text, err := report.Between(page, "speed", "new\n")
	if err != nil {
		panic(err)
	}
	fmt.Print(string(text))
	// Output:
	// above
	// <!-- speed -->
	// new
	// <!-- /speed -->
	// below
}
