package train

import (
	"fmt"
	"strings"
	"time"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Estimate is what a dry run finds.
type Estimate struct {
	Members, Parameters int           // parameters of one member
	Held                int64         // bytes of weights, moments and carried states
	Activations         int64         // bytes that forward and backward need besides, roughly
	Peak                int64         // bytes of the process after two calls, 0 if not known; not the memory of a GPU
	Compile             time.Duration // of the graph, with the first call
	TokensPerSecond     float64       // of all members
	Tokens              int64         // of the run, all members
	Work                float64       // floating-point operations of the run, 6 · parameters · tokens
}

// Time is how long the run will take.
func (e Estimate) Time() time.Duration {
	return e.Compile + time.Duration(float64(e.Tokens)/e.TokensPerSecond*float64(time.Second))
}

// Estimate compiles the first stage, times two calls and says what the run will need. The trainer is of no use afterwards.
func (t *Trainer) Estimate() (Estimate, error) {
	e := Estimate{Members: len(t.program.members), Parameters: t.Weights().Count(), Tokens: t.Left()}
	for _, m := range t.carry {
		e.Held += int64(m.Shape().ByteSize())
	}
	e.Activations = t.activations()
	e.Work = 6 * float64(e.Parameters) * float64(e.Tokens)
	begin := time.Now()
	if _, err := t.Step(); err != nil {
		return e, err
	}
	e.Compile = time.Since(begin)
	begin = time.Now()
	before := t.step
	if _, err := t.Step(); err != nil {
		return e, err
	}
	e.TokensPerSecond = float64((t.step-before)*int64(t.Config.BatchTokens*e.Members)) / time.Since(begin).Seconds()
	e.Peak = xla.Resident()
	return e, nil
}

// activations are what forward and backward need: see lm.Estimate, and the gradients.
func (t *Trainer) activations() int64 {
	p := t.program
	f := lm.Estimate(t.Model, t.Config.load(t.Device.Kind, len(p.members)*p.rows, p.T, p.answers[p.T]))
	return f.Activations + f.Logits + 4*int64(t.Weights().Count()*len(p.members))
}

// load is a step on a kind of device; the CPU computes in float32 what is to be in bfloat16.
func (c Config) load(kind string, batch, T, answers int) lm.Load {
	return lm.Load{Batch: batch, Tokens: T, Answers: answers, Train: true, Half: c.Compute == "bf16" && kind == "cuda", Members: len(c.Members()),
		Save: c.Save, Unroll: c.Unroll, LogitsAtOnce: int64(logitsAtOnce(kind))}
}

// Footprint is an estimate of what a step needs on each device of a kind, without a device or data.
func (c Config) Footprint(kind string) (lm.Footprint, error) {
	m, err := c.Model.New()
	if err != nil {
		return lm.Footprint{}, err
	}
	var answers map[int]int
	if c.Data.Kind == "task" {
		data, err := openTasks(c.Data)
		if err != nil {
			return lm.Footprint{}, err
		}
		if answers, err = data.(*taskData).mostAnswers(c.TrainLength); err != nil {
			return lm.Footprint{}, err
		}
	}
	rows := c.rows(c.TrainLength) / c.Accumulate / max(c.Devices, 1)
	return lm.Estimate(m, c.load(kind, len(c.Members())*rows, c.TrainLength, answers[c.TrainLength])), nil
}

func (e Estimate) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "models            %d of %d parameters\n", e.Members, e.Parameters)
	fmt.Fprintf(&s, "memory            %s for weights, moments and states, about %s for a step\n", gigabytes(e.Held), gigabytes(e.Activations))
	if e.Peak > 0 {
		fmt.Fprintf(&s, "peak of process   %s\n", gigabytes(e.Peak))
	}
	fmt.Fprintf(&s, "first call        %s, compilation included\n", e.Compile.Round(time.Second/10))
	fmt.Fprintf(&s, "speed             %.0f tokens/s\n", e.TokensPerSecond)
	fmt.Fprintf(&s, "tokens            %d\n", e.Tokens)
	fmt.Fprintf(&s, "time              %s without validation and saving\n", e.Time().Round(time.Second))
	fmt.Fprintf(&s, "work              %.3g floating-point operations (6 × parameters × tokens)\n", e.Work)
	return s.String()
}

func gigabytes(n int64) string { return fmt.Sprintf("%.2f GB", float64(n)/1e9) }
