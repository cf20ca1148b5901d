package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// model is a model folder with its references.
type model struct {
	*verifier
	folder    string
	evidence  evidence
	config    lm.Config
	weights   map[dtypes.DType]*lm.Weights
	truth     map[string]*checkpoint.Tensor // references; those computed in float64 where there are any
	golden    map[string]*checkpoint.Tensor // as another implementation computed them in float32
	gradients map[string]*checkpoint.Tensor
	training  map[string]*checkpoint.Tensor

	called map[string]string // references as files call them, where that is not the model's name, see rename

	gradientsTrue bool // computed in float64
}

var dtypeNames = map[dtypes.DType]string{dtypes.Float32: "float32", dtypes.Float64: "float64"}

// model verifies the model of a folder.
func (v *verifier) model(dir string, names []string, ev evidence) {
	m := &model{verifier: v, folder: dir, evidence: ev, weights: map[dtypes.DType]*lm.Weights{}}
	for _, dtype := range []dtypes.DType{dtypes.Float32, dtypes.Float64} {
		loaded, w, err := models.Load(dir, dtype)
		if err != nil {
			v.result(dir, "weights", "", err)
			return
		}
		m.config, m.weights[dtype] = loaded.Configuration(), w
	}
	v.result(dir, "weights", "", nil)
	m.configs(names)
	m.read(dir, names)
	if m.truth == nil && m.gradients == nil && m.training == nil {
		if same, err := m.borrow(); err != nil || !same {
			v.result(dir, "weights against those of the folder above", "", err)
			return
		}
	}
	if m.truth == nil && m.gradients == nil && m.training == nil {
		v.note(dir, "references", "none here or in the folder above: only the loading was checked")
		return
	}
	m.rename()
	m.chooseNorm()
	for _, run := range m.runs() {
		if v.ctx.Err() != nil {
			return
		}
		m.verifyRun(run)
	}
	for _, step := range []func(*model){(*model).verifyGroupNorm, (*model).verifyHeadNorm, (*model).verifyContinuation, (*model).verifyGreedy, (*model).verifyTraining} {
		if v.ctx.Err() != nil {
			return
		}
		step(m)
	}
	for _, name := range sorted(m.truth) {
		if !m.described(name) {
			v.note(dir, m.label(name), "is not a tensor that the fixtures describe; not checked")
		}
	}
}

// configs checks that other spellings of the configuration, config.*.json, mean the same.
func (m *model) configs(names []string) {
	for _, name := range names {
		if !strings.HasPrefix(name, "config.") || !strings.HasSuffix(name, ".json") || name == "config.json" {
			continue
		}
		m.result(m.folder, name, "", func() error {
			text, err := os.ReadFile(filepath.Join(m.folder, name))
			if err != nil {
				return err
			}
			c, err := models.Like(text, m.model32())
			if err != nil {
				return err
			}
			if c.Hash() != m.config.Hash() {
				return fmt.Errorf("means %+v, config.json means %+v", c, m.config)
			}
			return nil
		}())
	}
}

// read sorts the files of references by what they hold: gradients by parameter, a training run, or named tensors, of
// which those in a file with “truth” in its name come first.
func (m *model) read(dir string, names []string) {
	for _, name := range names {
		if filepath.Ext(name) != ".safetensors" || strings.HasPrefix(name, "model") || isOperatorCase(filepath.Join(dir, name)) {
			continue
		}
		file, err := readTensors(filepath.Join(dir, name))
		if err != nil {
			continue // verifier.operator reports it
		}
		isTruth, into := strings.Contains(name, "truth"), &m.golden
		switch {
		case file["grad_norm_truth"] != nil || file["grad_norm"] != nil || file["loss_truth"] != nil:
			m.training = file
			continue
		case m.onlyParameters(file):
			if m.gradients == nil || isTruth {
				m.gradients, m.gradientsTrue = file, isTruth
			}
			continue
		case isTruth:
			into = &m.truth
		}
		if *into == nil {
			*into = map[string]*checkpoint.Tensor{}
		}
		for n, t := range file {
			(*into)[n] = t
		}
	}
	for n, t := range m.golden {
		if m.truth == nil {
			m.truth = map[string]*checkpoint.Tensor{}
		}
		other := m.truth[n]
		if other == nil {
			m.truth[n] = t
		} else if other.DType == "I64" {
			var err error
			if t.DType != "I64" || !slices.Equal(other.Data, t.Data) {
				err = fmt.Errorf("differs between the files of references")
			}
			m.result(m.folder, n, "", err)
		}
	}
}

// onlyParameters tells whether all tensors of a file are named as parameters of the model.
func (m *model) onlyParameters(file map[string]*checkpoint.Tensor) bool {
	known := map[string]bool{}
	for _, s := range m.model32().Parameters(1) {
		for _, name := range models.Names(m.model32(), s) {
			known[name] = true
		}
	}
	for n := range file {
		if !known[n] {
			return false
		}
	}
	return len(file) > 0
}

// model32 is the model of the folder.
func (m *model) model32() lm.Model { return m.weights[dtypes.Float32].Model }

// borrow takes the references of the folder above, if the weights are the same; weights that are the same after
// rounding to their dtype are a check by themselves.
func (m *model) borrow() (same bool, err error) {
	above := filepath.Join(m.folder, "..")
	if m.sameModel(above) { // in another layout
		m.result(m.folder, "weights against those of the folder above", "", nil)
		return true, m.readFolder(above)
	}
	theirs, err := checkpoint.LoadModel(above)
	if err != nil {
		return true, nil // nothing to compare with
	}
	ours, err := checkpoint.LoadModel(m.folder)
	if err != nil {
		return false, err
	}
	same = true
	for _, name := range sorted(theirs.Tensors) {
		a, b := theirs.Tensors[name], ours.Tensors[name]
		if b == nil {
			return false, fmt.Errorf("tensor %s is missing", name)
		}
		rounded, err := a.Convert(b.DType)
		if err != nil {
			return false, err
		}
		if !slices.Equal(rounded.Data, b.Data) {
			return false, fmt.Errorf("tensor %s is another", name)
		}
		same = same && (a.DType == b.DType || b.DType == "F64" || a.DType == "BF16" && b.DType == "F32" || a.DType == "F16" && b.DType == "F32")
	}
	if !same {
		return false, nil
	}
	m.result(m.folder, "weights against those of the folder above", "", nil)
	return true, m.readFolder(above)
}

// sameModel tells whether a folder holds the same configuration and the same numbers.
func (m *model) sameModel(dir string) bool {
	theirs, w, err := models.Load(dir, dtypes.Float64)
	if err != nil || theirs.Name() != m.model32().Name() || theirs.Hash() != m.config.Hash() {
		return false
	}
	for i, own := range m.weights[dtypes.Float64].Values {
		a, err := lm.Float64s(own)
		b, other := lm.Float64s(w.Values[i])
		if err != nil || other != nil || !slices.Equal(a, b) {
			return false
		}
	}
	return true
}

// readFolder reads the references of a folder.
func (m *model) readFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	m.read(dir, names)
	return nil
}

// chooseNorm decides how the gated norm of the references works, where a configuration knows two ways: as config.json says, but over
// all channels where references without norm_per_group were made by transformers before 5.23. Those have group_norm.* beside them,
// or logits that only this fits.
func (m *model) chooseNorm() {
	perGroup, err := m.withNorm(true)
	if err != nil {
		return // one way only
	}
	keep := false
	logits, ids := m.truth["logits"], m.truth["input_ids"]
	if perGroup.Hash() == m.config.Hash() && m.grouped() && logits != nil && ids != nil && m.truth["group_norm.logits"] == nil {
		want, err := logits.Float64s()
		rows, err2 := rowsOf(ids)
		if err == nil && err2 == nil {
			out, err := m.pass(dtypes.Float64, perGroup).Run(lm.PassInput{Rows: rows})
			if err == nil {
				got, err := lm.Float64s(out.Logits)
				keep = err == nil && compare(got, logits.Shape, want, logits.Shape, 1e-4*largestOf(want)) == nil
			}
		}
	}
	if c, err := m.withNorm(keep); err == nil {
		m.use(c)
	}
}

// grouped tells whether heads share keys in more than one group.
func (m *model) grouped() bool {
	c, err := lm.ControlOf(m.model32(), "b_norm")
	return err == nil && c.Axes[0] == lm.Group && c.Dims[0] > 1
}

func (m *model) withNorm(perGroup bool) (lm.Config, error) {
	return lm.Override(m.config, fmt.Sprintf(`{"norm_per_group":%v}`, perGroup))
}

// use replaces the configuration.
func (m *model) use(c lm.Config) {
	m.config = c
	for _, w := range m.weights {
		if changed, err := c.New(); err == nil {
			w.Model = changed
		}
	}
}

// weightsFor gives the weights of a dtype with a configuration, and a key for what is compiled for them.
func (m *model) weightsFor(dtype dtypes.DType, c lm.Config) (w *lm.Weights, key string) {
	copied := *m.weights[dtype]
	if changed, err := c.New(); err == nil {
		copied.Model = changed
	}
	return &copied, fmt.Sprint(dtype, c.Architecture(), c)
}

// pass applies the model in a dtype; runner runs it in float32.
func (m *model) pass(dtype dtypes.DType, c lm.Config) *lm.Pass {
	w, key := m.weightsFor(dtype, c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.passes[key] == nil {
		m.passes[key] = lm.NewPass(m.device, w)
	}
	return m.passes[key].With(w)
}

func (m *model) runner() *lm.Runner {
	w, key := m.weightsFor(dtypes.Float32, m.config)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runners[key] == nil {
		m.runners[key] = lm.NewRunner(m.device, w)
	}
	return m.runners[key].With(w)
}

// check compares a result with a reference: float32 within the fixture's tolerance, float64 strictly where the
// reference was computed in float64.
func (m *model) check(name, how string, dtype dtypes.DType, got value) {
	reference := m.truth[name]
	want, err := reference.Float64s()
	if err != nil {
		m.result(m.folder, m.label(name), how, err)
		return
	}
	allowed := strict(reference, want)
	if dtype != dtypes.Float64 || !m.isTrue(name) {
		var golden []float64
		if g := m.golden[name]; g != nil && g != reference {
			golden, _ = g.Float64s()
		}
		allowed = m.evidence.allowed(m.label(name), want, golden)
	}
	got = m.fit(name, got, reference.Shape)
	m.result(m.folder, m.label(name), how, compare(got.flat, got.shape, want, reference.Shape, allowed))
}

// isTrue reports whether a reference is of float64: all of a truth file, and of the others what no other
// implementation exposes.
func (m *model) isTrue(name string) bool {
	if m.golden[name] != m.truth[name] {
		return true
	}
	for _, part := range []string{"stats.", "layer0.", "carry.grad_", "carry.objective"} {
		if strings.Contains("."+name, "."+part) {
			return true
		}
	}
	for _, s := range m.model32().State(1) {
		if name == "packed."+s.Name {
			return true
		}
	}
	return false
}

// state reads an initial state of the references; nil where there is none.
func (m *model) state(prefix string, batch int, dtype dtypes.DType) (lm.State, error) {
	state, given, held := lm.ZeroState(m.model32(), batch, dtype), false, 0
	for _, spec := range m.model32().State(batch) {
		name := prefix + spec.Name + "0"
		t := m.truth[name]
		if t == nil {
			continue
		}
		if len(t.Shape) == 0 { // the same everywhere, such as a position
			v, err := whole(t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.label(name), err)
			}
			if state[spec.Name], err = lm.FromFloat64s(slices.Repeat([]float64{float64(v[0])}, spec.Size()), dtype, spec.Dims...); err != nil {
				return nil, err
			}
			continue
		}
		if !spec.Fits(t.Shape) {
			return nil, fmt.Errorf("%s has shape %v, must be %v", m.label(name), t.Shape, spec.Dims)
		}
		if spec.Grows {
			held = t.Shape[spec.Along(lm.Position)]
		}
		v, err := t.Float64s()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.label(name), err)
		}
		if state[spec.Name], err = lm.FromFloat64s(v, dtype, t.Shape...); err != nil {
			return nil, err
		}
		given = true
	}
	if !given {
		return nil, nil
	}
	for _, spec := range m.model32().State(batch) { // the caches of references are full
		if spec.Role == lm.Length {
			counts := slices.Repeat([]float64{float64(held)}, spec.Size())
			var err error
			if state[spec.Name], err = lm.FromFloat64s(counts, dtype, spec.Dims...); err != nil {
				return nil, err
			}
		}
	}
	return state, nil
}

func sorted(m map[string]*checkpoint.Tensor) (names []string) {
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
