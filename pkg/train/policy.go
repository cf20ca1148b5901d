package train

import (
	"fmt"
	"slices"
	"strings"
)

// Policies name the state that a sequence starts from.
//
//   - zero: zeros.
//   - carried: the last state of the text just before it (truncated back-propagation through time); zeros where a
//     document starts unless keep_across, and after chain sequences.
//   - passed: the last state of an unrelated sequence, that of the step before (arXiv 2507.02782); zeros after chain steps.
//   - gaussian: independent normal entries with standard deviation init_std.
//   - fitted: normal entries with the mean and variance, per layer and head, of the last states of the steps so far.
//   - learned: a trained state of the member's own.
//
// Gradients never enter a state that came from another sequence. The convolution's window starts from zeros under
// gaussian and fitted, and with the state under the other policies.
var Policies = []string{"zero", "carried", "passed", "gaussian", "fitted", "learned"}

func checkPolicy(name string, c Config) error {
	if !slices.Contains(Policies, name) {
		return fmt.Errorf("config: policy = %q is unknown; choose among %s", name, strings.Join(Policies, ", "))
	}
	if name == "carried" && c.Data.Kind == "recall" && c.Chain < 1 {
		return fmt.Errorf("config: chain = %d, but a recall stream that is carried needs the number of sequences that continue each other, 1 or more", c.Chain)
	}
	return nil
}

// uses tells which parts of the graph a set of members needs.
type uses struct{ carry, noise, fit, learn bool }

func usesOf(members []Member) (u uses) {
	for _, r := range members {
		switch r.Policy {
		case "carried", "passed":
			u.carry = true
		case "gaussian":
			u.noise = true
		case "fitted":
			u.noise, u.fit = true, true
		case "learned":
			u.learn = true
		}
	}
	return
}

// flags is 1 for the members of a policy, else 0: [members].
func flags(members []Member, policy string) []float32 {
	f := make([]float32, len(members))
	for i, r := range members {
		if r.Policy == policy {
			f[i] = 1
		}
	}
	return f
}

// continues says whether the state of a row is kept at a step counted from the start of its stage.
func (c Config) continues(policy string, step int64, reset bool) bool {
	if step == 0 || (c.Chain > 0 && step%int64(c.Chain) == 0) {
		return false
	}
	switch policy {
	case "passed":
		return true
	case "carried":
		return c.KeepAcross || !reset
	}
	return false
}
