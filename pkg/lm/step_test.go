package lm_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gomlx/gomlx/core/graph"

	"stuffed/pkg/lm"
)

// stepped has a form of its own for one token: it doubles what is constant before the loop and halves it inside.
type stepped struct {
	lm.Model
	used *int
}

func (m stepped) Step(call lm.Call) *lm.Step {
	*m.used++
	specs := m.Parameters(1)
	var consts []*graph.Node
	for _, s := range specs {
		consts = append(consts, graph.MulScalar(call.Params[s.Name], 2))
	}
	return &lm.Step{Consts: consts, Run: func(consts []*graph.Node, tokens *graph.Node, state map[string]*graph.Node) (logits *graph.Node, next map[string]*graph.Node) {
		c := lm.Call{Params: map[string]*graph.Node{}, Tokens: graph.InsertAxes(tokens, 1), State: state, Options: call.Options}
		for i, s := range specs {
			c.Params[s.Name] = graph.MulScalar(consts[i], 0.5)
		}
		out := m.Forward(c)
		return graph.Squeeze(m.Logits(c, out.Hidden), 1), out.State
	}}
}

func TestStepsOfAModelsOwnFormGiveTheSameTokens(t *testing.T) {
	plain := small(t, "go")
	used := 0
	w := *plain.Weights
	w.Model = stepped{w.Model, &used}
	own := lm.NewRunner(plain.Device, &w)
	for _, s := range []lm.Sampling{{Chunk: 4}, {Chunk: 4, Temperature: 0.7, TopP: 0.9, Seed: 3}} {
		var made [2][][]int32
		for i, r := range []*lm.Runner{plain, own} {
			var err error
			if made[i], err = r.Generate(context.Background(), prompts(2, 5), 9, s, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(made[0]) != fmt.Sprint(made[1]) {
			t.Errorf("%+v: by steps %v, else %v", s, made[1], made[0])
		}
	}
	if used == 0 {
		t.Error("the model's own form was not used")
	}
}
