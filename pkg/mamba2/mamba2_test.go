package mamba2_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/xla"
)

func TestTinyFixtureSmoke(t *testing.T) {
	for _, name := range []string{"go", "cpu"} {
		d, err := xla.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := "../../../shared/fixtures/mamba2-tiny"
		m, w, err := models.Load(dir, dtypes.Float32)
		if err != nil {
			t.Fatal(err)
		}
		g, err := checkpoint.ReadSafetensors(dir + "/golden.safetensors")
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := g.Tensors["input_ids"].Int64s()
		shape := g.Tensors["input_ids"].Shape
		rows := make([][]int32, shape[0])
		for i, v := range ids {
			rows[i/shape[1]] = append(rows[i/shape[1]], int32(v))
		}
		truth, _ := g.Tensors["logits"].Float64s()
		for _, piece := range []int{512, 16, 7, 1} {
			r := lm.NewRunner(d, w)
			r.Piece = piece
			worst := 0.0
			V := m.Vocab()
			_, err = r.Run(context.Background(), rows, nil, lm.Request{Logits: true, Loss: true, Probes: []string{"sum", "squares", "delta"}}, func(p lm.Piece) error {
				for b := range rows {
					for t := range p.Tokens {
						for v := range V {
							worst = max(worst, math.Abs(float64(p.Logits[(b*p.Tokens+t)*V+v])-truth[(b*shape[1]+p.Start+t)*V+v]))
						}
					}
				}
				return nil
			})
			fmt.Println(name, piece, worst, err)
			if !(worst < 5e-5) || err != nil {
				t.Errorf("%s piece %d: %g %v", name, piece, worst, err)
			}
		}
	}
}
