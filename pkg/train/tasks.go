package train

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint

	"stuffed/datasets"
	"stuffed/datasets/draw"
	"stuffed/pkg/lm"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
	"stuffed/xla"
)

// TaskConfig is a task (see package task) that models train on or answer.
type TaskConfig struct {
	Name     string         `json:"name"`
	Length   int            `json:"length,omitempty"` // tokens, 0 for train_length; what is left of a row is not learned from
	Params   map[string]any `json:"params,omitempty"`
	Weight   float64        `json:"weight,omitempty"`   // in a mixture without examples: share of the rows, relative to the others; 0 for 1
	Examples int64          `json:"examples,omitempty"` // sequences that come again in every epoch, 0 for fresh ones without end
}

// Open prepares the task for sequences of the given length where it has none of its own.
func (t TaskConfig) Open(length int, enc datasets.Encoder) (*task.Task, error) {
	if t.Length > 0 {
		length = t.Length
	}
	return task.Open(t.Name, length, t.Params, enc)
}

// tasks are those of the configuration: the one named, or the mixture.
func (d DataConfig) tasks() []TaskConfig {
	if d.Name != "" {
		return []TaskConfig{{Name: d.Name, Params: d.Params}}
	}
	return d.Tasks
}

func (d DataConfig) validateTasks() error {
	all := d.tasks()
	switch {
	case d.Name != "" && len(d.Tasks) > 0:
		return fmt.Errorf("config: data.name = %q and data.tasks are both given; name one task or a mixture", d.Name)
	case len(all) == 0:
		return fmt.Errorf("config: data.kind = task needs data.name, one of %s, or data.tasks", strings.Join(task.Names(), ", "))
	case d.Learn != "" && d.Learn != "answers" && d.Learn != "all":
		return fmt.Errorf("config: data.learn = %q is unknown; choose answers or all", d.Learn)
	case d.Order != "" && d.Order != given:
		return fmt.Errorf("config: data.order = %q is none of tasks; choose %s, or leave it out for a random order", d.Order, given)
	case d.Order == given && all[0].Examples == 0:
		return fmt.Errorf("config: data.order = %s needs tasks with a number of examples", given)
	}
	for i, t := range all {
		if t.Length < 0 || t.Examples < 0 || !(t.Weight >= 0) || math.IsInf(t.Weight, 1) {
			return fmt.Errorf("config: data.tasks[%d]: length = %d, examples = %d, weight = %g must be 0 or more", i, t.Length, t.Examples, t.Weight)
		}
		if (t.Examples > 0) != (all[0].Examples > 0) {
			return fmt.Errorf("config: data.tasks[%d]: either all tasks have a number of examples or none", i)
		}
	}
	return nil
}

// given is the order of the batches of an epoch task by task, the same in every epoch.
const given = "given"

// taskData trains on tasks. Under learn answers (the default) the loss is of the answers alone; under all it is of every
// next token, and of the answers where they are not the next token.
type taskData struct {
	DataConfig
	enc datasets.Encoder
}

func openTasks(d DataConfig) (Data, error) {
	t := &taskData{d, tokenizer.Bytes()}
	if d.Tokenizer != "" && d.Tokenizer != "bytes" {
		var err error
		if t.enc, err = tokenizer.Open(d.Tokenizer); err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
	}
	return t, nil
}

// open prepares every task for rows of length tokens.
func (d *taskData) open(length int) (all []*task.Task, err error) {
	for _, c := range d.tasks() {
		t, err := c.Open(length, d.enc)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		if t.Length > length {
			return nil, fmt.Errorf("data: task %s has length %d, above train_length = %d", c.Name, t.Length, length)
		}
		all = append(all, t)
	}
	return all, nil
}

func (d *taskData) Batcher(_ Config, stage, rows, length int, r Member) (datasets.Batcher, error) {
	tasks, err := d.open(length)
	if err != nil {
		return nil, err
	}
	b := &taskBatches{tasks: tasks, configs: d.tasks(), all: d.Learn == "all", given: d.Order == given, rows: rows, length: length, seed: stageSeed(r.Seed, stage), vocab: d.Vocab()}
	for _, c := range b.configs {
		b.batches = append(b.batches, c.Examples/int64(rows))
		if c.Examples > 0 && b.batches[len(b.batches)-1] == 0 {
			return nil, fmt.Errorf("data: task %s has %d examples, below the %d sequences of a step", c.Name, c.Examples, rows)
		}
		b.weights = append(b.weights, c.Weight)
		if c.Weight == 0 {
			b.weights[len(b.weights)-1] = 1
		}
	}
	return b, nil
}

// Held is the first task of the mixture, with other seeds than those of members.
func (d *taskData) Held(sequences, length int) (tokens [][]int32, scored [][]bool, err error) {
	t, err := task.Open(d.tasks()[0].Name, length, d.tasks()[0].Params, d.enc)
	if err != nil {
		return nil, nil, err
	}
	for i := range sequences {
		r, err := t.Record(heldSeed, int64(i))
		if err != nil {
			return nil, nil, err
		}
		on := make([]bool, length)
		for k, at := range r.Positions {
			if at+1 < length && r.IDs[at+1] == r.Answers[k] {
				on[at+1] = true
			}
		}
		tokens, scored = append(tokens, r.IDs), append(scored, on)
	}
	return tokens, scored, nil
}

// Vocab is the most ids of the tasks, that of the tokenizer rounded up to a multiple of 16.
func (d *taskData) Vocab() int { return d.vocab(d.enc) }

// TaskVocab is the number of ids of tasks made of bytes or of ids of their own.
func (d DataConfig) TaskVocab() int { return d.vocab(tokenizer.Bytes()) }

func (d DataConfig) vocab(enc datasets.Encoder) (n int) {
	for _, c := range d.tasks() {
		t, err := c.Open(4096, enc) // the number of ids does not depend on the length
		switch {
		case err != nil || t.Text:
			n = max(n, (enc.Vocab()+15)/16*16)
		default:
			n = max(n, t.Vocab())
		}
	}
	return n
}

func (d *taskData) Describe() string {
	var names []string
	for _, c := range d.tasks() {
		name := c.Name
		if params, err := json.Marshal(c.Params); err == nil && len(c.Params) > 0 {
			name += " " + string(params)
		}
		names = append(names, name)
	}
	return "tasks: " + strings.Join(names, ", ")
}

func (d *taskData) Close() error { return nil }

// mostAnswers are, by the length of a step's rows, the most tokens of a row that are learned from; a length without a limit that is
// worth it has none.
func (d *taskData) mostAnswers(length int) (map[int]int, error) {
	if d.Learn == "all" {
		return nil, nil
	}
	tasks, err := d.open(length)
	if err != nil {
		return nil, err
	}
	most := map[int]int{}
	for _, t := range tasks {
		if t.Text || t.Name == "recall" { // the number of answers differs from sequence to sequence
			return nil, nil
		}
		r, err := t.Record(heldSeed, 0)
		if err != nil {
			return nil, err
		}
		for _, other := range append(tasks, nil) { // rows of a longer step may hold this task, too: of another member
			T := length
			if other != nil {
				T = other.Length
			}
			if t.Length <= T {
				most[T] = max(most[T], len(r.Answers))
			}
		}
	}
	maps.DeleteFunc(most, func(T, n int) bool { return 2*n > T })
	return most, nil
}

// Shares are the tokens that a step's rows hold, and those that the head works on, of batch_tokens: below 1 where tasks are shorter
// than train_length, or the head works on answers alone.
func (c Config) Shares() (read, head float64, err error) {
	if c.Data.Kind != "task" {
		return 1, 1, nil
	}
	data, err := openTasks(c.Data)
	if err != nil {
		return 0, 0, err
	}
	d := data.(*taskData)
	tasks, err := d.open(c.TrainLength)
	if err != nil {
		return 0, 0, err
	}
	answers, err := d.mostAnswers(c.TrainLength)
	if err != nil {
		return 0, 0, err
	}
	longest, steps := 0, 0.0
	for _, t := range tasks {
		longest = max(longest, t.Length)
	}
	for i, t := range tasks {
		length, share := longest, 1.0
		if n := d.tasks()[i].Examples; n > 0 {
			length, share = t.Length, float64(n/int64(c.rows(c.TrainLength))) // steps of an epoch
		}
		learned := length
		if n, less := answers[length]; less {
			learned = n
			if r, err := t.Record(heldSeed, 0); err == nil && d.tasks()[i].Examples > 0 && c.Devices <= 1 { // no other task in the step
				piece := atOnce(n)
				learned = (len(r.Answers) + piece - 1) / piece * piece
			}
		}
		read, head, steps = read+share*float64(length), head+share*float64(learned), steps+share
	}
	whole := steps * float64(c.TrainLength)
	return read / whole, head / whole, nil
}

// taskBatches are batches of a mixture of tasks. With examples an epoch is every whole batch of every task once, in random
// order or in that given; without, every row is a fresh sequence of a task drawn by weight.
type taskBatches struct {
	tasks        []*task.Task
	configs      []TaskConfig
	weights      []float64
	batches      []int64 // of an epoch, by task
	all, given   bool
	rows, length int
	seed         int64
	vocab        int

	mutex  sync.Mutex
	number int64 // of the epoch of order
	order  []int
}

// Length is the number of tokens of the rows of a step: that of the longest task that may be among them.
func (b *taskBatches) Length(step int64) (tokens int) {
	if b.configs[0].Examples > 0 && step >= 0 {
		t, _ := b.choose(step, 0) // all rows are of one task
		return t.Length
	}
	for _, t := range b.tasks {
		tokens = max(tokens, t.Length)
	}
	return tokens
}

// Batch generates the sequences of a step, in rows of as many tokens as Length says.
func (b *taskBatches) Batch(step int64) (datasets.Batch, error) {
	T := b.Length(step)
	out := datasets.Batch{Inputs: make([]int32, b.rows*T), Targets: make([]int32, b.rows*T), B: b.rows, T: T,
		Reset: make([]bool, b.rows), Mask: make([]bool, b.rows*T)}
	if step < 0 {
		return out, fmt.Errorf("batch: step is %d, want 0 or more", step)
	}
	for row := range b.rows {
		t, index := b.choose(step, row)
		r, err := t.Record(b.seed, task.TrainFrom+index)
		if err != nil {
			return out, err
		}
		at := row * T
		in, target, mask := out.Inputs[at:][:T], out.Targets[at:][:T], out.Mask[at:][:T]
		copy(in, r.IDs)
		if b.all {
			copy(target, r.IDs[1:])
			for i := range len(r.IDs) - 1 {
				mask[i] = true
			}
		}
		for i, p := range r.Positions {
			target[p], mask[p] = r.Answers[i], true
		}
		out.Reset[row] = true
	}
	return out, nil
}

// choose is the task of a row and the number of its sequence.
func (b *taskBatches) choose(step int64, row int) (*task.Task, int64) {
	if b.configs[0].Examples == 0 {
		total := 0.0
		for _, w := range b.weights {
			total += w
		}
		index := step*int64(b.rows) + int64(row)
		u := draw.Unit(draw.At(draw.Key(b.seed, "mixture of tasks"), uint64(index))) * total
		for i, w := range b.weights {
			if u -= w; u < 0 {
				return b.tasks[i], index
			}
		}
		return b.tasks[len(b.tasks)-1], index
	}
	total := int64(0)
	for _, n := range b.batches {
		total += n
	}
	batch := int64(b.epoch(step/total, int(total))[step%total])
	for i, n := range b.batches {
		if batch < n {
			return b.tasks[i], batch*int64(b.rows) + int64(row)
		}
		batch -= n
	}
	return b.tasks[0], 0 // not reached: batch is below total
}

// epoch is the order of the batches of an epoch; the last one asked for is kept.
func (b *taskBatches) epoch(number int64, batches int) []int {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	switch {
	case b.given && b.order == nil:
		for i := range batches {
			b.order = append(b.order, i)
		}
	case b.order == nil || !b.given && b.number != number:
		b.number, b.order = number, draw.Permutation(draw.Key(b.seed, "epoch of tasks", number), batches)
	}
	return b.order
}

// Shape is rows and tokens per row.
func (b *taskBatches) Shape() (rows, length int) { return b.rows, b.length }

// Tokens is 0: tasks have no end.
func (b *taskBatches) Tokens() int64 { return 0 }

// Vocab is the number of ids.
func (b *taskBatches) Vocab() int { return b.vocab }

// gather keeps of every row of hidden [batch, tokens, width], labels and weight [batch, tokens] the first n positions
// whose label is 0 or more, in order; where a row has fewer, the rest has weight 0. The head then works on n tokens
// instead of all. Positions are chosen by a product with zeros and ones, which is exact and has a gradient.
func gather(hidden, labels, weight *Node, n int) (*Node, *Node, *Node) {
	g := labels.Graph()
	known := GreaterOrEqual(labels, ZerosLike(labels))
	rank := xla.RunningSum(ConvertDType(known, labels.DType())) // 1 at the first one
	place := AddScalar(Iota(g, shapes.Make(labels.DType(), 1, n, 1), 1), 1)
	chosen := And(Equal(InsertAxes(rank, 1), place), InsertAxes(known, 1))                                       // [batch, n, tokens]
	pick := func(x *Node) *Node { return ReduceSum(Mul(ConvertDType(chosen, x.DType()), InsertAxes(x, 1)), -1) } // [batch, n]
	return Einsum("bnt,btd->bnd", ConvertDType(chosen, hidden.DType()), hidden), pick(labels), pick(weight)
}

// validateTasks answers held-out sequences of every task of the data: one row per task and member, whose position is the
// task's place in the mixture and whose tokens are its answers.
func (t *Trainer) validateTasks(ctx context.Context, log *log, d *taskData) error {
	if t.runner == nil {
		t.runner = lm.NewRunner(t.Device, t.Weights())
	}
	t.runner.Weights = t.Weights()
	stages := t.Config.stages()
	tasks, err := d.open(stages[len(stages)-1].TrainLength)
	if err != nil {
		return err
	}
	for i, one := range tasks {
		rows, err := task.Test{Tasks: []*task.Task{one}, Count: t.Config.Valid.Sequences, Seed: heldSeed}.Run(ctx, t.runner)
		if err != nil {
			return fmt.Errorf("validation after step %d: %w", t.step, err)
		}
		of, err := rows.Int("member")
		if err != nil {
			return err
		}
		values := map[string][]float64{}
		for _, name := range []string{"loss", "accuracy", "answers"} {
			if values[name], err = rows.Float(name); err != nil {
				return err
			}
		}
		for r, member := range t.program.members {
			loss, accuracy, answers, n := 0.0, 0.0, 0.0, 0.0
			for k := range rows.Rows() {
				if int(of[k]) == r {
					loss, accuracy, answers, n = loss+values["loss"][k], accuracy+values["accuracy"][k], answers+values["answers"][k], n+1
				}
			}
			v := validRow{Step: t.step, Member: r, Policy: member.Policy, LR: member.LR, Seed: member.Seed, Position: i, Tokens: int(answers), Loss: finite(loss / n), Scored: finite(loss / n)}
			if err := log.valid.write(v); err != nil {
				return err
			}
			t.say("step %d, %s: %s, %d tokens: %.4f of the answers right, loss %.4f", t.step, member.Name(), one.Name, one.Length, accuracy/n, loss/n)
		}
	}
	return log.valid.flush()
}
