package verify

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/checkpoint"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
)

// run is one set of tokens with the references that follow from it: those named prefix + name.
type run struct {
	prefix    string
	rows      [][]int32
	documents []int
	cotangent *checkpoint.Tensor // of the last recurrent state; the objective takes a thousandth of it
	gradient  bool
	wanted    []string // names without prefix
}

// special prefixes are not runs of their own.
var special = map[string]bool{"cont.": true, "greedy.": true, "group_norm.": true, "pth_eps64.": true}

// runs lists the sets of tokens of the references: prefix.input_ids each, and input_ids alone.
func (m *model) runs() (runs []run) {
	for _, name := range sorted(m.truth) {
		prefix, isIDs := strings.CutSuffix(name, "input_ids")
		if !isIDs || special[prefix] || prefix != "" && !strings.HasSuffix(prefix, ".") {
			continue
		}
		r := run{prefix: prefix, cotangent: m.truth[prefix+cotangent], gradient: prefix == "" && m.gradients != nil}
		rows, err := rowsOf(m.truth[name])
		if err == nil && m.truth[prefix+"cu_seqlens"] != nil {
			r.documents, err = whole(m.truth[prefix+"cu_seqlens"])
		}
		if err != nil {
			m.result(m.folder, name, "", err)
			continue
		}
		r.rows = rows
		for _, n := range sorted(m.truth) {
			if base, ok := strings.CutPrefix(n, prefix); ok && m.computed(base) {
				r.wanted = append(r.wanted, base)
				r.gradient = r.gradient || strings.HasPrefix(base, "grad_") && base != cotangent
			}
		}
		if len(rows) > 0 && len(rows[0]) > 0 && (len(r.wanted) > 0 || r.gradient) {
			runs = append(runs, r)
		}
	}
	return runs
}

var plainNames = []string{"logits", "hidden.embed", "hidden.pre_ln", "hidden.layers", "hidden.final_norm", "loss.per_token", "loss.mean", "stats.mean", "stats.var",
	"stats.absmax", "stats.channel.absmax", "stats.delta", "stats.log_decay", "static.log_decay", "objective"}

// computed reports whether a run computes a tensor of this name.
func (m *model) computed(base string) bool {
	if slices.Contains(plainNames, base) {
		return true
	}
	for _, s := range m.model32().State(1) {
		if base == s.Name || base == s.Name+".final" || base == "grad_"+s.Name+"0" {
			return true
		}
	}
	_, _, ok := m.layerProbe(base)
	return ok
}

// layerProbe reads layer3.NAME as probe NAME of layer 3.
func (m *model) layerProbe(base string) (layer int, probe string, ok bool) {
	first, probe, cut := strings.Cut(base, ".")
	if n, err := fmt.Sscanf(first, "layer%d", &layer); n != 1 || err != nil || !cut {
		return 0, "", false
	}
	return layer, probe, fmt.Sprint("layer", layer) == first && lm.HasProbe(m.model32(), probe)
}

// described reports whether the fixtures describe a tensor, as an input or a result.
func (m *model) described(name string) bool {
	prefix := ""
	if first, _, ok := strings.Cut(name, "."); ok && m.truth[first+".input_ids"] != nil {
		prefix = first + "."
	}
	base := strings.TrimPrefix(name, prefix)
	if m.computed(base) || slices.Contains([]string{"input_ids", "cu_seqlens", cotangent, "position0"}, base) {
		return true
	}
	for _, s := range m.model32().State(1) {
		if base == s.Name+"0" {
			return true
		}
	}
	first, _, _ := strings.Cut(name, ".")
	return special[first+"."]
}

// verifyRun recomputes a run in float32 and float64 in one graph, and piece by piece in float32.
func (m *model) verifyRun(r run) {
	types := []dtypes.DType{dtypes.Float64, dtypes.Float32}
	results := parallel(types, func(dtype dtypes.DType) outcome { return m.compute(r, dtype) })
	for i, dtype := range types {
		how := dtypeNames[dtype]
		if err := results[i].err; err != nil {
			m.result(m.folder, r.prefix+"input_ids", how, err)
			continue
		}
		for _, base := range r.wanted {
			v, ok := results[i].values[base]
			if !ok {
				m.result(m.folder, m.label(r.prefix+base), how, fmt.Errorf("has no value for these inputs"))
				continue
			}
			m.check(r.prefix+base, how, dtype, v)
		}
		if r.prefix == "" && m.gradients != nil {
			m.checkGradients(results[i].values, dtype)
		}
	}
	if r.documents == nil {
		m.verifyPieces(r)
	}
}

type value struct {
	flat  []float64
	shape []int
}

func valueOf(t *tensors.Tensor) (value, error) {
	v, err := lm.Float64s(t)
	return value{v, slices.Clone(t.Shape().Dimensions)}, err
}

// compute runs one pass, and the pieces that states need, and names the results as the references do.
func (m *model) compute(r run, dtype dtypes.DType) outcome {
	state, err := m.state(r.prefix, len(r.rows), dtype)
	if err != nil {
		return outcome{err: err}
	}
	in := lm.PassInput{Rows: r.rows, State: state, Documents: r.documents, Gradient: r.gradient && len(r.rows[0]) > 1}
	probe := func(names ...string) {
		for _, n := range names {
			if !slices.Contains(in.Probes, n) {
				in.Probes = append(in.Probes, n)
			}
		}
	}
	apart := false // the states of all tokens do not fit one pass
	for _, base := range r.wanted {
		if _, name, ok := m.layerProbe(base); ok {
			probe(name)
		}
		switch base {
		case "hidden.layers":
			probe(lm.Residual)
		case "hidden.pre_ln": // what enters block 0
			probe(lm.Residual, "mixer_out", "ffn_out")
		case "stats.delta":
			probe(m.delta())
		case "stats.log_decay", "static.log_decay":
			probe(lm.LogAlpha)
		case "stats.mean", "stats.var":
			probe(lm.Sum, lm.Squares)
		case "stats.absmax", "stats.channel.absmax":
			if lm.HasProbe(m.model32(), lm.Summary) {
				probe(lm.Summary)
				continue
			}
			if r.documents != nil {
				return outcome{err: fmt.Errorf("largest magnitudes of packed documents are not described")}
			}
			if apart = m.stateEntries(r) > 1<<24; !apart {
				probe(lm.States)
				in.Ends = nil
				for t := range r.rows[0] {
					in.Ends = append(in.Ends, t)
				}
			}
		}
	}
	if r.cotangent != nil {
		v, err := r.cotangent.Float64s()
		if err != nil {
			return outcome{err: err}
		}
		v = slices.Clone(v)
		for i := range v {
			v[i] *= 1e-3
		}
		if in.Cotangent, err = lm.FromFloat64s(v, dtype, r.cotangent.Shape...); err != nil {
			return outcome{err: err}
		}
	}
	if r.documents != nil {
		for _, s := range m.model32().State(1) {
			if name := lm.Of(lm.States, m.model32(), s.Name); lm.HasProbe(m.model32(), name) {
				probe(name)
			}
		}
		for _, end := range r.documents[1:] {
			in.Ends = append(in.Ends, end-1)
		}
	}
	out, err := m.pass(dtype, m.config).Run(in)
	if err != nil {
		return outcome{err: err}
	}
	values, err := m.name(out, r.documents != nil)
	if err == nil && slices.Contains(r.wanted, "hidden.embed") {
		values["hidden.embed"], err = m.embedded(r, m.weights[dtype])
	}
	if err == nil && apart {
		values["stats.absmax"], err = m.absmax(r, dtype, state)
	}
	return outcome{values, err}
}

// delta is the probe of the strength of the write, by channel where it is so fine.
func (m *model) delta() string {
	if fine := lm.Delta + "/channel"; lm.HasProbe(m.model32(), fine) {
		return fine
	}
	return lm.Delta
}

// stateEntries counts the scalars of the states of all tokens.
func (m *model) stateEntries(r run) int {
	heads, values, keys := lm.Matrices(m.model32())
	return m.model32().Layers() * len(r.rows) * len(r.rows[0]) * heads * values * keys
}

// name gives the results of a pass the names of the references.
func (m *model) name(out lm.PassOutput, packed bool) (map[string]value, error) {
	values := map[string]value{}
	var failure error
	put := func(name string, t *tensors.Tensor) value {
		if t == nil {
			return value{}
		}
		v, err := valueOf(t)
		if err != nil {
			failure = err
		}
		values[name] = v
		return v
	}
	put("logits", out.Logits)
	put("hidden.final_norm", out.Hidden)
	put("loss.per_token", out.Loss)
	if loss := values["loss.per_token"].flat; loss != nil {
		sum := 0.0
		for _, v := range loss {
			sum += v
		}
		values["loss.mean"] = value{[]float64{sum / float64(len(loss))}, []int{}}
	}
	put("objective", out.Objective)
	for _, s := range m.model32().State(1) {
		name := s.Name
		last := put(name, out.State[name])
		if at := out.Probes[lm.Of(lm.States, m.model32(), name)]; at != nil && packed { // after each document, in place of the batch
			last = put(name, at)
			last.shape = slices.Delete(last.shape, 2, 3)
		}
		values[name], values[name+".final"] = last, last
		if out.Initial != nil {
			put("grad_"+name+"0", out.Initial[name])
		}
	}
	put("stats.delta", out.Probes[m.delta()])
	if decay := put("stats.log_decay", out.Probes[lm.LogAlpha]); len(decay.shape) > 3 { // of the first token, where it never changes
		layers, size := decay.shape[0], len(decay.flat)/(decay.shape[0]*decay.shape[1]*decay.shape[2])
		static := value{shape: []int{layers, size}}
		for l := range layers {
			static.flat = append(static.flat, decay.flat[l*len(decay.flat)/layers:][:size]...)
		}
		values["static.log_decay"] = static
	}
	sum, squares := put("stats.mean", out.Probes[lm.Sum]), put("stats.var", out.Probes[lm.Squares])
	_, rows, columns := lm.Matrices(m.model32())
	entries := float64(rows * columns)
	for i := range sum.flat {
		mean := sum.flat[i] / entries
		sum.flat[i], squares.flat[i] = mean, squares.flat[i]/entries-mean*mean
	}
	if at := out.Probes[lm.States]; at != nil && !packed {
		states := put(lm.States, at)
		values["stats.absmax"] = m.largest(states, 1)
		if first, err := lm.StateOf(m.model32(), ""); err == nil && first.Along(lm.Channel) >= 0 {
			values["stats.channel.absmax"] = m.largest(states, first.Dim(lm.Channel))
		}
	}
	if summary := out.Probes[lm.Summary]; summary != nil {
		v := put(lm.Summary, summary)
		channels := v.shape[3]
		largest := value{shape: append(slices.Clone(v.shape[:3]), 1)}
		for i := 0; i < len(v.flat); i += channels {
			largest.flat = append(largest.flat, largestOf(v.flat[i:i+channels]))
		}
		values["stats.absmax"] = largest
	}
	for name, t := range out.Gradient {
		put(gradientOf+name, t)
	}
	residual := put("hidden.layers", out.Probes[lm.Residual])
	for _, probe := range slices.Sorted(maps.Keys(out.Probes)) {
		if !named[probe] && !lm.AtEnds(probe) {
			stack := put(probe, out.Probes[probe])
			delete(values, probe)
			size := len(stack.flat) / stack.shape[0]
			for l := range stack.shape[0] {
				values[fmt.Sprintf("layer%d.%s", l, probe)] = value{stack.flat[l*size:][:size], stack.shape[1:]}
			}
		}
	}
	if mixed, ffn := values["layer0.mixer_out"].flat, values["layer0.ffn_out"].flat; ffn != nil && residual.flat != nil {
		entered := slices.Clone(residual.flat[:len(mixed)])
		for i := range entered {
			entered[i] -= mixed[i] + ffn[i]
		}
		values["hidden.pre_ln"] = value{entered, residual.shape[1:]}
	}
	return values, failure
}

// named are probes whose results have names of their own.
var named = map[string]bool{lm.Delta: true, lm.Delta + "/channel": true, lm.LogAlpha: true, lm.Sum: true, lm.Squares: true, lm.Residual: true}

const gradientOf = "gradient of "

// largest reduces states [layers, tokens, batch, heads, …] to the largest magnitude of each head's, or of so many equal parts of
// each, [layers, batch, tokens, heads · parts].
func (m *model) largest(states value, parts int) value {
	heads, rows, columns := lm.Matrices(m.model32())
	heads, rows = heads*parts, rows/parts
	s := append(slices.Clone(states.shape[:3]), heads)
	shape, size := []int{s[0], s[2], s[1], s[3]}, rows*columns
	out := make([]float64, len(states.flat)/size)
	for i := range out {
		at := index(i, s)
		out[((at[0]*s[2]+at[2])*s[1]+at[1])*s[3]+at[3]] = largestOf(states.flat[i*size:][:size])
	}
	return value{out, shape}
}

// absmax is largest piece by piece, for long runs.
func (m *model) absmax(r run, dtype dtypes.DType, state lm.State) (value, error) {
	const piece = 64
	tokens := len(r.rows[0])
	all := value{shape: []int{m.model32().Layers(), len(r.rows), tokens, heads(m.model32())}}
	all.flat = make([]float64, all.shape[0]*all.shape[1]*all.shape[2]*all.shape[3])
	for start := 0; start < tokens; start += piece {
		n := min(piece, tokens-start)
		in := lm.PassInput{State: state, Probes: []string{lm.States}}
		for _, row := range r.rows {
			in.Rows = append(in.Rows, row[start:start+n])
		}
		for t := range n {
			in.Ends = append(in.Ends, t)
		}
		o, err := m.pass(dtype, m.config).Run(in)
		if err != nil {
			return value{}, err
		}
		state = o.State
		h, err := valueOf(o.Probes[lm.States])
		if err != nil {
			return value{}, err
		}
		part, perToken := m.largest(h, 1), all.shape[3]
		for row := range all.shape[0] * all.shape[1] {
			copy(all.flat[(row*tokens+start)*perToken:][:n*perToken], part.flat[row*n*perToken:])
		}
	}
	return all, nil
}

func heads(m lm.Model) int {
	n, _, _ := lm.Matrices(m)
	return n
}

// checkGradients compares the gradients of the mean loss, parameter by parameter.
func (m *model) checkGradients(results map[string]value, dtype dtypes.DType) {
	how, stacked := dtypeNames[dtype], map[string][]float64{}
	for name, v := range results {
		if parameter, ok := strings.CutPrefix(name, gradientOf); ok {
			stacked[parameter] = v.flat
		}
	}
	if len(stacked) == 0 {
		m.result(m.folder, "gradients", how, fmt.Errorf("input_ids have no next-token loss to take them of"))
		return
	}
	ours, err := models.Split(m.model32(), stacked)
	if err != nil {
		m.result(m.folder, "gradients", how, err)
		return
	}
	known, relative := m.evidence.gradients(), 3e-5
	for _, t := range known {
		if t.Largest > 0 {
			relative = max(relative, t.Suggested/t.Largest)
		}
	}
	for _, name := range sorted(m.gradients) {
		reference, label := m.gradients[name], gradientOf+name
		want, err := reference.Float64s()
		if err != nil || ours[name] == nil {
			m.result(m.folder, label, how, fmt.Errorf("the model has no such parameter, or the reference does not hold floats"))
			continue
		}
		got, err := ours[name].Float64s()
		if err != nil {
			m.result(m.folder, label, how, err)
			continue
		}
		allowed := known[name].Suggested
		if allowed == 0 {
			allowed = relative * largestOf(want)
		}
		if dtype == dtypes.Float64 && m.gradientsTrue {
			allowed = strict(reference, want)
		}
		m.result(m.folder, label, how, compare(got, ours[name].Shape, want, reference.Shape, allowed))
	}
}

// verifyPieces runs the tokens through lm.Runner: whole, cut at odd places, and one by one.
func (m *model) verifyPieces(r run) {
	tokens := len(r.rows[0])
	for _, way := range []struct {
		how   string
		piece int
		cuts  []int
		use   bool
	}{
		{"float32, at once", 512, nil, true},
		{"float32, cut after 1, 2 and 3 tokens", 512, []int{1, 2, 3}, r.prefix == "" && tokens > 1},
		{"float32, one by one", 1, nil, tokens > 1 && tokens <= 128},
	} {
		if !way.use {
			continue
		}
		values, err := m.pieces(r, way.piece, way.cuts)
		if err != nil {
			m.result(m.folder, r.prefix+"input_ids", way.how, err)
			continue
		}
		for _, base := range r.wanted {
			if v, ok := values[base]; ok {
				m.check(r.prefix+base, way.how, dtypes.Float32, v)
			}
		}
	}
}

func (m *model) pieces(r run, piece int, cuts []int) (map[string]value, error) {
	state, err := m.state(r.prefix, len(r.rows), dtypes.Float32)
	if err != nil {
		return nil, err
	}
	runner := m.runner()
	runner.Piece = piece
	batch, tokens, vocab := len(r.rows), len(r.rows[0]), m.model32().Vocab()
	logits, loss := make([]float64, batch*tokens*vocab), make([]float64, batch*(tokens-1))
	state, err = runner.Run(m.ctx, r.rows, state, lm.Request{Logits: true, Loss: true, Cuts: cuts}, func(p lm.Piece) error {
		for b := range batch {
			for t := range p.Tokens {
				for i, v := range p.Logits[(b*p.Tokens+t)*vocab:][:vocab] {
					logits[(b*tokens+p.Start+t)*vocab+i] = float64(v)
				}
				if v := float64(p.Loss[b*p.Tokens+t]); p.Start+t < tokens-1 {
					loss[b*(tokens-1)+p.Start+t] = v
				} else if !math.IsNaN(v) {
					return fmt.Errorf("the last token has a loss: %g", v)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values := map[string]value{"logits": {logits, []int{batch, tokens, vocab}}, "loss.per_token": {loss, []int{batch, tokens - 1}}}
	for name, t := range state {
		v, err := valueOf(t)
		if err != nil {
			return nil, err
		}
		values[name], values[name+".final"] = v, v
	}
	return values, nil
}
