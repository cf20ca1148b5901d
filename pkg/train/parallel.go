package train

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// One model on several devices: each has all weights and moments, and its share of the rows of every member and micro-batch. The
// step is that of one device with four sums over devices in it: of the counts of tokens, the losses, the gradients and the moments of
// states. Clipping and the optimiser come after the sums, so all devices make the same step. Row i of n on device d is row d·n + i.

// whole is the program for all rows at once: its shapes are those of snapshots.
func (p *program) whole() *program {
	w := *p
	w.rows, w.devices = p.rows*p.devices, 1
	return &w
}

// sum adds up over devices.
func (p *program) sum(n ...*Node) []*Node {
	if p.devices == 1 || len(n) == 0 {
		return n
	}
	return n[0].Graph().Distributed().AllReduce(n, compute.ReduceOpSum)
}

// shared are sums over devices of a loss and gradients, each a share of the whole, and means of moments.
func (p *program) shared(loss *Node, grads, moments []*Node) (*Node, []*Node, []*Node) {
	all := p.sum(append(append([]*Node{loss}, grads...), moments...)...)
	loss, grads, moments = all[0], all[1:1+len(grads)], all[1+len(grads):]
	if p.devices > 1 {
		for i := range moments {
			moments[i] = DivScalar(moments[i], p.devices)
		}
	}
	return loss, grads, moments
}

// firstRow is the first row of a device (uint32 scalar), nil where there is one.
func (p *program) firstRow(device *Node) *Node {
	if device == nil {
		return nil
	}
	return MulScalar(ConvertDType(device, dtypes.Uint32), p.rows)
}

// part takes the rows of a device from values [members and what is outside of them, rows, inner].
func part[E any](values []E, rows, inner, device, devices int) (out []E) {
	own := rows / devices
	for at := device * own * inner; at < len(values); at += rows * inner {
		out = append(out, values[at:][:own*inner]...)
	}
	return out
}

// put writes the rows of a device back.
func put[E any](values, own []E, rows, inner, device, devices int) {
	size := rows / devices * inner
	for at := device * size; at < len(values) && len(own) > 0; at += rows * inner {
		copy(values[at:][:size], own)
		own = own[size:]
	}
}

// of is the block of a device.
func (b *block) of(p *program, device int) *block {
	own, rows := *b, p.rows*p.devices
	own.tokens = part(b.tokens, rows, b.T, device, p.devices)
	own.labels = part(b.labels, rows, b.T, device, p.devices)
	own.keep = part(b.keep, rows, 1, device, p.devices)
	if b.starts != nil {
		own.starts = part(b.starts, rows, b.T, device, p.devices)
	}
	return &own
}

// carriedBytes is the size of one row of one layer of a tensor of the carry that belongs to rows ([micro, layers, members × rows, …]), 0 of one
// that all devices have.
func carriedBytes(name string, t *tensors.Tensor) int {
	if !strings.HasPrefix(name, "carry/") {
		return 0
	}
	d := t.Shape().Dimensions
	return int(t.Shape().ByteSize()) / (d[0] * d[1] * d[2])
}

// scatter makes shards of the carry.
func (t *Trainer) scatter() error {
	p := t.program
	shapes, names := p.shapes()
	shards := make([][]*tensors.Tensor, p.devices)
	for d := range shards {
		shards[d] = make([]*tensors.Tensor, len(names))
		for i, name := range names {
			inner := carriedBytes(name, t.carry[i])
			if inner == 0 {
				clone, err := t.carry[i].LocalClone()
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				shards[d][i] = clone
				continue
			}
			shards[d][i] = tensors.FromShape(shapes[i])
			var copied error
			err := t.carry[i].ConstBytes(func(all []byte) {
				own := part(all, p.rows*p.devices, inner, d, p.devices)
				copied = shards[d][i].MutableBytes(func(b []byte) { copy(b, own) })
			})
			if err == nil {
				err = copied
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	t.shards = shards
	return nil
}

// gather brings the carry up to date with the shards.
func (t *Trainer) gather() error {
	if t.shards == nil {
		return nil
	}
	p := t.program
	shapes, names := p.whole().shapes()
	for i, name := range names {
		inner := carriedBytes(name, t.shards[0][i])
		if inner == 0 {
			continue // that of device 0
		}
		t.carry[i] = tensors.FromShape(shapes[i])
		for d := range t.shards {
			var copied error
			err := t.shards[d][i].ConstBytes(func(own []byte) {
				copied = t.carry[i].MutableBytes(func(all []byte) { put(all, own, p.rows*p.devices, inner, d, p.devices) })
			})
			if err == nil {
				err = copied
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// runAll is run on several devices.
func (t *Trainer) runAll(b *block) (lm.Results, error) {
	if t.shards == nil {
		if err := t.scatter(); err != nil {
			return nil, err
		}
	}
	p := t.program
	all := make([]*lm.Args, p.devices)
	for d := range all {
		var err error
		if all[d], err = t.arguments(t.shards[d], compute.DeviceNum(d), b.of(p, d)); err != nil {
			return nil, fmt.Errorf("device %d: %w", d, err)
		}
	}
	outs, err := t.graph.CallAll(all)
	if err != nil {
		return nil, err
	}
	_, names := p.shapes()
	for i, name := range names {
		for d := range outs {
			t.shards[d][i] = outs[d][name]
		}
		if carriedBytes(name, outs[0][name]) == 0 {
			t.carry[i] = outs[0][name]
		}
	}
	return outs[0], nil
}
