package train

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"stuffed/datasets"
)

// block is the input of one call: steps × micro-batches × (members × sequences) rows of T tokens.
type block struct {
	step   int64 // first, of the whole run
	steps  int
	T      int       // tokens of a row, at most that of the stage
	tokens []int32   // [steps, micro, batch, T]
	labels []int32   // likewise; −1 where the next token is of another document
	keep   []float32 // [steps, micro, batch]: 1 where the state goes on
	starts []int32   // [steps, micro, batch, T] or nil: segment numbers inside a row
	rate   []float32 // [steps, members]: learning rates
	clock  []int32   // [steps]: number of the step
}

// feed makes the blocks of one stage.
type feed struct {
	config    Config
	members   []Member
	from      int64 // first step of the stage
	total     int64
	rows, T   int // of a member; T of the longest steps
	segmented bool
	batchers  []datasets.Batcher
	first     []int // of each member, the first one that reads the same: members may differ in their rates alone
}

func newFeed(c Config, data Data, stage int, from int64) (*feed, error) {
	s := c.stages()[stage]
	f := &feed{config: c, members: c.Members(), from: from, total: c.Total(), rows: c.rows(s.TrainLength), T: s.TrainLength,
		segmented: c.Data.segmented() && !c.KeepAcross}
	for i, r := range f.members {
		first := slices.IndexFunc(f.members, func(o Member) bool { return o.Policy == r.Policy && o.Seed == r.Seed })
		f.first = append(f.first, first)
		if first < i {
			f.batchers = append(f.batchers, f.batchers[first])
			continue
		}
		b, err := data.Batcher(c, stage, f.rows, f.T, r)
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", r.Name(), err)
		}
		f.batchers = append(f.batchers, b)
	}
	return f, nil
}

// length is the number of tokens of the rows of a step: that of the stage, or less where no member has a longer sequence.
func (f *feed) length(step int64) (T int) {
	for _, b := range f.batchers {
		own := f.T
		if shorter, ok := b.(interface{ Length(step int64) int }); ok {
			own = shorter.Length(step - f.from)
		}
		T = max(T, own)
	}
	return T
}

// alike tells whether steps from … to − 1 have one length.
func (f *feed) alike(from, to int64) bool {
	for s := from + 1; s < to; s++ {
		if f.length(s) != f.length(from) {
			return false
		}
	}
	return true
}

// block generates steps step … step + steps − 1 of the run, which have one length, on all cores.
func (f *feed) block(step int64, steps int) (*block, error) {
	a, R := f.config.Accumulate, len(f.members)
	batch := R * f.rows / a
	n, T := steps*a*batch, f.length(step)
	b := &block{step: step, steps: steps, T: T, tokens: make([]int32, n*T), labels: make([]int32, n*T), keep: make([]float32, n)}
	if f.segmented {
		b.starts = make([]int32, n*T)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var first error
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for s := range steps {
		b.clock = append(b.clock, int32(step)+int32(s))
		rate := f.config.Rate(step+int64(s), f.total)
		for r, member := range f.members {
			b.rate = append(b.rate, float32(member.LR*rate))
			if f.first[r] < r {
				continue
			}
			wait.Add(1)
			slots <- struct{}{}
			go func() {
				defer func() { <-slots; wait.Done() }()
				if err := f.fill(b, s, r); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}()
		}
	}
	wait.Wait()
	return b, first
}

// fill writes the parts of one step of a member and of those that read the same.
func (f *feed) fill(b *block, s, first int) error {
	local := b.step + int64(s) - f.from
	batch, err := f.batchers[first].Batch(local)
	if err != nil {
		return fmt.Errorf("data of step %d, member %s: %w", b.step+int64(s), f.members[first].Name(), err)
	}
	for r := range f.members {
		if f.first[r] == first {
			f.put(b, s, r, local, batch)
		}
	}
	return nil
}

// put writes one member's part of a step.
func (f *feed) put(b *block, s, r int, local int64, batch datasets.Batch) {
	a, R := f.config.Accumulate, len(f.members)
	rows := f.rows / a
	var starts []bool
	if b.starts != nil {
		starts = batch.Starts()
	}
	T := batch.T
	for row := range f.rows {
		to := ((s*a+row/rows)*R+r)*rows + row%rows
		in, out := b.tokens[to*b.T:][:b.T], b.labels[to*b.T:][:b.T]
		copy(in, batch.Inputs[row*T:][:T])
		copy(out, batch.Targets[row*T:][:T])
		for i := T; i < b.T; i++ {
			out[i] = -1 // another member has longer sequences in this step
		}
		if batch.Mask != nil && !f.config.KeepAcross {
			for i := range T {
				if !batch.Mask[row*T+i] {
					out[i] = -1
				}
			}
		}
		if f.config.continues(f.members[r].Policy, local, batch.Reset[row]) {
			b.keep[to] = 1
		}
		segment := int32(0)
		for i := range T {
			if starts == nil {
				break
			}
			if i > 0 && starts[row*T+i] {
				segment++
			}
			b.starts[to*T+i] = segment
		}
	}
}

// ahead generates blocks in the order of calls until ctx ends, two ahead of their use.
func (f *feed) ahead(ctx context.Context, calls []call) <-chan made {
	out := make(chan made, 2)
	go func() {
		defer close(out)
		for _, c := range calls {
			b, err := f.block(c.step, c.steps)
			select {
			case out <- made{b, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return out
}

type made struct {
	*block
	err error
}

// call is a stretch of steps that the device makes at once.
type call struct {
	step  int64
	steps int
}
