package paper

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/combin"

	"stuffed/pkg/collapse"
	"stuffed/pkg/study"
	"stuffed/pkg/table"
)

// ArchitecturesPlan is the study of other architectures; datasets/study/architectures/RULES.md gives the rules of judgement.
const ArchitecturesPlan = "architectures"

// The architectures of the study, in the order in which they are shown: those whose writes only add, those whose writes erase
// what the key had stored, and two that belong to neither group.
var (
	additive = []string{"mamba2", "mamba1", "gla", "hgrn2", "retnet", "rwkv5", "rwkv6"}
	erasing  = []string{"deltanet", "gated-deltanet", "kda", "rwkv7"}
	besides  = []string{"rwkv4", "llama"}

	Architectures = slices.Concat(additive, erasing, besides)
)

// ArchitectureNames maps an architecture to its name as papers write it.
var ArchitectureNames = map[string]string{"mamba2": "Mamba-2", "mamba1": "Mamba-1", "gla": "GLA", "hgrn2": "HGRN-2", "retnet": "RetNet", "rwkv4": "RWKV-4",
	"rwkv5": "RWKV-5", "rwkv6": "RWKV-6", "rwkv7": "RWKV-7", "deltanet": "DeltaNet", "gated-deltanet": "Gated DeltaNet", "kda": "KDA", "llama": "Llama"}

// The stream that decides question 2 of the rules.
const (
	streamKind  = "recall stream"
	streamShort = 64 // training length
)

// Compared is one model of the study, either on one kind of prompt or on the stream that it was trained on.
type Compared struct {
	Architecture, Kind, Row string
	Member, Seed, T         int
	collapse.Failure
	Learned bool
	Growth  float64 // largest norm beyond T over the largest within, median over heads; NaN where states were not traced
}

// Fails applies the study's rule: an excess of at least 0.1 nat whose interval lies above 0. Holds reports whether the interval
// lies below 0.1 nat.
func (m Compared) Fails() bool { return limits.ByExcess(m.Failure) == collapse.Yes }
func (m Compared) Holds() bool { return m.Excess.High < limits.Excess }

// ComparedModels returns the models of the study, without the small ones that are only there to be shipped.
func ComparedModels(root string) ([]Compared, error) {
	streams, err := comparedStreams(root)
	if err != nil {
		return nil, err
	}
	texts, err := comparedTexts(root)
	if err != nil {
		return nil, err
	}
	all := append(streams, texts...)
	slices.SortStableFunc(all, func(a, b Compared) int {
		return cmp.Or(cmp.Compare(slices.Index(Architectures, a.Architecture), slices.Index(Architectures, b.Architecture)),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.T, b.T), cmp.Compare(a.Seed, b.Seed))
	})
	return all, nil
}

// ofGroup keeps the rows of a table that belong to one group of the plan; the result may be empty.
func ofGroup(t *table.Table, group string) (*table.Table, error) {
	names, err := t.Text("group")
	if err != nil {
		return nil, err
	}
	return t.Filter(func(i int) bool { return names[i] == group }), nil
}

func comparedStreams(root string) (out []Compared, err error) {
	tables := map[string]*table.Table{}
	for _, name := range []string{"outcome", "loss", "heads"} {
		t, err := chosen(root, ArchitecturesPlan, name)
		if err == nil {
			tables[name], err = ofGroup(t, "recall")
		}
		if err != nil {
			return nil, err
		}
	}
	c, err := readOf(tables["outcome"], []string{"row", "architecture"}, []string{"replica", "seed", "train_length", "inside_accuracy"})
	if err != nil {
		return nil, err
	}
	curves, err := curvesOf(tables["loss"])
	if err != nil {
		return nil, err
	}
	heads, err := headsOf(tables["heads"])
	if err != nil {
		return nil, err
	}
	for i, row := range c.text["row"] {
		whole := func(name string) int { return int(c.float[name][i]) }
		m := Compared{Architecture: c.text["architecture"][i], Kind: streamKind, Row: row, Member: whole("replica"), Seed: whole("seed"), T: whole("train_length"),
			Learned: c.float["inside_accuracy"][i] >= LearnedAccuracy}
		key, length := memberKey{row, m.Member}, 0.0
		for _, b := range curves[key] {
			length = max(length, b.end)
		}
		if length == 0 {
			return nil, fmt.Errorf("row %s, member %d has an outcome, but no losses; collect the study again", row, m.Member)
		}
		m.Failure, m.Growth = curves[key].failure(float64(m.T), length), medianGrowth(heads[key])
		out = append(out, m)
	}
	return out, nil
}

func medianGrowth(heads []HeadGrowth) float64 {
	if len(heads) == 0 {
		return math.NaN()
	}
	v := make([]float64, len(heads))
	for i, h := range heads {
		v[i] = h.Growth
	}
	return median(v)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// knownDocuments is the loss on documents within the window, in nats, below which a model of text counts as having learned.
const knownDocuments = 2

func comparedTexts(root string) (out []Compared, err error) {
	t, err := study.Read(root, ArchitecturesPlan, "prompt_loss")
	if err != nil {
		return nil, err
	}
	c, err := readOf(t, []string{"row", "architecture", "kind"}, []string{"replica", "seed", "train_length", "sequence", "position", "end", "loss"})
	if err != nil {
		return nil, err
	}
	length := slices.Max(append([]float64{0}, c.float["end"]...))
	at, sums := map[textKey]*Compared{}, map[textKey][][4]float64{} // per sequence: loss inside and its tokens, loss far beyond and its tokens
	var order []textKey
	for i, row := range c.text["row"] {
		f := func(column string) float64 { return c.float[column][i] }
		k := textKey{row, c.text["kind"][i], int(f("replica"))}
		if at[k] == nil {
			at[k], order = &Compared{Architecture: c.text["architecture"][i], Kind: k.kind, Row: row, Member: k.member, Seed: int(f("seed")), T: int(f("train_length")), Growth: math.NaN()}, append(order, k)
		}
		for len(sums[k]) <= int(f("sequence")) {
			sums[k] = append(sums[k], [4]float64{})
		}
		s, T, middle, tokens := &sums[k][int(f("sequence"))], f("train_length"), (f("position")+f("end"))/2, f("end")-f("position")
		switch {
		case middle >= T/2 && middle < T:
			s[0], s[1] = s[0]+tokens*f("loss"), s[1]+tokens
		case middle >= length/2:
			s[2], s[3] = s[2]+tokens*f("loss"), s[3]+tokens
		}
	}
	for _, k := range order {
		var inside, far, excess []float64
		for _, s := range sums[k] {
			within, beyond := s[0]/s[1], s[2]/s[3]
			inside, far, excess = append(inside, within), append(far, beyond), append(excess, beyond-within)
		}
		m := at[k]
		m.Inside, m.Far, m.Excess = bootstrapped(inside), bootstrapped(far), bootstrapped(excess)
	}
	for _, k := range order {
		documents := at[textKey{k.row, "documents", k.member}]
		at[k].Learned = documents != nil && documents.Inside.Mean < knownDocuments
		out = append(out, *at[k])
	}
	return out, nil
}

// Summary sums up the models of one architecture on one kind of prompt at one training length.
type Summary struct {
	Architecture, Kind                string
	T, Models, Learned, Failing, Held int
	Inside                            float64           // nats, mean over learned models
	Excess                            collapse.Estimate // over learned models; two or more give a bootstrap interval
	Growth                            float64           // median over learned models
}

// mostFail reports whether more than half of the learned models fail.
func (s Summary) mostFail() bool { return 2*s.Failing > s.Learned }

// Summaries groups the models by architecture, kind and training length; excess is averaged over learned models.
func Summaries(models []Compared) (out []Summary) {
	type key struct {
		architecture, kind string
		T                  int
	}
	by, order := map[key][]Compared{}, []key(nil)
	for _, m := range models {
		k := key{m.Architecture, m.Kind, m.T}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], m)
	}
	for _, k := range order {
		s := Summary{Architecture: k.architecture, Kind: k.kind, T: k.T, Models: len(by[k]), Growth: math.NaN(), Inside: math.NaN(), Excess: collapse.Estimate{Mean: math.NaN(), Low: math.NaN(), High: math.NaN()}}
		var excess, growth []float64
		inside := 0.0
		for _, m := range by[k] {
			if !m.Learned {
				continue
			}
			s.Learned++
			if m.Fails() {
				s.Failing++
			} else if m.Holds() {
				s.Held++
			}
			excess, inside = append(excess, m.Excess.Mean), inside+m.Inside.Mean
			if !math.IsNaN(m.Growth) {
				growth = append(growth, m.Growth)
			}
		}
		if s.Learned > 0 {
			s.Excess, s.Inside = bootstrapped(excess), inside/float64(s.Learned)
		}
		if s.Learned == 1 {
			s.Excess.Low, s.Excess.High = math.NaN(), math.NaN()
		}
		if len(growth) > 0 {
			s.Growth = median(growth)
		}
		out = append(out, s)
	}
	return out
}

// labels returns the difference of two group means and its exact two-sided p-value, over all ways to split the values into groups
// of these sizes.
func labels(a, b []float64) (difference, p float64) {
	all := slices.Concat(a, b)
	total := 0.0
	for _, v := range all {
		total += v
	}
	split := func(sum float64) float64 { return sum/float64(len(a)) - (total-sum)/float64(len(b)) }
	sum := 0.0
	for _, v := range a {
		sum += v
	}
	difference = split(sum)
	reached, n := 0, 0
	for _, set := range combin.Combinations(len(all), len(a)) {
		sum := 0.0
		for _, i := range set {
			sum += all[i]
		}
		if n++; math.Abs(split(sum)) >= math.Abs(difference)-1e-12 {
			reached++
		}
	}
	return difference, float64(reached) / float64(n)
}
