package trace

import (
	"context"
	"errors"
	"testing"

	"stuffed/pkg/lm"
)

// All pieces are taken, in order; an error on either side stops the other and is returned.
func TestAlongside(t *testing.T) {
	late, full := errors.New("late"), errors.New("disk full")
	for _, c := range []struct {
		made, fails int // pieces before the producer's error; index of the piece that take fails on, or −1
		want        error
	}{{50, -1, late}, {0, -1, late}, {50, 3, full}, {50, 49, full}} {
		var taken []int
		err := alongside(context.Background(), func(ctx context.Context, emit func(lm.Piece) error) error {
			for i := range c.made {
				if err := emit(lm.Piece{Start: i}); err != nil {
					return err
				}
			}
			return late
		}, func(p lm.Piece) error {
			if p.Start == c.fails {
				return full
			}
			taken = append(taken, p.Start)
			return nil
		})
		wanted := c.made
		if c.fails >= 0 {
			wanted = c.fails
		}
		if !errors.Is(err, c.want) || len(taken) != wanted {
			t.Errorf("%+v: %v after %v", c, err, taken)
		}
		for i, start := range taken {
			if i != start {
				t.Errorf("%+v: taken %v", c, taken)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := alongside(ctx, func(ctx context.Context, emit func(lm.Piece) error) error {
		for {
			if err := emit(lm.Piece{}); err != nil {
				return err
			}
		}
	}, func(lm.Piece) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run ends with %v", err)
	}
}
