package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/datasets"
	"stuffed/pkg/task"
	"stuffed/xla"
)

// taskConfig is a small run on tasks.
func taskConfig(t testing.TB, settings ...string) Config {
	t.Helper()
	c := DefaultConfig()
	err := c.Set(append([]string{"data.kind=task", "model.width=16", "model.head_dim=16", "model.state=8", "train_length=32", "batch_tokens=256", "steps=4",
		"warmup=0", "valid.sequences=4", "lr=0.01", "output=" + t.TempDir()}, settings...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTaskBatches(t *testing.T) {
	c := taskConfig(t, `data.tasks=[{"name":"mqar","length":16,"params":{"pairs":2,"vocab":20},"examples":24},{"name":"mqar","params":{"pairs":3,"vocab":20},"examples":17}]`)
	data, err := OpenData(c.Data)
	if err != nil || data.Vocab() != 20 {
		t.Fatal(data, err)
	}
	b, err := data.Batcher(c, 0, 8, 32, Member{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	short, err := task.Open("mqar", 16, map[string]any{"pairs": 2, "vocab": 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	epochs := [2]map[string]int{{}, {}}
	for step := range int64(10) { // an epoch is three batches of the first task and two of the second
		batch, err := b.Batch(step)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := b.Batch(step)
		if !slices.Equal(batch.Inputs, again.Inputs) || !slices.Equal(batch.Mask, again.Mask) {
			t.Fatal("a step is not a function of its number")
		}
		for row := range 8 {
			learned := 0
			T := batch.T
			for i := range T {
				if batch.Mask[T*row+i] {
					learned++
					if batch.Targets[T*row+i] < 10 {
						t.Fatalf("step %d learns a key", step)
					}
				}
			}
			if learned != 2 && learned != 3 || T != 16*(learned-1) {
				t.Fatalf("%d answers in a row of %d", learned, T)
			}
			epochs[step/5][fmt.Sprint(learned, batch.Inputs[T*row:][:T])]++
		}
	}
	if len(epochs[0]) != 40 || len(epochs[1]) != 40 {
		t.Errorf("%d and %d sequences in two epochs, want 40", len(epochs[0]), len(epochs[1]))
	}
	for k := range epochs[0] {
		if epochs[1][k] != 1 {
			t.Fatal("the second epoch has other sequences than the first")
		}
	}
	r, err := short.Record(3, task.TrainFrom)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for k := range epochs[0] {
		found = found || strings.HasPrefix(k, strings.TrimSuffix(fmt.Sprint(2, r.IDs), "]"))
	}
	if !found {
		t.Error("the first training sequence of the first task is not in the epoch")
	}
}

// In the order given an epoch goes through the first task, then through the second, and every epoch alike.
func TestTasksInTheOrderGiven(t *testing.T) {
	tasks := `data.tasks=[{"name":"mqar","length":16,"params":{"pairs":2,"vocab":20},"examples":24},{"name":"mqar","params":{"pairs":3,"vocab":20},"examples":17}]`
	c := taskConfig(t, tasks, "data.order=given")
	data, err := OpenData(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := data.Batcher(c, 0, 8, 32, Member{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	var lengths []int
	var first []int32
	for step := range int64(10) {
		batch, err := b.Batch(step)
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, batch.T)
		if step == 0 {
			first = batch.Inputs
		}
		if step == 5 && !slices.Equal(first, batch.Inputs) {
			t.Error("the second epoch begins with another batch")
		}
	}
	if !slices.Equal(lengths, []int{16, 16, 16, 32, 32, 16, 16, 16, 32, 32}) {
		t.Error(lengths)
	}
	for want, set := range map[string][]string{
		`data.order = "lanes"`: {tasks, "data.order=lanes"},
		"examples":             {`data.tasks=[{"name":"induction"}]`, "data.order=given"},
	} {
		c := tiny(t, append(set, "data.kind=task")...)
		if err := c.Data.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", set, err, want)
		}
	}
	if c.Hash() == taskConfig(t, tasks).Hash() {
		t.Error("the order of batches is no part of what is computed")
	}
}

func TestTaskMixtureByWeight(t *testing.T) {
	c := taskConfig(t, `data.tasks=[{"name":"induction","weight":3},{"name":"selective-copying","params":{"data":4}}]`, "data.learn=all")
	data, err := OpenData(c.Data)
	if err != nil {
		t.Fatal(err)
	}
	b, err := data.Batcher(c, 0, 200, 32, Member{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := b.Batch(1)
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for row := range 200 {
		in, out, mask := batch.Inputs[32*row:][:32], batch.Targets[32*row:][:32], batch.Mask[32*row:][:32]
		if slices.Contains(in, 17) {
			if out[31] == 0 || !mask[31] { // the last mark asks for the last token
				t.Fatal(in, out, mask)
			}
			continue
		}
		first++
		if !slices.Equal(out[:31], in[1:]) || !mask[30] || mask[31] {
			t.Fatal(in, out, mask)
		}
	}
	if first < 125 || first > 175 {
		t.Errorf("%d of 200 rows are of the task of weight 3 to 1", first)
	}
}

// padded are tasks whose shorter sequences take whole rows: the plain form of steps of several lengths.
type padded struct{ *taskData }

func (d padded) Batcher(c Config, stage, rows, length int, r Member) (datasets.Batcher, error) {
	b, err := d.taskData.Batcher(c, stage, rows, length, r)
	return paddedBatches{b, length}, err
}

type paddedBatches struct {
	datasets.Batcher
	T int
}

func (p paddedBatches) Batch(step int64) (datasets.Batch, error) {
	b, err := p.Batcher.Batch(step)
	wide := datasets.Batch{B: b.B, T: p.T, Reset: b.Reset}
	for row := range b.B {
		fill := make([]int32, p.T-b.T)
		wide.Inputs = slices.Concat(wide.Inputs, b.Inputs[row*b.T:][:b.T], fill)
		wide.Targets = slices.Concat(wide.Targets, b.Targets[row*b.T:][:b.T], fill)
		wide.Mask = slices.Concat(wide.Mask, b.Mask[row*b.T:][:b.T], make([]bool, len(fill)))
	}
	return wide, err
}

// TestStepsOfSeveralLengths: steps of short sequences, of members in an order of their own, train as steps of padded ones do.
func TestStepsOfSeveralLengths(t *testing.T) {
	d, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	c := taskConfig(t, `data.tasks=[{"name":"mqar","length":16,"params":{"pairs":2,"vocab":20},"examples":32},{"name":"mqar","params":{"pairs":5,"vocab":20},"examples":16}]`,
		"steps=12", "steps_per_call=2", "seeds=1,2")
	c, data, err := Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	losses := map[bool][][]float32{}
	var lengths []int
	for _, pad := range []bool{false, true} {
		data := data
		if pad {
			data = padded{data.(*taskData)}
		}
		m, err := c.Model.New()
		if err != nil {
			t.Fatal(err)
		}
		w, err := startWeights(m, c)
		if err != nil {
			t.Fatal(err)
		}
		trainer, err := New(d, m, w, c, data)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range trainer.calls() {
			b, err := trainer.feed.block(call.step, call.steps)
			if err != nil {
				t.Fatal(err)
			}
			if !pad {
				lengths = append(lengths, b.T)
			}
			r, err := trainer.call(b)
			if err != nil {
				t.Fatal(err)
			}
			losses[pad] = append(losses[pad], r.Loss...)
		}
	}
	if !slices.Contains(lengths, 16) || !slices.Contains(lengths, 32) {
		t.Errorf("calls have rows of %v tokens", lengths)
	}
	if len(losses[false]) != 12 || len(losses[true]) != 12 {
		t.Fatalf("%d and %d steps", len(losses[false]), len(losses[true]))
	}
	for s := range losses[true] {
		for i, want := range losses[true][s] {
			if got := losses[false][s][i]; math.Abs(float64(got-want)) > 1e-5 {
				t.Errorf("step %d, member %d: loss %g, padded %g", s, i, got, want)
			}
		}
	}
}

// TestGather compares loss and gradients with those of all positions.
func TestGather(t *testing.T) {
	const batch, tokens, width, n = 3, 12, 5, 4
	r := rand.New(rand.NewPCG(1, 2))
	hidden, labels, weight := make([]float32, batch*tokens*width), make([]int32, batch*tokens), make([]float32, batch*tokens)
	for i := range hidden {
		hidden[i] = float32(r.NormFloat64())
	}
	for i := range labels {
		labels[i] = -1
	}
	for row, known := range [][]int{{0, 3, 4, 11}, {7}, {}} {
		for _, at := range known {
			labels[row*tokens+at], weight[row*tokens+at] = int32(r.IntN(width)), float32(r.Float64())
		}
	}
	for _, backend := range []string{"go", "cpu"} {
		d, err := xla.Open(backend)
		if err != nil {
			t.Fatal(err)
		}
		results := map[bool][][]float32{}
		for _, less := range []bool{false, true} {
			e := MustNewExec(d.Backend, func(in []*Node) []*Node {
				h, l, w := in[0], in[1], in[2]
				if less {
					h, l, w = gather(h, l, w, n)
				}
				each, _ := crossEntropy(h, l, w, true)
				hit := OneHot(MaxScalar(l, 0), width, h.DType())
				loss := ReduceAllSum(Mul(w, Sub(Log(ReduceSum(Exp(h), -1)), ReduceSum(Mul(hit, h), -1))))
				return []*Node{ReduceAllSum(each), loss, Gradient(loss, in[0])[0]}
			})
			outs, err := e.Call(tensors.FromFlatDataAndDimensions(hidden, batch, tokens, width), tensors.FromFlatDataAndDimensions(labels, batch, tokens), tensors.FromFlatDataAndDimensions(weight, batch, tokens))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range outs {
				v, err := tensors.CopyFlatData[float32](o)
				if err != nil {
					t.Fatal(err)
				}
				results[less] = append(results[less], v)
			}
		}
		for k := range results[false] {
			for i, want := range results[false][k] {
				if got := results[true][k][i]; math.Abs(float64(got-want)) > 1e-5 {
					t.Fatalf("%s: result %d, entry %d is %g, want %g", backend, k, i, got, want)
				}
			}
		}
	}
}

// TestTrainOnTask learns a short task on the device that every machine has, and reports the share of right answers.
func TestTrainOnTask(t *testing.T) {
	d, err := xla.Open("cpu")
	if err != nil {
		t.Fatal(err)
	}
	c := taskConfig(t, "data.name=selective-copying", `data.params={"data":1,"letters":4}`, "train_length=8", "batch_tokens=512", "steps=150", "steps_per_call=10",
		"schedule=constant", "lr=0.01,0.003", "valid.sequences=64")
	trainer, err := Open(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if trainer.program.answers[8] != 1 {
		t.Errorf("the head works on %d tokens of a row, want 1", trainer.program.answers[8])
	}
	var said []string
	trainer.Message = func(line string) { said = append(said, line) }
	first, last := 0.0, 0.0
	trainer.Notify = func(s Status) {
		if first == 0 {
			first = s.Loss[0]
		}
		last = s.Loss[0]
	}
	if err := trainer.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !(first > 1.2 && last < 0.2) {
		t.Errorf("loss went from %g to %g", first, last)
	}
	if !strings.Contains(strings.Join(said, "\n"), "selective-copying, 8 tokens: 1.0000 of the answers right") {
		t.Errorf("said %q", said)
	}
}

func TestTaskDataRefuses(t *testing.T) {
	for want, settings := range map[string][]string{
		"data.kind = task needs data.name": {},
		"both given":                       {"data.name=mqar", `data.tasks=[{"name":"mqar"}]`},
		`data.learn = "x"`:                 {"data.name=mqar", "data.learn=x"},
		"either all tasks have a number":   {`data.tasks=[{"name":"mqar","examples":9},{"name":"mqar"}]`},
		"above train_length = 32":          {`data.tasks=[{"name":"mqar","length":64}]`},
		"has 3 examples, below the 8":      {`data.tasks=[{"name":"mqar","examples":3}]`},
		`task "poem" is unknown`:           {"data.name=poem"},
		`it has no param "pear"`:           {"data.name=mqar", `data.params={"pear":1}`},
	} {
		c := taskConfig(t, settings...)
		data, err := OpenData(c.Data)
		if err == nil {
			_, err = data.Batcher(c, 0, 8, 32, Member{})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", settings, err, want)
		}
	}
}

// TestShares counts tokens and answers of an epoch's blocks.
func TestShares(t *testing.T) {
	for _, override := range []string{
		`data.tasks=[{"name":"mqar","length":16,"params":{"pairs":2,"vocab":20},"examples":32},{"name":"mqar","params":{"pairs":5,"vocab":20},"examples":16}]`,
		`data.tasks=[{"name":"mqar","length":128,"params":{"pairs":16,"vocab":80},"examples":32},{"name":"mqar","length":128,"params":{"pairs":32,"vocab":80},"examples":16}] train_length=128 batch_tokens=1024`,
	} {
		c := taskConfig(t, strings.Fields(override)...)
		data, err := OpenData(c.Data)
		if err != nil {
			t.Fatal(err)
		}
		f, err := newFeed(c, data, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		tokens, answers := 0, 0
		const steps = 6 // an epoch: 4 of 8 sequences of the first task, 2 of the second
		for s := range int64(steps) {
			b, err := f.block(s, 1)
			if err != nil {
				t.Fatal(err)
			}
			tokens += len(b.tokens)
			for _, l := range b.labels {
				if l >= 0 {
					answers++
				}
			}
		}
		read, head, err := c.Shares()
		whole := float64(steps * c.BatchTokens)
		if err != nil || math.Abs(read-float64(tokens)/whole) > 1e-12 || math.Abs(head-float64(answers)/whole) > 1e-12 {
			t.Errorf("shares %g and %g, %v; the blocks hold %d tokens and %d answers", read, head, err, tokens, answers)
		}
	}
	if read, head, err := DefaultConfig().Shares(); read != 1 || head != 1 || err != nil {
		t.Errorf("shares %g and %g, %v", read, head, err)
	}
}
