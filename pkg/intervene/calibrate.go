package intervene

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// Calibration chooses one positive factor per layer for a control by minimising the mean loss over sequences, all tokens,
// in the logarithm of the factors with Adam.
type Calibration struct {
	Control string // delta_scale or a_scale
	Steps   int
	Rate    float64
	Zeroth  bool    // estimate the gradient from two losses per step, at random signs (SPSA), as for models too large to differentiate
	Probe   float64 // size of these signs
	Seed    uint64
}

// Run returns the factors and the loss of every step, the first at factors of 1.
func (c Calibration) Run(ctx context.Context, b *Bench, rows [][]int32) (factors, losses []float64, err error) {
	if c.Control != "delta_scale" && c.Control != "a_scale" {
		return nil, nil, fmt.Errorf("calibration: control %q has no factor per layer; choose delta_scale or a_scale", c.Control)
	}
	if c.Steps < 1 || !(c.Rate > 0) {
		return nil, nil, fmt.Errorf("calibration: %d steps at rate %g; want 1 or more, above 0", c.Steps, c.Rate)
	}
	if _, err := lm.ControlOf(b.Model, c.Control); err != nil {
		return nil, nil, fmt.Errorf("calibration: %w", err)
	}
	r := rand.New(rand.NewPCG(c.Seed, 0xca11))
	n := b.Model.Layers()
	theta, first, second := make([]float64, n), make([]float64, n), make([]float64, n)
	best, bestLoss := make([]float64, n), math.Inf(1)
	call := func(at []float64) (float64, []float64, error) { return c.call(b, rows, at) }
	for step := range c.Steps {
		if err := ctx.Err(); err != nil {
			return nil, losses, err
		}
		value, gradient, err := call(theta)
		if err != nil {
			return nil, losses, fmt.Errorf("calibration of %s: %w", c.Control, err)
		}
		losses = append(losses, value)
		if value < bestLoss {
			bestLoss = value
			copy(best, theta)
		}
		if c.Zeroth {
			signs, up, down := make([]float64, n), make([]float64, n), make([]float64, n)
			for l := range signs {
				signs[l] = float64(2*r.IntN(2) - 1)
				up[l], down[l] = theta[l]+c.Probe*signs[l], theta[l]-c.Probe*signs[l]
			}
			above, _, err := call(up)
			if err != nil {
				return nil, losses, err
			}
			below, _, err := call(down)
			if err != nil {
				return nil, losses, err
			}
			for l := range gradient {
				gradient[l] = (above - below) / (2 * c.Probe) * signs[l]
			}
		}
		for l, g := range gradient {
			first[l], second[l] = 0.9*first[l]+0.1*g, 0.99*second[l]+0.01*g*g
			t := float64(step + 1)
			theta[l] -= c.Rate * first[l] / (1 - math.Pow(0.9, t)) / (math.Sqrt(second[l]/(1-math.Pow(0.99, t))) + 1e-12)
		}
	}
	for _, v := range best {
		factors = append(factors, math.Exp(v))
	}
	return factors, losses, nil
}

// program is the mean loss and its gradient in the logarithm of the factors: parameters, tokens, labels, logs.
func (c Calibration) program(b *Bench, args *lm.Args) *lm.Program {
	m, options := b.Model, b.Runner.Options
	return b.graphs.calibrations.Get(b.Runner.Device, fmt.Sprint("calibration ", c.Control, c.Zeroth), args, func(in lm.In, out *lm.Out) {
		logs := in.Node("logs")
		factors := graph.Exp(logs) // [layers]
		per := graph.Mul(graph.InsertAxes(factors, -1), graph.Ones(factors.Graph(), shapes.Make(factors.DType(), m.Layers(), heads(m))))
		call := lm.Call{Params: in.Params(), Tokens: in.Node("tokens"), Controls: map[string]*graph.Node{c.Control: per}, Options: options}
		call.Infer = c.Zeroth
		call.NoKernels = true
		hidden := m.Forward(call).Hidden
		loss := graph.ReduceAllMean(lm.TokenLoss(m.Logits(call, hidden), in.Node("labels")))
		out.Put("loss", loss)
		if c.Zeroth {
			out.Put("gradient", graph.ZerosLike(logs))
			return
		}
		out.Put("gradient", graph.Gradient(loss, logs)[0])
	})
}

func (c Calibration) call(b *Bench, rows [][]int32, logs []float64) (loss float64, gradient []float64, err error) {
	n := len(rows[0]) - 1
	tokens, labels := make([]int32, 0, len(rows)*n), make([]int32, 0, len(rows)*n)
	for _, row := range rows {
		tokens, labels = append(tokens, row[:n]...), append(labels, row[1:]...)
	}
	at, err := lm.FromFloat64s(logs, b.weights.Values[0].DType(), len(logs))
	if err != nil {
		return 0, nil, err
	}
	args := (&lm.Args{}).Params(b.weights).Put("tokens", tensors.FromFlatDataAndDimensions(tokens, len(rows), n)).
		Put("labels", tensors.FromFlatDataAndDimensions(labels, len(rows), n)).Put("logs", at)
	r, err := c.program(b, args).Call(args)
	if err != nil {
		return 0, nil, err
	}
	value, err := lm.Float64s(r["loss"])
	if err != nil {
		return 0, nil, err
	}
	gradient, err = lm.Float64s(r["gradient"])
	return value[0], gradient, err
}

// calibrated makes a method with one calibrated factor per layer, on a few sequences of 8 T tokens.
func calibrated(control string, zeroth bool) func(context.Context, *Bench, Suite, []float64) (Method, error) {
	return func(ctx context.Context, b *Bench, s Suite, _ []float64) (Method, error) {
		s.Split = "calibration"
		s.Sequences = min(s.Sequences, 8)
		length := min(8*s.TrainLength, s.length()) + 1
		factors, _, err := Calibration{Control: control, Steps: 30, Rate: 0.05, Zeroth: zeroth, Probe: 0.05}.Run(ctx, b, s.Rows(length))
		if err != nil {
			return Method{}, err
		}
		var p Plan
		for l, f := range factors {
			p = append(p, Intervention{Kind: control, Layers: []int{l}, Value: f})
		}
		return Method{Plan: p}, nil
	}
}
