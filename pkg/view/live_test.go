package view

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"stuffed/pkg/table"
)

// A run that begins later, grows and ends is drawn when it has grown, and once more when all is over.
func TestFollowDrawsWhatHasGrown(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	var seen []string
	reads := 0
	err := follow(ctx, time.Millisecond, func() (*table.Table, error) {
		reads++
		switch {
		case reads < 3:
			return nil, fmt.Errorf("metrics: %w", fs.ErrNotExist)
		case reads == 9:
			stop()
		}
		return table.New().AddFloat("loss", make([]float64, reads/3)), nil
	}, func(table *table.Table, first, last bool) error {
		seen = append(seen, fmt.Sprint(table.Rows(), first, last))
		return nil
	})
	if got := strings.Join(seen, ", "); err != nil || got != "1 true false, 2 false false, 3 false false, 3 false true" {
		t.Errorf("%s, %v", got, err)
	}
	ctx, stop = context.WithCancel(context.Background())
	stop()
	missing := func() (*table.Table, error) { return nil, fs.ErrNotExist }
	if err := follow(ctx, time.Millisecond, missing, nil); err == nil {
		t.Error("a table that never came is no error")
	}
}

func ExampleTraining() {
	v, err := Training(table.New().AddText("run", []string{"a", "a"}).AddFloat("tokens", []float64{1, 2}).AddFloat("loss", []float64{5, 4}))
	if err != nil {
		panic(err)
	}
	fmt.Println(v.Title)
	// Output: Training loss (nat/token)
}
