package report

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
)

// Named is one of several models that are looked at side by side.
type Named struct {
	Label       string
	Model       string // folder, preset:NAME, or a name on the hub
	TrainLength int    // tokens, where the model's folder does not tell
}

// SizeRow is what is said of the size of a model.
type SizeRow struct {
	Model        string `parquet:"model" doc:"model"`
	Architecture string `parquet:"architecture" doc:"architecture"`
	Parameters   int    `parquet:"parameters" doc:"number of parameters"`
	State        int    `parquet:"state" doc:"scalars of the recurrent state"`
	Carried      int    `parquet:"carried" doc:"the same with windows of inputs"`
	Grows        int    `parquet:"grows" doc:"1 if the state is a cache that grows, otherwise 0"`
	Weights      string `parquet:"weights" doc:"trained or initial"`
}

// Sizes are the sizes of models, without loading them where their configuration is enough: a table of [SizeRow].
func Sizes(all []Named) (*table.Table, error) {
	var rows []SizeRow
	for _, n := range all {
		m, err := models.Open(n.Model, "go", "")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Label, err)
		}
		sizes, growing := m.Weights.Model.Configuration().Sizes(), 0
		if slices.ContainsFunc(m.Weights.Model.State(1), func(s lm.Spec) bool { return s.Grows }) {
			growing = 1
		}
		made := "trained"
		if strings.HasPrefix(m.Dir, "preset:") {
			made = "initial"
		}
		rows = append(rows, SizeRow{n.Label, m.Weights.Model.Name(), m.Weights.Count(), sizes.Recurrent, sizes.Carried, growing, made})
	}
	return table.Of(rows), nil
}

// LookAtModels is LookAtKinds for several models: both tables begin with the column model. Of a model without a recurrent
// state there are losses only.
func LookAtModels(ctx context.Context, q Question, all []Named, kinds []eval.Labelled, root string) (*Kinds, error) {
	out := &Kinds{Verdicts: table.New(), Curves: table.New()}
	for _, n := range all {
		q.Model, q.TrainLength, q.open = n.Model, n.TrainLength, nil
		m, err := models.Open(n.Model, "go", "")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.Label, err)
		}
		one := &Kinds{Verdicts: table.New()}
		if _, err := lm.StateOf(m.Weights.Model, ""); err == nil {
			one, err = LookAtKinds(ctx, q, kinds, root)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.Label, err)
			}
		} else if one.Curves, err = lossesOnly(ctx, q, kinds, root+"/"+n.Label); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Label, err)
		}
		for _, part := range []struct{ from, to *table.Table }{{one.Verdicts, out.Verdicts}, {one.Curves, out.Curves}} {
			if part.from.Rows() == 0 {
				continue
			}
			named := table.New().AddText("model", slices.Repeat([]string{n.Label}, part.from.Rows())).Beside(part.from)
			if err := part.to.Append(named); err != nil {
				return nil, err
			}
		}
		out.Seen = append(out.Seen, one.Seen...)
	}
	return out, nil
}

// lossesOnly are the curves of a model whose states there are none of.
func lossesOnly(ctx context.Context, q Question, kinds []eval.Labelled, dir string) (*table.Table, error) {
	m, err := models.Open(q.Model, q.Backend, "")
	if err != nil {
		return nil, err
	}
	t, err := eval.CompareLoss(ctx, m, kinds, eval.Loss{Bucket: max(q.Trace.Bucket, 1), Batch: max(q.Trace.Batch, 1), Progress: q.Trace.Progress}, dir)
	if err != nil {
		return nil, err
	}
	position, err := t.Int("position")
	if err != nil {
		return nil, err
	}
	loss, err := t.Float("loss")
	if err != nil {
		return nil, err
	}
	kind, err := t.Text("kind")
	if err != nil {
		return nil, err
	}
	rows := make([]Growth, len(loss))
	for i := range rows {
		rows[i] = Growth{position[i], loss[i], math.NaN()}
	}
	return table.Of(rows).AddText("kind", kind), nil
}
