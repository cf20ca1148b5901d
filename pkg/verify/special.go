package verify

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"stuffed/pkg/lm"
)

// verifyGroupNorm recomputes group_norm.*: the main tokens with the gated norm per group.
func (m *model) verifyGroupNorm() {
	ids := m.truth["input_ids"]
	if m.truth["group_norm.input_ids"] != nil {
		ids = m.truth["group_norm.input_ids"]
	}
	var names []string
	for _, name := range sorted(m.truth) {
		if len(name) > 11 && name[:11] == "group_norm." && m.computed(name[11:]) {
			names = append(names, name)
		}
	}
	if len(names) == 0 || ids == nil {
		return
	}
	before := m.config
	perGroup, err := m.withNorm(true)
	if err != nil {
		m.result(m.folder, "group_norm.logits", "", err)
		return
	}
	m.use(perGroup)
	defer m.use(before)
	rows, err := rowsOf(ids)
	if err != nil {
		m.result(m.folder, "group_norm.input_ids", "", err)
		return
	}
	r := run{prefix: "group_norm.", rows: rows}
	for _, name := range names {
		r.wanted = append(r.wanted, name[11:])
	}
	m.verifyRun(r)
}

// verifyHeadNorm recomputes pth_eps64.logits: RWKV-7 with the ε of its heads' norm that BlinkDL's code fixes.
func (m *model) verifyHeadNorm() {
	const prefix = "pth_eps64."
	ids := m.truth["input_ids"]
	if m.truth[prefix+"logits"] == nil || ids == nil {
		return
	}
	before := m.config
	fixed, err := lm.Override(m.config, `{"group_norm_eps":64e-5}`)
	if err != nil {
		m.result(m.folder, prefix+"logits", "", err)
		return
	}
	m.use(fixed)
	defer m.use(before)
	rows, err := rowsOf(ids)
	if err != nil {
		m.result(m.folder, "input_ids", "", err)
		return
	}
	m.verifyRun(run{prefix: prefix, rows: rows, wanted: []string{"logits"}})
}

// verifyContinuation prefills cont.split tokens, carries both states and feeds the rest.
func (m *model) verifyContinuation() {
	ids, at := m.truth["input_ids"], m.truth["cont.split"]
	if ids == nil || at == nil {
		return
	}
	rows, err := rowsOf(ids)
	split := 0
	if err == nil {
		var v []int
		if v, err = whole(at); err == nil {
			if split = v[0]; split < 1 || split >= len(rows[0]) {
				err = fmt.Errorf("is %d, must be within 1 … %d", split, len(rows[0])-1)
			}
		}
	}
	if err != nil {
		m.result(m.folder, "cont.split", "", err)
		return
	}
	var first, rest [][]int32
	for _, row := range rows {
		first, rest = append(first, row[:split]), append(rest, row[split:])
	}
	values := map[string]value{}
	pass := m.pass(dtypes.Float64, m.config)
	a, err := pass.Run(lm.PassInput{Rows: first})
	var b lm.PassOutput
	if err == nil {
		b, err = pass.Run(lm.PassInput{Rows: rest, State: a.State})
	}
	if err == nil {
		values["cont.logits"], err = valueOf(b.Logits)
		for name, t := range a.State {
			if err == nil {
				values["cont."+name], err = valueOf(t)
			}
		}
	}
	m.checkAll(values, "float64, state carried", dtypes.Float64, err)
	runner := m.runner()
	state, err := runner.Run(m.ctx, first, nil, lm.Request{Logits: true, Loss: true}, nil)
	var logits []float64
	shape := []int{len(rows), len(rest[0]), m.model32().Vocab()}
	values = map[string]value{}
	if err == nil {
		for name, t := range state {
			if err == nil {
				values["cont."+name], err = valueOf(t)
			}
		}
	}
	if err == nil && len(rest[0]) <= runner.Piece {
		_, err = runner.Run(m.ctx, rest, state, lm.Request{Logits: true, Loss: true}, func(p lm.Piece) error {
			for _, v := range p.Logits {
				logits = append(logits, float64(v))
			}
			return nil
		})
		values["cont.logits"] = value{logits, shape}
	}
	m.checkAll(values, "float32, state carried by the runner", dtypes.Float32, err)
}

func (m *model) checkAll(values map[string]value, how string, dtype dtypes.DType, err error) {
	if err != nil {
		m.result(m.folder, "cont", how, err)
		return
	}
	for _, name := range sorted(m.truth) {
		if v, ok := values[name]; ok {
			m.check(name, how, dtype, v)
		}
	}
}

// verifyGreedy continues the prompts by the most likely token.
func (m *model) verifyGreedy() {
	ids, length := m.truth["greedy.ids"], m.truth["greedy.prompt_len"]
	if ids == nil {
		return
	}
	rows, err := rowsOf(ids)
	prompt := 0
	switch {
	case err != nil:
	case length != nil:
		var v []int
		if v, err = whole(length); err == nil {
			prompt = v[0]
		}
	case m.truth["input_ids"] != nil: // the prompt is what both begin with
		var main [][]int32
		if main, err = rowsOf(m.truth["input_ids"]); err == nil {
			for prompt < min(len(main[0]), len(rows[0])) && main[0][prompt] == rows[0][prompt] {
				prompt++
			}
		}
	}
	if err == nil && (len(rows) == 0 || prompt < 1 || prompt > len(rows[0])) {
		err = fmt.Errorf("the prompt's length is %d, must be within 1 … the tokens of greedy.ids", prompt)
	}
	if err != nil {
		m.result(m.folder, "greedy.ids", "", err)
		return
	}
	var prompts [][]int32
	for _, row := range rows {
		prompts = append(prompts, row[:prompt])
	}
	runner := m.runner()
	got, err := runner.Generate(m.ctx, prompts, len(rows[0])-prompt, lm.Sampling{}, nil, nil)
	for b := range rows {
		if err != nil {
			break
		}
		if !slices.Equal(got[b], rows[b][prompt:]) {
			err = fmt.Errorf("sequence %d continues with %v, the reference with %v", b, got[b], rows[b][prompt:])
		}
	}
	m.result(m.folder, "greedy.ids", "float32, decoded on the device", err)
}
