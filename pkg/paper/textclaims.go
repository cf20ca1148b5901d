package paper

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"stuffed/datasets/prompt"
	"stuffed/pkg/fit"
	"stuffed/pkg/interval"
)

// knows is the loss within the window, in nats, up to which a model counts as knowing a prompt (RULES.md of text-law-512).
const knows = 0.5

// textLaw judges question 1 of RULES.md.
func (e evidence) textLaw() (Claim, error) {
	c := Claim{ID: "text law", Where: "v2 §5, Fig. 11; v1 §5", Claim: "on real text, the length that a model must be trained on to forget grows with its state (newlines)", Paper: "5.172·N_S − 4.469, 6 sizes, 1 seed", Figure: "22_matrix",
		Rule: "fixed before the study ran (datasets/study/text-law/RULES.md): thresholds of each N and seed as brackets; for the claim when the best form that grows is 2 AIC or more ahead of a constant and Kendall's τ between N and T_forget is positive with a two-sided permutation p below 0.05, against it when τ is negative with p below 0.05; not testable when fewer than a tenth or more than nine tenths of the models fail"}
	all, err := TextModels(e.root)
	if err != nil {
		return c, err
	}
	models := ofKind(all, "newlines")
	failing := failingText(models)
	g := e.growthOf(all)
	c.Ours = fmt.Sprintf("%d of %d models of width 256 fail on newlines (%s); %d thresholds, τ = %.2f, p %.2g", failing, len(models), byLength(models), len(g.points), g.tau, g.p)
	c.Plain = fmt.Sprintf("465 MB of source text: %d of %d models fail on newlines, %s by N (τ %.2f, p %.2g); on documents %d do", failing, len(models), map[bool]string{true: "ordered", false: "no order"}[g.p < 0.05], g.tau, g.p, failingText(ofKind(all, "documents")))
	c.Ours += "; " + g.forms + "; slope of the excess per doubling of N: " + slopes(models)
	known := slices.DeleteFunc(slices.Clone(models), func(m TextModel) bool { return m.Inside.Mean > knows })
	c.Ours += fmt.Sprintf("; of the %d models that know newlines within T (at most %g nat, a level set after these rows were seen) %d fail (%s)", len(known), knows, failingText(known), byLength(known))
	missing, err := textMissing(all, "grid", "pilot", "pilot-fail")
	if err != nil {
		return c, err
	}
	c.Ours += missing
	c.Verdict = g.verdict(failing, len(models))
	return c, nil
}

// textGrowth is what the thresholds on newlines say about the state size.
type textGrowth struct {
	points []fit.Point
	tau, p float64 // Kendall's, between N and the threshold
	lead   float64 // AIC of a constant less that of the best growing form
	forms  string  // in words
}

func (e evidence) growthOf(models []TextModel) textGrowth {
	g := textGrowth{lead: math.Inf(-1)}
	g.points, g.tau, g.p = textTau(models)
	r, err := fit.Fit(g.points, fit.Options{Law: "forget", Resamples: e.resamples, Seed: 1})
	if err != nil {
		g.forms = err.Error()
		return g
	}
	flat := r.Form("constant").AIC
	for _, f := range r.Forms {
		if f.Name != "constant" && f.At(g.points[len(g.points)-1].N) > f.At(g.points[0].N) {
			g.lead = max(g.lead, flat-f.AIC)
		}
	}
	g.forms = fmt.Sprintf("best form %s, the best that grows is %.1f AIC ahead of a constant", r.Best, g.lead)
	return g
}

// verdict combines this with the number of failing models.
func (g textGrowth) verdict(failing, models int) string {
	share := float64(failing) / float64(models)
	switch {
	case models == 0 || share < 0.1 || share > 0.9:
		return NotTestable
	case g.tau > 0 && g.p < 0.05 && g.lead >= 2:
		return Reproduced
	case g.tau < 0 && g.p < 0.05:
		return Contradicted
	}
	return Undecided
}

// textTau is Kendall's τ between N and the threshold on newlines, with its p-value.
func textTau(all []TextModel) (points []fit.Point, tau, p float64) {
	points, _ = TextPoints(all, "newlines")
	var n, low []float64
	for _, q := range points {
		n, low = append(n, q.N), append(low, max(q.Low, 0)) // −∞, a model that fails nowhere, ranks as the smallest
	}
	tau, p = kendall(n, low)
	return points, tau, p
}

// byLength lists the number of failing models at each training length.
func byLength(models []TextModel) string {
	var lengths []int
	for _, m := range models {
		if !slices.Contains(lengths, m.T) {
			lengths = append(lengths, m.T)
		}
	}
	slices.Sort(lengths)
	var parts []string
	for _, T := range lengths {
		some := slices.DeleteFunc(slices.Clone(models), func(m TextModel) bool { return m.T != T })
		parts = append(parts, fmt.Sprintf("T %d: %d of %d", T, failingText(some), len(some)))
	}
	return strings.Join(parts, ", ")
}

// slopes lists the slope of the excess against log2 N at each T, with bootstrap intervals over models.
func slopes(models []TextModel) string {
	by := map[int][][2]float64{}
	var lengths []int
	for _, m := range models {
		if by[m.T] == nil {
			lengths = append(lengths, m.T)
		}
		by[m.T] = append(by[m.T], [2]float64{math.Log2(float64(m.State)), m.Excess.Mean})
	}
	slices.Sort(lengths)
	var parts []string
	random := rand.New(rand.NewPCG(2, 0x7e87))
	for _, T := range lengths {
		v := by[T]
		if math.IsNaN(slope(v)) {
			parts = append(parts, fmt.Sprintf("T %d a single N", T))
			continue
		}
		var drawn []float64
		for range resamples { // a resample with a single N has no slope and is skipped
			some := make([][2]float64, len(v))
			for i := range some {
				some[i] = v[random.IntN(len(v))]
			}
			if s := slope(some); !math.IsNaN(s) {
				drawn = append(drawn, s)
			}
		}
		low, high := interval.Percentiles(drawn)
		parts = append(parts, fmt.Sprintf("T %d %.2g [%.2g, %.2g] nat", T, slope(v), low, high))
	}
	return strings.Join(parts, ", ")
}

// slope is the least-squares slope; NaN if all abscissae are equal.
func slope(v [][2]float64) float64 {
	var x, y, xx, xy float64
	n := float64(len(v))
	for _, p := range v {
		x, y, xx, xy = x+p[0], y+p[1], xx+p[0]*p[0], xy+p[0]*p[1]
	}
	if d := n*xx - x*x; d > 1e-9 {
		return (n*xy - x*y) / d
	}
	return math.NaN()
}

// kendall returns τ-a, the share of concordant less that of discordant pairs, and its two-sided p-value under permutations of y.
func kendall(x, y []float64) (tau, p float64) {
	score := func(y []float64) (s int) {
		for i := range x {
			for j := range i {
				s += sign(x[i]-x[j]) * sign(y[i]-y[j])
			}
		}
		return s
	}
	seen, reached := score(y), 1
	random, shuffled := rand.New(rand.NewPCG(3, 0x7e87)), slices.Clone(y)
	for range permutations {
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if s := score(shuffled); max(s, -s) >= max(seen, -seen) {
			reached++
		}
	}
	return float64(seen) / (float64(len(x)*(len(x)-1)) / 2), float64(reached) / (permutations + 1)
}

func sign(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// textDocuments judges question 3.
func (e evidence) textDocuments() (Claim, error) {
	c := Claim{ID: "text documents", Where: "v1 Fig. 1b, v2 Fig. 1", Claim: "models of real text fail beyond T on real documents (465 MB)", Paper: "from 130M parameters on", Figure: "22_prompts",
		Rule: "fixed before the study ran: share of the grid's models that fail on documents with its 95 % interval of Wilson; for the claim above 5 % throughout, against it below 5 % throughout"}
	all, err := TextModels(e.root)
	if err != nil {
		return c, err
	}
	models := ofKind(all, "documents")
	if len(models) == 0 {
		return c, orMissing(nil, "documents among the prompts")
	}
	n := failingText(models)
	low, high, err := prompt.Wilson(n, len(models), 1.96)
	if err != nil {
		return c, err
	}
	newlines, holding := ofKind(all, "newlines"), 0
	for _, m := range models {
		if m.Holds() {
			holding++
		}
	}
	c.Ours = fmt.Sprintf("%d of %d fail [%.3f, %.3f] (%s), %d hold, %d are neither; beside %d of %d on newlines", n, len(models), low, high, byLength(models), holding, len(models)-n-holding, failingText(newlines), len(newlines))
	c.Verdict = Verdict(decided(low > 0.05, high < 0.05))
	if _, more, err := prompt.Wilson(n+1, len(models), 1.96); err == nil && high < 0.05 && more >= 0.05 {
		c.Ours += fmt.Sprintf("; on the edge: with one failing model the interval would reach to %.3f and decide nothing", more)
	}
	return c, nil
}

// textTokens judges question 4.
func (e evidence) textTokens() (Claim, error) {
	c := Claim{ID: "text tokens", Where: "v1 F.2", Claim: "on real text, other constant prompts behave as newlines do", Paper: "same behaviour claimed", Figure: "22_prompts",
		Rule: "fixed before the study ran: Cochran's Q over the five constant tokens, each model a block, permutations within models; p below 0.05 contradicts the claim, otherwise it stays undecided, since a test of difference cannot show sameness"}
	all, err := TextModels(e.root)
	if err != nil {
		return c, err
	}
	var said []string
	blocks := map[[2]int64][]bool{}
	var order [][2]int64
	for _, kind := range TextPrompts {
		some := ofKind(all, kind)
		if len(some) == 0 {
			continue
		}
		said = append(said, fmt.Sprintf("%s %d of %d", kind, failingText(some), len(some)))
		if kind != "newlines" && !strings.HasPrefix(kind, "constant:") {
			continue
		}
		for _, m := range some {
			k := [2]int64{int64(m.State)<<32 | int64(m.T), int64(m.Seed)}
			if blocks[k] == nil {
				order = append(order, k)
			}
			blocks[k] = append(blocks[k], m.Fails())
		}
	}
	var rows [][]bool
	for _, k := range order {
		if len(blocks[k]) == len(blocks[order[0]]) {
			rows = append(rows, blocks[k])
		}
	}
	q, p := cochran(rows)
	c.Ours = fmt.Sprintf("models that fail: %s; over the constant tokens Q = %.2f, p %.2g", strings.Join(said, ", "), q, p)
	c.Verdict = Verdict(decided(false, p < 0.05))
	return c, nil
}

// cochran returns Cochran's Q of yes–no answers [block][treatment] and its p-value under permutations within blocks.
func cochran(rows [][]bool) (q, p float64) {
	if len(rows) == 0 {
		return math.NaN(), 1
	}
	k := float64(len(rows[0]))
	score := func() float64 {
		columns, total, squares := make([]float64, len(rows[0])), 0.0, 0.0
		for _, row := range rows {
			n := 0.0
			for j, yes := range row {
				if yes {
					columns[j]++
					n++
				}
			}
			total, squares = total+n, squares+n*n
		}
		sum := 0.0
		for _, x := range columns {
			sum += (x - total/k) * (x - total/k)
		}
		if d := k*total - squares; d > 0 {
			return k * (k - 1) * sum / d
		}
		return 0
	}
	q = score()
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i] = slices.Clone(rows[i])
	}
	random, reached := rand.New(rand.NewPCG(4, 0x7e87)), 1
	for range permutations {
		for _, row := range rows {
			random.Shuffle(len(row), func(i, j int) { row[i], row[j] = row[j], row[i] })
		}
		if score() >= q-1e-9 {
			reached++
		}
	}
	return q, float64(reached) / (permutations + 1)
}

// textQuestions is the number of questions in RULES.md.
const textQuestions = 7

// explosions counts models with exploding heads, or with heads that grow at all, against failure on newlines, within each T.
type explosions struct {
	exploding, growing             []pair
	failing, both, holding, others int // models that fail, those of them that explode, models that do not fail, those of them that explode
}

func explosionsOf(models []TextModel) (e explosions) {
	for _, m := range ofKind(models, "newlines") {
		if len(m.All) == 0 {
			continue
		}
		stratum := fmt.Sprint(m.T)
		e.exploding = append(e.exploding, pair{stratum, m.explodes(), m.Fails()})
		e.growing = append(e.growing, pair{stratum, slices.ContainsFunc(m.All, HeadGrowth.Grows), m.Fails()})
		all, some := &e.holding, &e.others
		if m.Fails() {
			all, some = &e.failing, &e.both
		}
		*all++
		if m.explodes() {
			*some++
		}
	}
	return e
}

// withoutOne counts the models without any one of which the coincidence would no longer reach p < 0.05.
func withoutOne(pairs []pair) (n int) {
	for i := range pairs {
		if _, _, p := coincide(slices.Delete(slices.Clone(pairs), i, i+1)); p >= 0.05 {
			n++
		}
	}
	return n
}

// textExplosion judges the first half of question 5.
func (e evidence) textExplosion() (Claim, error) {
	c := Claim{ID: "text explosion", Where: "v1 Fig. 4, v2 Fig. 5", Claim: "on real text, exploding states and failure go together (newlines)", Paper: "3 heads of 8 shown", Figure: "22_growth",
		Rule: "fixed before the study ran: a head explodes when its norm grows beyond what its retention over T and its writes within T allow; explosion against failure over the models of the grid, Fisher's exact test within each T, two-sided: for the claim when they coincide more often than expected with p below 0.05, against it when less often with p below 0.05; seven questions are asked of one study, and what Holm's correction would leave of this one stands beside it, deciding nothing"}
	all, err := TextModels(e.root)
	if err != nil {
		return c, err
	}
	x := explosionsOf(all)
	if len(x.exploding) == 0 {
		return c, orMissing(nil, "newlines among the traced prompts")
	}
	seen, expected, p := coincide(x.exploding)
	seenGrow, expectedGrow, pGrow := coincide(x.growing)
	c.Ours = fmt.Sprintf("explode: %d of %d failing models, %d of %d others; %.0f coincide, %.1f expected (p %.2g); growth by 2: %.0f coincide, %.1f expected (p %.2g)",
		x.both, x.failing, x.others, x.holding, seen, expected, p, seenGrow, expectedGrow, pGrow)
	if p < 0.05 {
		c.Ours += fmt.Sprintf("; on the edge: without one model, any of %d of the %d, p would be 0.05 or more, and over the %d questions of the study Holm's first step gives p %.2g", withoutOne(x.exploding), len(x.exploding), textQuestions, min(1, textQuestions*p))
	}
	c.Verdict = Verdict(decided(p < 0.05 && seen > expected, p < 0.05 && seen < expected))
	return c, nil
}
