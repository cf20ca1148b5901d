// Package paper checks the claims of Stuffed Mamba (arXiv 2410.07145) against the tables that package study collects: which
// models fail, what accompanies the failure, the thresholds and their scaling laws, and a verdict for each claim.
//
// Every verdict is computed: a claim's function turns tables into sides (see [Side]) and [Verdict] combines them, so that a
// changed number in a table can change the verdict.
package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"stuffed/pkg/table"
)

// Claim is one claim of arXiv 2410.07145 next to what the studies found.
type Claim struct {
	ID      string `parquet:"id" doc:"short name"`
	Where   string `parquet:"where" doc:"version and figure or section; v1 is the ICLR submission, v2 the COLM paper"`
	Claim   string `parquet:"claim" doc:"what the paper says"`
	Paper   string `parquet:"paper" doc:"its number"`
	Ours    string `parquet:"ours" doc:"ours with its interval"`
	Verdict string `parquet:"verdict" doc:"what follows"`
	Figure  string `parquet:"figure" doc:"id of the one that shows the number, empty for none"`
	Rule    string `parquet:"rule" doc:"how the verdict follows from it"`
	Plain   string `parquet:"-" doc:"one sentence for the front page and the notebooks' conclusions, or empty"`
}

// open turns missing rows, which err names, into an undecided claim without a figure. Any other error is returned.
func (c Claim) open(err error) (Claim, error) {
	if !errors.Is(err, errNothing) {
		return c, err
	}
	c.Ours, c.Verdict, c.Figure = strings.TrimPrefix(err.Error(), errNothing.Error()+": "), NoResult, ""
	return c, nil
}

// evidence is what claims are judged on.
type evidence struct {
	root      string
	resamples int // of the bootstrap
	all       []Model
	left      []Model    // models that have not learned their task
	twice     [][2]Model // first and second training from the same seeds; all holds the first
}

// Claims judges every claim on the collected studies in root. A claim whose study is missing says so; a table that exists but
// cannot be read is an error.
func Claims(root string) ([]Claim, error) { return claims(root, judging) }

// judging is the number of bootstrap resamples behind the intervals of fits, in the list of claims and in every notebook.
const judging = 400

func claims(root string, resamples int) ([]Claim, error) {
	e, err := evidenceOf(root, resamples)
	if err != nil {
		return nil, err
	}
	out, err := judged(e, registry)
	return append(out, beyondReach...), err
}

// test pairs a claim with the function that judges it.
type test struct {
	id    string
	judge func(evidence) (Claim, error)
}

var registry = []test{
	{"fails beyond T", evidence.failsBeyond}, {"the paper's rule", evidence.paperRule}, {"larger is worse", evidence.largerIsWorse},
	{"forget threshold", evidence.threshold}, {"forget law", evidence.forgetLaw}, {"recall law", evidence.recallLaw},
	{"explosion", evidence.explodes}, {"explosion first", evidence.order}, {"growth means failure", evidence.growth},
	{"retention", evidence.retains}, {"retention and growth", evidence.retentionGrows}, {"over-training", evidence.overTraining},
	{"longer training", evidence.longerCures}, {"price in short contexts", evidence.shortPrice}, {"state passing", evidence.passing},
	{"carried states", evidence.carrying}, {"mitigations", evidence.suppressed}, {"trained limit", evidence.normLimited}, {"over-retention as cause", evidence.causal},
	{"forget law, its R²", evidence.publishedForget}, {"recall law, its R²", evidence.publishedRecall}, {"state sizes", evidence.sizes},
	{"text", evidence.documents}, {"newlines", evidence.newlines}, {"text law", evidence.textLaw}, {"text law, width 512", evidence.text512}, {"paper's size", evidence.bridgeFails}, {"paper's size, longer window", evidence.bridgeCures}, {"text documents", evidence.textDocuments},
	{"text tokens", evidence.textTokens}, {"text explosion", evidence.textExplosion}, {"text heads", evidence.textHeadsClaim}, {"text states", evidence.textStatesClaim},
	{"text over-training", evidence.textLongerClaim}, {"text cause", evidence.textBoundsClaim}, {"text again", evidence.textAgainClaim}, {"byte models again", evidence.bytesAgainClaim}, {"RWKV-6 and others", evidence.othersFail}, {"erasing", evidence.erasingHelps}, {"components", evidence.components}, {"convolution state", evidence.convolution},
}

func evidenceOf(root string, resamples int) (evidence, error) {
	all, twice, err := trained(root, AllPlans...)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return evidence{}, err
	}
	left := of(all, func(m Model) bool { return !m.Learned() })
	return evidence{root: root, resamples: resamples, all: of(all, Model.Learned), left: left, twice: twice}, nil
}

// leftOut names the models that are not counted because they have not learned their task.
func (e evidence) leftOut(which ...func(Model) bool) string {
	var said []string
	for _, m := range of(e.left, which...) {
		said = append(said, fmt.Sprintf("%v (recalls %.0f %% within T)", m, 100*m.InsideRecall))
	}
	if len(said) == 0 {
		return ""
	}
	return "; left out: " + strings.Join(said, ", ")
}

// judged runs the tests. A missing study gives the claim a verdict of its own, [NoResult].
func judged(e evidence, tests []test) (out []Claim, err error) {
	for _, t := range tests {
		c, err := t.judge(e)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.Ours, c.Verdict = "–", NoResult
		case errors.Is(err, errNothing):
			c.Ours, c.Verdict = err.Error(), NotTestable
		case err != nil:
			return nil, fmt.Errorf("claim %s: %w", c.ID, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// beyondReach lists the claims that these studies cannot address, so that none is passed over in silence.
var beyondReach = []Claim{
	{ID: "passkey 256K", Where: "v1 abstract, v2 §6", Claim: "a 370M Mamba-2 trained long enough retrieves passkeys at 256K", Paper: "near 100 %",
		Ours: "no model of that size was trained here; official checkpoints are opened by `stuffed passkey --model`", Verdict: NotTestable},
	{ID: "780M needs 128K", Where: "v2 §5", Claim: "780M generalises poorly when trained on less than 128K", Paper: "no number",
		Ours: "no model of that size was trained here", Verdict: NotTestable},
}

// needs returns the learned models of the plans; a plan without any counts as a missing study.
func (e evidence) needs(plans ...string) ([]Model, error) {
	var out []Model
	for _, p := range plans {
		some := of(e.all, in(p))
		if len(some) == 0 {
			return nil, fmt.Errorf("no model of the study %s: %w", p, fs.ErrNotExist)
		}
		out = append(out, some...)
	}
	return out, nil
}

// fromZeros returns the models, of all studies, whose sequences started from zero states.
func (e evidence) fromZeros() ([]Model, error) {
	some := of(e.all, with("zero"))
	if len(some) == 0 {
		return nil, fmt.Errorf("no model: %w", fs.ErrNotExist)
	}
	return some, nil
}

// ClaimsTable returns the claims as a table.
func ClaimsTable(claims []Claim) *table.Table { return table.Of(claims) }

var cell = strings.NewReplacer("|", "\\|", "\n", " ")

// ClaimsMarkdown writes the full list: for each claim what the paper says, what was found, and how the verdict follows.
func ClaimsMarkdown(claims []Claim) string {
	var b strings.Builder
	b.WriteString("| claim | paper | found here | verdict | figure |\n|---|---|---|---|---|\n")
	for _, c := range claims {
		fmt.Fprintf(&b, "| %s (%s) | %s | %s | **%s** | %s |\n", cell.Replace(c.Claim), cell.Replace(c.Where), cell.Replace(c.Paper), cell.Replace(c.Ours), c.Verdict, linked(c.Figure))
	}
	b.WriteString("\n### How each verdict follows\n\n")
	for _, c := range claims {
		if c.Rule != "" {
			fmt.Fprintf(&b, "- *%s*: %s\n", c.Claim, c.Rule)
		}
	}
	return b.String()
}

func linked(figure string) string {
	if figure == "" {
		return "–"
	}
	return fmt.Sprintf("[%s](figures/%s/%s.png)", figure, figure, figure)
}

// front lists the claims of the front page, ten at most, in few words.
var front = []struct{ id, says string }{
	{"fails beyond T", "loss rises far beyond T"}, {"larger is worse", "at equal T, larger states fail more"},
	{"forget threshold", "forgets above a T set by the state's size"}, {"explosion", "states explode where models fail"},
	{"over-training", "more training brings it on"}, {"longer training", "longer sequences cure it"},
	{"mitigations", "training-free methods help, at a cost"}, {"over-retention as cause", "the most retentive heads cause it"},
	{"text law", "on text, larger states need a larger T"}, {"erasing", "models fail that never erase, others hold"},
}

// ShortMarkdown writes the front page's list in plain words; claims without results are left out.
func ShortMarkdown(claims []Claim) string {
	var b strings.Builder
	b.WriteString("| the paper says | verdict: what was found here |\n|---|---|\n")
	for _, f := range front {
		at := slices.IndexFunc(claims, func(c Claim) bool { return c.ID == f.id && c.Plain != "" })
		if at >= 0 {
			fmt.Fprintf(&b, "| %s | **%s**: %s |\n", cell.Replace(f.says), claims[at].Verdict, cell.Replace(claims[at].Plain))
		}
	}
	return b.String()
}

// ranged formats a mean with its range and the number of values: mean [min, max] of n.
func ranged(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	mean, low, high := spread(v)
	return fmt.Sprintf("%.2g [%.2g … %.2g] (%d models)", mean, low, high, len(v))
}

// floats reads a column from the rows in which other columns have the given values, passed as name–value pairs.
func floats(t *table.Table, column string, where ...any) ([]float64, error) {
	v, err := t.Float(column)
	if err != nil {
		return nil, err
	}
	keep := slices.Repeat([]bool{true}, len(v))
	for k := 0; k < len(where); k += 2 {
		texts, err := t.Text(where[k].(string))
		if err != nil {
			return nil, err
		}
		for i, s := range texts {
			keep[i] = keep[i] && s == fmt.Sprint(where[k+1])
		}
	}
	var out []float64
	for i, x := range v {
		if keep[i] && !math.IsNaN(x) {
			out = append(out, x)
		}
	}
	return out, nil
}

func orMissing(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errNothing, what)
}
