package view

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"stuffed/pkg/table"
)

// Training shows the curves of runs as [train.ReadRuns] reads them.
func Training(runs *table.Table) (View, error) {
	return Lines(runs, "tokens", "Tokens trained on", "loss", "Training loss (nat/token)", "run")
}

// Follow shows a view of a table and draws it anew, in its place, whenever the table has become longer, until ctx ends: training curves
// while models train, in this cell or in another program. A table that is not there yet is waited for.
func Follow(ctx context.Context, every time.Duration, read func() (*table.Table, error), of func(*table.Table) (View, error)) error {
	id := gonbui.UniqueId()
	return follow(ctx, every, read, func(t *table.Table, first, last bool) error {
		v, err := of(t)
		if err != nil {
			return err
		}
		if !gonbui.IsNotebook {
			if last {
				return v.Show()
			}
			return nil
		}
		body, err := v.html(gonbui.UniqueId(), first || last) // the last one stays, also in an exported page
		if err == nil {
			gonbui.UpdateHTML(id, body)
		}
		return err
	})
}

// follow calls show for the table whenever it has grown, and once more at the end.
func follow(ctx context.Context, every time.Duration, read func() (*table.Table, error), show func(t *table.Table, first, last bool) error) error {
	rows := 0
	look := func(last bool) error {
		t, err := read()
		switch {
		case errors.Is(err, fs.ErrNotExist) && !last:
			return nil
		case err != nil:
			return err
		case t.Rows() == 0 || t.Rows() == rows && !last:
			return nil
		}
		first := rows == 0
		rows = t.Rows()
		return show(t, first, last)
	}
	clock := time.NewTicker(every)
	defer clock.Stop()
	for {
		if err := look(false); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return look(true)
		case <-clock.C:
		}
	}
}
