package lm

import (
	"context"
	"fmt"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
)

// Spread makes n devices of the host share the batches of sequences that one measurement reads (see [Each]); each holds the weights.
func (r *Runner) Spread(n int) error {
	if have := int(r.Device.NumDevices()); n < 1 || n > have {
		return fmt.Errorf("devices: %d asked for, %s has %d; choose 1 … %d", n, r.Device.Kind, have, have)
	}
	r.devices = n
	return nil
}

// Devices is the number of devices that share the batches.
func (r *Runner) Devices() int { return max(r.devices, 1) }

// on is the runner on another device, with weights of its own; compiled graphs are shared.
func (r *Runner) on(device int) (*Runner, error) {
	if device == 0 {
		own := *r
		own.devices = 0
		return &own, nil
	}
	w := *r.Weights
	w.Values = make([]*tensors.Tensor, len(r.Weights.Values))
	for i, v := range r.Weights.Values {
		var err error
		if w.Values[i], err = v.LocalClone(); err != nil {
			return nil, fmt.Errorf("weights for device %d: %s: %w", device, w.Specs[i].Name, err)
		}
	}
	own := r.With(&w)
	own.device, own.devices = compute.DeviceNum(device), 0
	return own, nil
}

// here are controls as tensors of the runner's own device, so that devices do not share a tensor.
func (r *Runner) here(controls map[string]*tensors.Tensor) (map[string]*tensors.Tensor, error) {
	if r.device == 0 || len(controls) == 0 {
		return controls, nil
	}
	own := map[string]*tensors.Tensor{}
	for name, t := range controls {
		var err error
		if own[name], err = t.LocalClone(); err != nil {
			return nil, fmt.Errorf("control %s: %w", name, err)
		}
	}
	return own, nil
}

// Each does jobs 0 … n − 1 that do not depend on each other, one at a time on each of the runner's devices, and gives their results
// to take in order. It returns at the first error of either.
func Each[T any](ctx context.Context, r *Runner, n int, do func(ctx context.Context, r *Runner, job int) (T, error), take func(T) error) error {
	devices := min(r.Devices(), n)
	if devices < 2 {
		for job := range n {
			out, err := do(ctx, r, job)
			if err == nil {
				err = take(out)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	runners := make([]*Runner, devices)
	for d := range runners {
		var err error
		if runners[d], err = r.on(d); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	type result struct {
		out T
		err error
	}
	results := make([]chan result, n)
	for i := range results {
		results[i] = make(chan result, 1)
	}
	jobs, room := make(chan int), make(chan struct{}, 2*devices) // results wait for their turn, not without end
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, own := range runners {
		all.Go(func() {
			for job := range jobs {
				out, err := do(ctx, own, job)
				results[job] <- result{out, err}
			}
		})
	}
	all.Go(func() {
		defer close(jobs)
		for job := range n {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job:
			case <-ctx.Done():
				return
			}
		}
	})
	for job := range n {
		select {
		case got := <-results[job]:
			<-room
			err := got.err
			if err == nil {
				err = take(got.out)
			}
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Tally adds up the tokens of parts of a measurement that run side by side.
type Tally struct {
	mutex       sync.Mutex
	show        func(done, total int64)
	done, total int64
}

// NewTally shows nothing where show is nil.
func NewTally(show func(done, total int64), done, total int64) *Tally {
	return &Tally{show: show, done: done, total: total}
}

// Part returns what a part calls with the tokens that it has done so far.
func (t *Tally) Part() func(done int64) {
	before := int64(0)
	return func(done int64) {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		t.done, before = t.done+done-before, done
		if t.show != nil {
			t.show(t.done, t.total)
		}
	}
}
