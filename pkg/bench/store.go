package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// idle is a study runner that does nothing, so that a row costs what the store costs.
type idle struct{}

func (idle) About(study.Row) (any, error) { return nil, nil }

func (idle) Run(context.Context, study.Row, string, func(study.Progress)) (study.Tables, error) {
	return study.Tables{"loss": table.New().AddFloat("loss", []float64{1})}, nil
}

// storeSeconds is the time that workers take for rows without work.
func storeSeconds(ctx context.Context, axis string, value int) (float64, error) {
	n, workers := value, 1
	if axis == "workers" {
		n, workers = 100, value
	}
	dir, err := os.MkdirTemp("", "store-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	s, err := study.OpenStore(dir)
	if err != nil {
		return 0, err
	}
	s.Beat = 50 * time.Millisecond // an idle worker looks for work after a fifth of this
	rows := make([]study.Row, n)
	for i := range rows {
		rows[i] = study.Row{Hash: fmt.Sprintf("%012d", i), Label: "no work"}
	}
	start := time.Now()
	var all sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		all.Go(func() {
			sum, err := (&study.Worker{Store: s, Runner: idle{}}).Run(ctx, rows)
			if err == nil && sum.Done != n {
				err = fmt.Errorf("%d of %d rows are done", sum.Done, n)
			}
			if err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return time.Since(start).Seconds(), nil
	}
}
