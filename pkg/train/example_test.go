package train_test

import (
	"context"
	"fmt"

	"stuffed/pkg/train"
	"stuffed/xla"
)

// Two models, side by side in one graph, that differ by their initial state in training.
func ExampleOpen() {
	c := train.DefaultConfig()
	check(c.Set("model.layers=1", "model.width=16", "model.head_dim=8", "model.state=4", "data.keys=12", "data.values=4", "data.gap=4",
		"train_length=16", "batch_tokens=64", "steps=4", "warmup=1", "valid.every=-1", "policy=zero,carried", "chain=2", "output="))
	device, err := xla.Open("go")
	check(err)
	trainer, err := train.Open(device, c)
	check(err)
	trainer.Notify = func(s train.Status) {
		if s.Step == s.Steps {
			fmt.Println(len(s.Loss), "models,", s.Tokens, "tokens")
		}
	}
	check(trainer.Run(context.Background()))
	// Output: 2 models, 512 tokens
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
