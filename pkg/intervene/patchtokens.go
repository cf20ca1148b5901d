package intervene

import (
	"context"
	"fmt"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// patched are the kinds that put a probe's values in the place of a head's own.
var patched = map[string]string{lm.Values: "x_freeze", lm.Delta: "delta_freeze"}

// PatchTokens is OnText with one row per token for heads whose x and steps Δ are, token by token, those that they have at the same position
// of other texts. Sequences are paired in order and cut to the shorter of the two. The text is read one token at a time, so it takes
// as long as generating it.
func PatchTokens(ctx context.Context, m *models.Opened, texts, from prompt.Texts, heads ...Head) (*table.Table, error) {
	if len(heads) == 0 {
		return nil, fmt.Errorf("patch: name the heads")
	}
	probes, others, err := paired(m, texts, from)
	if err != nil {
		return nil, err
	}
	before, err := eval.Loss{Bucket: 1}.Table(ctx, m.Runner, probes)
	if err != nil {
		return nil, err
	}
	after := map[string][]float64{}
	for i, p := range probes {
		donor, err := record(ctx, m.Runner, others[i].IDs)
		if err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
		if after[p.Name], err = donor.into(ctx, m.Runner, p.IDs, heads); err != nil {
			return nil, fmt.Errorf("patch: %w", err)
		}
	}
	names, positions, _, _, err := eval.LossColumns(before)
	if err != nil {
		return nil, err
	}
	loss := make([]float64, len(names))
	for i, name := range names {
		loss[i] = after[name][positions[i]]
	}
	return beside(m, probes, before, table.New().AddFloat("loss", loss), 1)
}

// paired are the sequences of both texts, each pair of one length.
func paired(m *models.Opened, texts, from prompt.Texts) (probes, others []prompt.Probe, err error) {
	if probes, err = eval.Probes(m, texts); err != nil {
		return nil, nil, err
	}
	if others, err = eval.Probes(m, from); err != nil {
		return nil, nil, err
	}
	if len(others) < len(probes) {
		return nil, nil, fmt.Errorf("patch: %d sequences to patch, %d of the other text; ask for fewer with Count", len(probes), len(others))
	}
	for i := range probes {
		n := min(len(probes[i].IDs), len(others[i].IDs))
		probes[i].IDs, others[i].IDs = probes[i].IDs[:n], others[i].IDs[:n]
	}
	return probes, others[:len(probes)], nil
}

// recording is what every head does at every token, by probe: [layer][token][heads × width].
type recording map[string][][][]float64

func record(ctx context.Context, r *lm.Runner, ids []int32) (recording, error) {
	m, rec := r.Weights.Model, recording{}
	var names []string
	for name := range patched {
		if lm.HasProbe(m, name) {
			names, rec[name] = append(names, name), make([][][]float64, m.Layers())
		}
	}
	_, err := r.Run(ctx, [][]int32{ids}, nil, lm.Request{Probes: names}, func(p lm.Piece) error {
		for name, t := range p.Probes {
			v, err := lm.Float64s(t)
			if err != nil {
				return err
			}
			width := len(v) / m.Layers() / p.Padded
			for layer := range m.Layers() {
				for t := range p.Tokens {
					rec[name][layer] = append(rec[name][layer], v[(layer*p.Padded+t)*width:][:width])
				}
			}
		}
		return nil
	})
	return rec, err
}

// at is the plan that gives the heads what they did at a token.
func (rec recording) at(m lm.Model, token int, heads []Head) (plan Plan, err error) {
	for name, layers := range rec {
		v := Intervention{Kind: patched[name], Heads: heads}
		if _, err := lm.ControlOf(m, kinds[v.Kind].control); err != nil {
			return nil, err
		}
		width := v.width(m)
		for _, h := range heads {
			if h.Layer < 0 || h.Layer >= len(layers) || h.Head < 0 || (h.Head+1)*width > len(layers[h.Layer][token]) {
				return nil, fmt.Errorf("head %s does not exist", h)
			}
			v.Values = append(v.Values, layers[h.Layer][token][h.Head*width:][:width]...)
		}
		plan = append(plan, v)
	}
	return plan, nil
}

// into is the loss of every token but the last when, at each token, the heads do what was recorded there.
func (rec recording) into(ctx context.Context, r *lm.Runner, ids []int32, heads []Head) (loss []float64, err error) {
	var state lm.State
	for t := range len(ids) - 1 {
		plan, err := rec.at(r.Weights.Model, t, heads)
		if err != nil {
			return nil, err
		}
		compiled, err := plan.Compile(r.Weights.Model)
		if err != nil {
			return nil, err
		}
		req := lm.Request{Loss: true, Labels: [][]int32{{ids[t+1]}}, Offset: t}
		if req.Controls, err = compiled.Tensors(r.Weights.Values[0].DType()); err != nil {
			return nil, err
		}
		state, err = r.Run(ctx, [][]int32{{ids[t]}}, state, req, func(p lm.Piece) error {
			loss = append(loss, float64(p.Loss[0]))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return loss, nil
}
