package lm_test

import (
	"context"
	"fmt"

	"stuffed/pkg/arch/toy"
	"stuffed/pkg/lm"
	"stuffed/xla"
)

// A sequence is read in two parts, the state carried between them by name; what a model lacks is an error.
func ExampleRunner_Run() {
	device, err := xla.Open("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	m := toy.Model{Config: toy.Config{Layers: 1, Width: 4, Heads: 2, Keys: 2, Values: 2, Vocab: 8}}
	w, err := lm.InitialWeights(m, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := lm.NewRunner(device, w)
	state, err := r.Run(context.Background(), [][]int32{{1, 2, 3}}, nil, lm.Request{}, nil)
	fmt.Println(state["memory"].Shape(), err)
	_, err = r.Run(context.Background(), [][]int32{{4, 5}}, state, lm.Request{Loss: true}, func(p lm.Piece) error {
		fmt.Println(len(p.Loss), "losses, the last of which no token follows")
		return nil
	})
	fmt.Println(err)
	_, err = r.Run(context.Background(), [][]int32{{4}}, nil, lm.Request{Probes: []string{"delta"}}, nil)
	fmt.Println(err)
	// Output:
	// (Float32)[1, 1, 2, 2, 2] <nil>
	// 2 losses, the last of which no token follows
	// <nil>
	// toy has no probe "delta"; it has log_alpha, x, B, C, hidden, inputs/previous, states/previous, states, sum, squares, states/normaliser, sum/normaliser, squares/normaliser
}
