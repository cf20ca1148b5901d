// Package paper holds the claims of Stuffed Mamba (arXiv 2410.07145) against the tables that package study collects:
// which models fail, what goes with the failure, the thresholds and their laws, and a verdict for each claim.
package paper

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"stuffed/pkg/table"
)

// Verdicts on a claim.
const (
	Reproduced  = "reproduced at this scale"
	Not         = "not reproduced at this scale"
	Mixed       = "in part"
	NotTestable = "not testable at this scale"
	Elsewhere   = "not part of the study"
	NoResult    = "no result yet"
)

// Claim is one claim of arXiv 2410.07145 beside what the study found.
type Claim struct {
	ID      string // short name
	Where   string // version and figure or section; v1 is the ICLR submission, v2 the COLM paper
	Claim   string
	Paper   string // its number
	Ours    string // ours with its interval
	Verdict string
	Figure  string // id of ours, empty for none
}

// evidence reads tables of collected studies and remembers what is missing.
type evidence struct {
	root      string
	resamples int // of the bootstrap
}

// Claims holds every claim against the collected studies in root. Claims whose study is not there say so; a table that is
// there and cannot be read is an error.
func Claims(root string) ([]Claim, error) { return evidence{root, 400}.claims() }

func (e evidence) claims() ([]Claim, error) {
	var out []Claim
	for _, test := range []func() (Claim, error){
		e.failsBeyond, e.explodes, e.order, e.retains, e.overTraining, e.largerIsWorse, e.threshold, e.forgetLaw, e.recallLaw,
		e.longerCures, e.shortPrice, e.carryingCures, e.suppressed, e.publishedForget, e.publishedRecall, e.sizes, e.text,
	} {
		c, err := test()
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
	return append(out, fixed...), nil
}

// fixed are the claims that these studies cannot speak to, said so that none is passed over.
var fixed = []Claim{
	{"passkey 256K", "v1 abstract, v2 §6", "a 370M Mamba-2 trained long enough retrieves passkeys at 256K", "near 100 %", "–", NotTestable, ""},
	{"780M needs 128K", "v2 §5", "780M generalises poorly when trained on less than 128K", "no number", "–", NotTestable, ""},
	{"RWKV-6 and others", "v1 Fig. 1c, v2 Fig. 13–15", "RWKV-6, Mamba-1 and HGRN-2 fail too, more mildly", "curves only", "–", Elsewhere, ""},
	{"components", "v1 Fig. 6, v2 Fig. 7", "Δ, B and x drift after the training length", "curves only", "–", Elsewhere, "05_*"},
	{"convolution state", "v2 Fig. 17", "the convolution state stays stable", "curves only", "–", Elsewhere, "03_*"},
}

// ClaimsTable is the list as a table.
func ClaimsTable(claims []Claim) *table.Table {
	columns := make([][]string, 7)
	for _, c := range claims {
		for i, v := range []string{c.ID, c.Where, c.Claim, c.Paper, c.Ours, c.Verdict, c.Figure} {
			columns[i] = append(columns[i], v)
		}
	}
	t := table.New()
	for i, name := range []string{"id", "where", "claim", "paper", "ours", "verdict", "figure"} {
		t.AddText(name, columns[i])
	}
	return t
}

// ClaimsMarkdown is the list in short.
func ClaimsMarkdown(claims []Claim) string {
	safe := strings.NewReplacer("|", "\\|", "\n", " ")
	var b strings.Builder
	b.WriteString("| claim | where | paper | ours | verdict | figure |\n|---|---|---|---|---|---|\n")
	for _, c := range claims {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", safe.Replace(c.Claim), safe.Replace(c.Where), safe.Replace(c.Paper), safe.Replace(c.Ours), c.Verdict, c.Figure)
	}
	return b.String()
}

// ranged writes mean [smallest, largest] of n.
func ranged(v []float64) string {
	if len(v) == 0 {
		return "–"
	}
	mean, low, high := spread(v)
	return fmt.Sprintf("%.3g [%.3g, %.3g], %d models", mean, low, high, len(v))
}

// floats reads a column of the rows in which other columns have given values: pairs of name and value.
func floats(t *table.Table, column string, where ...any) ([]float64, error) {
	v, err := t.Float(column)
	if err != nil {
		return nil, err
	}
	keep := make([]bool, len(v))
	for i := range keep {
		keep[i] = true
	}
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

func share(v []float64) float64 {
	n := 0.0
	for _, x := range v {
		n += x
	}
	return n / float64(len(v))
}
