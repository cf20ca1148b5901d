package train

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"stuffed/pkg/mamba2"
)

// Estimate is what a dry run finds.
type Estimate struct {
	Replicas, Parameters int           // parameters of one replica
	Held                 int64         // bytes of weights, moments and carried states
	Activations          int64         // bytes that forward and backward need besides, roughly
	Peak                 int64         // bytes of the process after two calls, 0 if not known; not the memory of a GPU
	Compile              time.Duration // of the graph, with the first call
	TokensPerSecond      float64       // of all replicas
	Tokens               int64         // of the run, all replicas
	Work                 float64       // floating-point operations of the run, 6 · parameters · tokens
}

// Time is how long the run will take.
func (e Estimate) Time() time.Duration {
	return e.Compile + time.Duration(float64(e.Tokens)/e.TokensPerSecond*float64(time.Second))
}

// Estimate compiles the first stage, times two calls and says what the run will need. The trainer is of no use afterwards.
func (t *Trainer) Estimate() (Estimate, error) {
	e := Estimate{Replicas: len(t.program.replicas), Parameters: t.Weights().Count(), Tokens: t.Left()}
	for _, m := range t.memory {
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
	e.TokensPerSecond = float64((t.step-before)*int64(t.Config.BatchTokens*e.Replicas)) / time.Since(begin).Seconds()
	e.Peak = peakMemory()
	return e, nil
}

// activations counts what layers keep, the states between chunks and gates of one layer, and one piece of logits.
func (t *Trainer) activations() int64 {
	m, ok := t.Model.(mamba2.Model)
	if !ok {
		return 0
	}
	p := t.program
	batch := len(p.replicas) * p.rows
	tokens := int64(batch) * int64(p.T)
	wide := int64(2*m.Inner() + 2*m.Groups*m.Config.State + m.Heads())
	products := int64(4)
	if t.Config.Compute == "bf16" {
		products = 2
	}
	kept := 4 * int64(m.Width)
	switch t.Config.Save {
	case "proj":
		kept += products * wide
	case "all":
		kept += products*wide + 4*int64(m.Inner())
	}
	q := int64(min(m.Chunk, p.T))
	chunks := (int64(p.T) + q - 1) / q
	layer := tokens*(8*wide+4*q*int64(m.Heads())*2) + 3*4*int64(batch)*chunks*int64(m.Inner()*m.Config.State)
	if t.Config.Unroll {
		layer *= int64(m.Config.Layers)
	}
	n := max(t.Config.LossPieces, 1)
	if t.Config.LossPieces == 0 {
		n = pieces(batch, p.T, m.Vocab(), p.logits)
	}
	logits := 3 * 4 * tokens / int64(n) * int64(m.Vocab())
	return int64(m.Config.Layers)*tokens*kept + layer + logits + 4*int64(t.Weights().Count()*len(p.replicas)) // and gradients
}

func (e Estimate) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "models            %d of %d parameters\n", e.Replicas, e.Parameters)
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

// peakMemory is the largest resident size of the process so far, 0 where the system does not tell.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, ok := strings.Cut(string(status), "VmHWM:")
	if !ok {
		return 0
	}
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

func gigabytes(n int64) string { return fmt.Sprintf("%.2f GB", float64(n)/1e9) }
