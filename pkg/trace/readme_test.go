package trace_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/models"
	"stuffed/pkg/trace"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The README's example: state norms of every head while a model reads.
func Example() {
	model := must(models.Open("preset:byte", "go", "bytes"))
	newlines := must(prompt.Constant('\n', 512))
	tables := must(trace.Collect(context.Background(), model.Runner, []prompt.Probe{newlines}, trace.Config{Bucket: 128}))
	norms := must(tables[trace.States].Float("norm"))
	fmt.Println(len(norms), "norms: 4 buckets of 2 layers with 4 heads")
	// Output: 32 norms: 4 buckets of 2 layers with 4 heads
}

func TestReadmeShowsTheExample(t *testing.T) {
	readme, source := string(must(os.ReadFile("../../README.md"))), string(must(os.ReadFile("readme_test.go")))
	_, block, found := strings.Cut(readme, "```go\n")
	block, _, closed := strings.Cut(block, "```")
	lines := strings.Split(strings.TrimSpace(block), "\n")
	if !found || !closed || len(lines) != 5 {
		t.Fatalf("the README has no Go example of five lines: %q", block)
	}
	if !strings.Contains(source, "\t"+strings.Join(lines, "\n\t")+"\n") {
		t.Error("the README's example is not the one that is tested")
	}
}
