package collapse

import (
	"math"
	"math/rand/v2"

	"stuffed/pkg/table"
)

// scene describes synthetic tables with a known truth.
type scene struct {
	train, length, stride  int
	prompts, heads         int
	stateNoise, lossNoise  float64 // deviation of the log-norm and of the loss per row
	stateOnset, lossOnset  int     // −1: none
	jump                   float64 // factor on the norm, reached at once
	growth                 float64 // e-foldings per training length after the onset, in place of a jump
	rise                   float64 // nats
	early                  float64 // extra loss at position 0, gone after a few tokens
	drift                  float64 // factor that the norms gain over the window, kept afterwards
	skewed, fixedPromptGap bool
}

func base() scene {
	return scene{train: 256, length: 4096, stride: 8, prompts: 4, heads: 4, stateNoise: 0.1, lossNoise: 0.2,
		stateOnset: -1, lossOnset: -1, jump: 5, rise: 1}
}

// tables draws the states (heads 0 and 1 of layer 0 explode) and losses.
func (s scene) tables(seed uint64) (states, losses *table.Table) {
	random := rand.New(rand.NewPCG(seed, 99))
	var prompt, position, layer, head, lossPrompt, lossPosition []int64
	var norm, loss []float64
	for p := range s.prompts {
		offset := 0.0
		if s.fixedPromptGap {
			offset = random.NormFloat64()
		}
		for t := 0; t < s.length; t += s.stride {
			for h := range s.heads {
				mean := math.Log(10*float64(h+1)*(1-math.Exp(-float64(t+1)/20))) + offset
				mean += math.Log(s.drift+1) * min(1, float64(t)/float64(s.train))
				if h < 2 && s.stateOnset >= 0 && t >= s.stateOnset {
					if s.growth > 0 {
						mean += math.Log(2) + s.growth*float64(t-s.stateOnset)/float64(s.train)
					} else {
						mean += math.Log(s.jump)
					}
				}
				prompt, position = append(prompt, int64(p)), append(position, int64(t))
				layer, head = append(layer, int64(h/4)), append(head, int64(h%4))
				norm = append(norm, math.Exp(mean+s.stateNoise*random.NormFloat64()))
			}
			mean := 3 + s.early*math.Exp(-float64(t)/4)
			if s.lossOnset >= 0 && t >= s.lossOnset {
				mean += s.rise
			}
			noise := random.NormFloat64()
			if s.skewed {
				noise = random.ExpFloat64() - 1
			}
			lossPrompt, lossPosition = append(lossPrompt, int64(p)), append(lossPosition, int64(t))
			loss = append(loss, mean+s.lossNoise*noise)
		}
	}
	states = table.New().AddInt("prompt", prompt).AddInt("position", position).AddInt("layer", layer).AddInt("head", head).AddFloat("norm", norm)
	losses = table.New().AddInt("prompt", lossPrompt).AddInt("position", lossPosition).AddFloat("loss", loss)
	return states, losses
}
