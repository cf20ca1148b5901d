package study

import (
	"fmt"

	"stuffed/pkg/lm"
	"stuffed/xla"
)

// Memory is about how many bytes of a device of the given kind (cuda, cpu, go) a worker takes for the row: the larger of training and
// measuring; 0 if the model cannot be built. It is good to a factor of two.
func (c Config) Memory(kind string) int64 {
	m, err := c.Train.Model.New()
	if err != nil {
		return 0
	}
	training, err := c.Train.Footprint(kind)
	if err != nil {
		return 0
	}
	members := len(c.Train.Members())
	read := func(sequences, length int) int64 {
		f := lm.Estimate(m, lm.Load{Batch: members * sequences, Tokens: min(length, 512), Members: members, Logits: true})
		f.Parameters = training.Parameters / 4 * 3 // weights and moments stay, gradients do not
		return f.Peak()
	}
	need := training.Peak()
	for _, t := range c.Evaluate.Tasks {
		length := max(t.Length, c.Train.TrainLength)
		need = max(need, read(min(t.Count, 16384/min(length, 512)), length))
	}
	if len(c.Evaluate.Tasks) == 0 {
		need = max(need, read(c.Evaluate.Sequences, c.Length()))
	}
	if p := c.Evaluate.Prompts; p != nil {
		need = max(need, read(p.Sequences, c.Length()))
	}
	return need
}

// Largest is the most that one of the rows that are left takes, see [Config.Memory].
func Largest(status []RowStatus, kind string) (need int64) {
	for _, r := range status {
		if r.State != "done" {
			need = max(need, r.Config.Memory(kind))
		}
	}
	return need
}

// Share says how much memory workers on one device take, each as much as need, and, if that is more than the device has (0: unknown), how many
// fit. It is empty if need is 0.
func Share(need, memory int64, workers int) string {
	if need == 0 {
		return ""
	}
	text := fmt.Sprintf("a worker takes up to about %s of device memory (an estimate, good to a factor of two)", xla.Bytes(need))
	if memory > 0 && int64(workers)*need > memory {
		text += fmt.Sprintf("; warning: %d workers on a device take about %s, and it has %s: about %d fit; give fewer --workers",
			workers, xla.Bytes(int64(workers)*need), xla.Bytes(memory), max(memory/need, 1))
	}
	return text
}
