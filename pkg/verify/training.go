package verify

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"stuffed/datasets"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/pkg/train"
)

// trajectory are the batches of a reference training run, [steps][sequences × tokens].
type trajectory struct {
	ids               [][]int32
	sequences, tokens int
	vocab             int
}

func (t trajectory) Batcher(train.Config, int, int, int, train.Member) (datasets.Batcher, error) {
	return t, nil
}
func (t trajectory) Held(int, int) ([][]int32, [][]bool, error) { return nil, nil, nil }
func (t trajectory) Vocab() int                                 { return t.vocab }
func (t trajectory) Describe() string                           { return "batches of the reference" }
func (t trajectory) Close() error                               { return nil }
func (t trajectory) Shape() (sequences, tokens int)             { return t.sequences, t.tokens - 1 }
func (t trajectory) Tokens() int64                              { return 0 }

func (t trajectory) Batch(step int64) (datasets.Batch, error) {
	b := datasets.Batch{B: t.sequences, T: t.tokens - 1, Reset: make([]bool, t.sequences)}
	for row := range slices.Chunk(t.ids[step], t.tokens) {
		b.Inputs, b.Targets = append(b.Inputs, row[:t.tokens-1]...), append(b.Targets, row[1:]...)
	}
	return b, nil
}

// verifyTraining repeats the reference's AdamW steps from the folder's weights.
func (m *model) verifyTraining() {
	if m.training == nil {
		return
	}
	data, err := m.trajectory()
	if err != nil {
		m.result(m.folder, "training input_ids", "", err)
		return
	}
	rule := m.evidence.Train
	if rule == nil { // those that the fixtures use throughout
		rule = &trainRecord{LR: 1e-3, Betas: [2]float64{0.9, 0.95}, Eps: 1e-8, Decay: 0.1, Clip: 1}
	} else {
		m.result(m.folder, "training: parameters with weight decay", "", m.sameDecay(rule.Decayed))
	}
	types := []dtypes.DType{dtypes.Float32, dtypes.Float64}
	results := parallel(types, func(dtype dtypes.DType) outcome { return m.train(data, *rule, dtype) })
	for i, dtype := range types {
		how := dtypeNames[dtype]
		if results[i].err != nil {
			m.result(m.folder, "training", how, results[i].err)
			continue
		}
		m.checkTraining(results[i].values, *rule, how, dtype == dtypes.Float64)
	}
}

func (m *model) trajectory() (trajectory, error) {
	ids := m.training["input_ids"]
	if ids == nil || len(ids.Shape) != 3 || ids.Shape[0] < 1 || ids.Shape[2] < 2 {
		return trajectory{}, fmt.Errorf("must be [steps, sequences, tokens]")
	}
	flat, err := ids.Int64s()
	if err != nil {
		return trajectory{}, err
	}
	t := trajectory{sequences: ids.Shape[1], tokens: ids.Shape[2], vocab: m.model32().Vocab()}
	for step := range slices.Chunk(flat, ids.Shape[1]*ids.Shape[2]) {
		var row []int32
		for _, id := range step {
			if id < 0 || id >= int64(t.vocab) {
				return trajectory{}, fmt.Errorf("token id %d is outside 0 … %d", id, t.vocab-1)
			}
			row = append(row, int32(id))
		}
		t.ids = append(t.ids, row)
	}
	return t, nil
}

// sameDecay compares the parameters that the reference decays with those that the model does.
func (m *model) sameDecay(reference []string) error {
	var ours []string
	for _, s := range m.weights[dtypes.Float32].Specs {
		if s.Decay {
			ours = append(ours, models.Names(m.model32(), s)...)
		}
	}
	slices.Sort(ours)
	if reference = slices.Sorted(slices.Values(reference)); !slices.Equal(ours, reference) {
		return fmt.Errorf("ours are %v, the reference's %v", ours, reference)
	}
	return nil
}

// train runs the steps; the results have the names of the references, and of every parameter.
func (m *model) train(data trajectory, rule trainRecord, dtype dtypes.DType) outcome {
	_, w, err := models.Load(m.folder, dtype)
	if err != nil {
		return outcome{err: err}
	}
	if w.Model, err = m.config.New(); err != nil {
		return outcome{err: err}
	}
	c := train.DefaultConfig()
	c.Model = lm.Any{Config: m.config}
	c.Steps, c.TrainLength, c.BatchTokens = int64(len(data.ids)), data.tokens-1, data.sequences*(data.tokens-1)
	c.LR, c.Schedule, c.Warmup, c.Output = []float64{rule.LR}, "constant", 0, ""
	c.Beta1, c.Beta2, c.Eps, c.WeightDecay, c.Clip = rule.Betas[0], rule.Betas[1], rule.Eps, rule.Decay, rule.Clip
	t, err := train.New(m.device, w.Model, w, c, data)
	if err != nil {
		return outcome{err: err}
	}
	var loss, norm []float64
	for t.Steps() < c.Steps {
		if err := m.ctx.Err(); err != nil {
			return outcome{err: err}
		}
		r, err := t.Step()
		if err != nil {
			return outcome{err: err}
		}
		for s := range r.Loss {
			loss, norm = append(loss, float64(r.Loss[s][0])), append(norm, float64(r.GradNorm[s][0]))
		}
	}
	values := map[string]value{"loss": {loss, []int{len(loss)}}, "grad_norm": {norm, []int{len(norm)}}}
	stacked := map[string][]float64{}
	after := t.Weights()
	for i, s := range after.Specs {
		if stacked[s.Name], err = lm.Float64s(after.Values[i]); err != nil {
			return outcome{err: err}
		}
	}
	tensors, err := models.Split(m.model32(), stacked)
	if err != nil {
		return outcome{err: err}
	}
	for name, p := range tensors {
		flat, err := p.Float64s()
		if err != nil {
			return outcome{err: err}
		}
		values[name] = value{flat, p.Shape}
	}
	return outcome{values: values}
}

func (m *model) checkTraining(values map[string]value, rule trainRecord, how string, exact bool) {
	allowed := func(kind string, otherwise float64) float64 {
		if exact { // losses and norms are reported in float32
			return map[string]float64{"final_mean": 1e-9, "final_std": 1e-9}[kind]
		}
		if t := rule.Evidence[kind].Suggested; t > 0 {
			return t
		}
		return otherwise
	}
	check := func(name string, got value, allowed func(want []float64) float64) {
		reference, ok := m.training[name+"_truth"], true
		if reference == nil {
			reference, ok = m.training[name], false
		}
		if reference == nil {
			return
		}
		want, err := reference.Float64s()
		if err == nil {
			limit := allowed(want)
			if exact {
				limit = 1.2e-7 * largestOf(want)
				if !ok {
					limit = 1e-5 * largestOf(want)
				}
			}
			err = compare(got.flat, got.shape, want, reference.Shape, limit)
		}
		m.result(m.folder, "training "+name, how, err)
	}
	for _, kind := range []string{"loss", "grad_norm"} {
		check(kind, values[kind], func(want []float64) float64 { return allowed(kind, 5e-6*largestOf(want)) })
	}
	finals := map[string]string{}
	for _, s := range m.model32().Parameters(1) {
		for l, name := range models.Names(m.model32(), s) {
			short := brief(s)
			if s.Layered {
				short = fmt.Sprintf("layer%d.%s", l, short)
			}
			if finals[short] == "" { // the norm before the block, not one inside
				finals[short] = name
			}
		}
	}
	for _, short := range slices.Sorted(maps.Keys(finals)) {
		check("final."+short, values[finals[short]], func([]float64) float64 { return allowed("params", 4e-4) })
	}
	for _, name := range slices.Sorted(maps.Keys(rule.Final)) {
		v, ok := values[name]
		if !ok {
			m.result(m.folder, "training final "+name, how, fmt.Errorf("the model has no such parameter"))
			continue
		}
		mean, std := moments(v.flat)
		want := rule.Final[name]
		m.result(m.folder, "training final mean of "+name, how, compare([]float64{mean}, nil, []float64{want.Mean}, nil, allowed("final_mean", 3e-6)))
		m.result(m.folder, "training final deviation of "+name, how, compare([]float64{std}, nil, []float64{want.Std}, nil, allowed("final_std", 2e-6)))
	}
}

// brief is how a training run names a parameter: without "weight" and what stands before the last part of the name.
func brief(s lm.Spec) string {
	if s.Role == lm.Embedding {
		return "embeddings"
	}
	parts := strings.Split(strings.TrimSuffix(s.Name, ".weight"), ".")
	return parts[len(parts)-1]
}

// moments are the mean and the population standard deviation.
func moments(v []float64) (mean, std float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		std += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, math.Sqrt(std)
}
