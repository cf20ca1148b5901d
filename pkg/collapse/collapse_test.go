package collapse

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

var scenes = map[string]func(*scene){
	"plain":           func(*scene) {},
	"every token":     func(s *scene) { s.stride, s.prompts, s.length = 1, 1, 2048 },
	"coarse, one":     func(s *scene) { s.stride, s.prompts, s.length = 64, 1, 16384 },
	"coarse, noisy":   func(s *scene) { s.stride, s.prompts, s.length, s.stateNoise, s.lossNoise = 64, 8, 16384, 0.5, 0.5 },
	"few in window":   func(s *scene) { s.train, s.stride, s.length = 64, 64, 4096 },
	"long window":     func(s *scene) { s.train, s.stride, s.length, s.stateNoise, s.lossNoise = 1024, 128, 16384, 0.3, 0.3 },
	"tokens, noisy":   func(s *scene) { s.train, s.stride, s.length, s.stateNoise, s.lossNoise = 64, 1, 2048, 0.5, 1 },
	"high early loss": func(s *scene) { s.early, s.drift = 6, 1 },
	"prompt levels":   func(s *scene) { s.fixedPromptGap, s.stateNoise = true, 0.3 },
	"skewed loss":     func(s *scene) { s.train, s.stride, s.length, s.heads, s.lossNoise, s.skewed = 512, 4, 8192, 2, 1, true },
}

func abs(x int) int { return max(x, -x) }

// Each planted onset is found within one bucket, and the state is said to come
// first, in at least 95 of 100 seeds.
func TestPlantedOnsets(t *testing.T) {
	for name, change := range scenes {
		t.Run(name, func(t *testing.T) {
			s := base()
			change(&s)
			s.stateOnset, s.lossOnset = 4*s.train, 7*s.train
			state, loss, first := 0, 0, 0
			for seed := range 100 {
				states, losses := s.tables(uint64(seed))
				rule := DefaultRule(s.train)
				rule.Resamples = 100
				v, err := Judge(states, losses, rule)
				if err != nil {
					t.Fatal(err)
				}
				bucket := max(s.stride, rule.M)
				if v.Explosion && abs(*v.ExplosionAt-s.stateOnset) <= bucket {
					state++
				}
				if v.Strict && abs(*v.DegradationAt-s.lossOnset) <= bucket {
					loss++
				}
				if v.First == "state" {
					first++
				}
			}
			if state < 95 || loss < 95 || first < 95 {
				t.Errorf("of 100 seeds: state onset found in %d, loss onset in %d, order in %d", state, loss, first)
			}
		})
	}
}

func TestNoFalseAlarm(t *testing.T) {
	for name, change := range scenes {
		t.Run(name, func(t *testing.T) {
			s := base()
			change(&s)
			quiet := 0
			for seed := range 100 {
				states, losses := s.tables(uint64(seed))
				v, err := Judge(states, losses, DefaultRule(s.train))
				if err != nil {
					t.Fatal(err)
				}
				if !v.Explosion && !v.Paper && !v.Perplexity && !v.Strict && v.First == "neither" {
					quiet++
				}
			}
			if quiet < 95 {
				t.Errorf("silent in %d of 100 seeds", quiet)
			}
		})
	}
}

func judge(t *testing.T, s scene) *Verdict {
	t.Helper()
	states, losses := s.tables(3)
	v, err := Judge(states, losses, DefaultRule(s.train))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestFourOutcomes(t *testing.T) {
	for _, c := range []struct {
		state, loss int
		first       string
	}{
		{-1, -1, "neither"}, {1024, -1, "state"}, {-1, 1024, "loss"},
		{1024, 2048, "state"}, {2048, 1024, "loss"}, {1024, 1024, "undecided"},
	} {
		s := base()
		s.stateOnset, s.lossOnset, s.rise = c.state, c.loss, 4.5
		v := judge(t, s)
		if v.Explosion != (c.state >= 0) || v.Strict != (c.loss >= 0) || v.Paper != v.Strict || v.Perplexity != v.Strict || v.First != c.first {
			t.Errorf("planted %d, %d: explosion %v, degradation %v %v %v, first %q, want %q",
				c.state, c.loss, v.Explosion, v.Paper, v.Perplexity, v.Strict, v.First, c.first)
		}
		if c.state >= 0 {
			if len(v.Heads) != 2 || v.Heads[0].Layer != 0 || v.Heads[0].Head > 1 || v.Details.HeadsShare != 0.5 {
				t.Errorf("heads %+v, share %v", v.Heads, v.Details.HeadsShare)
			}
			if math.Abs(v.Heads[0].Ratio-5) > 1.5 || *v.ExplosionLow > c.state || *v.ExplosionHigh < c.state {
				t.Errorf("ratio %v, interval %d … %d", v.Heads[0].Ratio, *v.ExplosionLow, *v.ExplosionHigh)
			}
		} else if v.ExplosionAt != nil || v.ExplosionLow != nil || v.ExplosionHigh != nil || len(v.Heads) != 0 {
			t.Errorf("onset without explosion: %+v", v)
		}
	}
}

// The early peak counts for the paper's rule and not for the strict one.
func TestEarlyPeak(t *testing.T) {
	s := base()
	s.early, s.rise, s.lossOnset = 7, 2, 1024
	if v := judge(t, s); !v.Strict || v.Paper || v.Perplexity || abs(*v.DegradationAt-1024) > 8 {
		t.Errorf("strict %v at %v, paper %v, perplexity %v", v.Strict, v.DegradationAt, v.Paper, v.Perplexity)
	}
}

// curves builds tables of one prompt and one head from functions of position.
func curves(positions []int, norm, loss func(t int) float64) (states, losses *table.Table) {
	n := len(positions)
	pos, norms, nats, zero := make([]int64, n), make([]float64, n), make([]float64, n), make([]int64, n)
	for i, p := range positions {
		pos[i], norms[i], nats[i] = int64(p), norm(p), loss(p)
	}
	return table.New().AddInt("prompt", zero).AddInt("position", pos).AddInt("layer", zero).AddInt("head", zero).AddFloat("norm", norms),
		table.New().AddInt("prompt", zero).AddInt("position", pos).AddFloat("loss", nats)
}

func every(stride, length int) []int {
	var out []int
	for p := 0; p < length; p += stride {
		out = append(out, p)
	}
	return out
}

func one(int) float64 { return 1 }

func TestPersistence(t *testing.T) {
	for _, c := range []struct {
		length int
		want   bool
	}{{63, false}, {64, true}, {65, true}} {
		burst := func(t int) float64 {
			if t >= 600 && t < 600+c.length {
				return 2.1
			}
			return 1
		}
		states, losses := curves(every(1, 2048), burst, one)
		v, err := Judge(states, losses, DefaultRule(256))
		if err != nil {
			t.Fatal(err)
		}
		if v.Explosion != c.want || (c.want && *v.ExplosionAt != 600) {
			t.Errorf("burst of %d tokens with m 64: explosion %v", c.length, v.Explosion)
		}
	}
}

func TestGrowthBelowK(t *testing.T) {
	for _, c := range []struct {
		limit float64
		want  bool
	}{{1.95, false}, {2.1, true}} {
		states, losses := curves(every(4, 8192), func(t int) float64 {
			return 1 + (c.limit-1)*min(1, math.Max(0, float64(t-256)/2000))
		}, one)
		v, err := Judge(states, losses, DefaultRule(256))
		if err != nil {
			t.Fatal(err)
		}
		if v.Explosion != c.want {
			t.Errorf("growth to %v times the band: explosion %v", c.limit, v.Explosion)
		}
	}
}

func TestConstantTables(t *testing.T) {
	for _, value := range []float64{0, 1, 1e-30, 1e30} {
		constant := func(int) float64 { return value }
		states, losses := curves(every(16, 4096), constant, constant)
		v, err := Judge(states, losses, DefaultRule(128))
		if err != nil {
			t.Fatal(err)
		}
		if v.Explosion || v.Paper || v.Perplexity || v.Strict || v.First != "neither" {
			t.Errorf("constant %v: %+v", value, v)
		}
		if v.Details.All[0].Ratio != 1 {
			t.Errorf("constant %v: ratio %v", value, v.Details.All[0].Ratio)
		}
	}
}

func TestUnevenStridesAndOverflow(t *testing.T) {
	positions := append(every(8, 256), 256, 300, 512, 700, 1024, 1500, 2048, 3000, 4096, 6000, 8192, 9000, 16384)
	step := func(at int, high float64) func(int) float64 {
		return func(t int) float64 {
			if t >= at {
				return high
			}
			return 1
		}
	}
	states, losses := curves(positions, step(1024, math.Inf(1)), step(2048, 4))
	v, err := Judge(states, losses, DefaultRule(256))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Explosion || *v.ExplosionAt != 1024 || !v.Strict || *v.DegradationAt != 2048 || !v.Paper || v.First != "state" {
		t.Errorf("%+v", v)
	}
	if _, err := json.Marshal(v); err != nil {
		t.Errorf("an infinite norm must not break the JSON: %v", err)
	}
}

func TestMissingValues(t *testing.T) {
	s := base()
	s.stateOnset, s.lossOnset = 1024, 2048
	states, losses := s.tables(5)
	norms, _ := states.Float("norm")
	nats, _ := losses.Float("loss")
	for i := range norms {
		if i%7 == 3 {
			norms[i] = math.NaN()
		}
	}
	for i := range nats {
		if i%5 == 2 {
			nats[i] = math.NaN()
		}
	}
	v, err := Judge(states, losses, DefaultRule(s.train))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Explosion || abs(*v.ExplosionAt-1024) > 64 || !v.Strict || abs(*v.DegradationAt-2048) > 64 || len(v.Details.Warnings) != 2 {
		t.Errorf("%+v", v)
	}
}

// A prompt that ends early and has another level must not look like a change.
func TestPromptThatEndsEarly(t *testing.T) {
	s := base()
	s.prompts = 2
	states, losses := s.tables(1)
	for _, c := range []struct {
		t    *table.Table
		name string
		f    func(float64) float64
	}{{states, "norm", func(x float64) float64 { return x / 50 }}, {losses, "loss", func(x float64) float64 { return x - 2 }}} {
		values, _ := c.t.Float(c.name)
		prompts, _ := c.t.Int("prompt")
		for i := range values {
			if prompts[i] == 1 {
				values[i] = c.f(values[i])
			}
		}
	}
	short := func(t *table.Table) *table.Table {
		prompts, _ := t.Int("prompt")
		positions, _ := t.Int("position")
		return t.Filter(func(i int) bool { return prompts[i] == 0 || positions[i] < 1000 })
	}
	v, err := Judge(short(states), short(losses), DefaultRule(s.train))
	if err != nil {
		t.Fatal(err)
	}
	if v.Explosion || v.Strict || v.Paper {
		t.Errorf("%+v", v)
	}
}

func TestBadInput(t *testing.T) {
	s := base()
	states, losses := s.tables(1)
	rule := DefaultRule(256)
	none := func(int) bool { return false }
	withNaN := func(t *table.Table, name string) *table.Table {
		t = t.Filter(func(int) bool { return true })
		values, _ := t.Float(name)
		for i := range values {
			values[i] = math.NaN()
		}
		return t
	}
	withOne := func(t *table.Table, v float64) *table.Table {
		t = t.Filter(func(int) bool { return true })
		values, _ := t.Float("loss")
		values[3] = v
		return t
	}
	set := func(f func(*Rule)) Rule { r := rule; f(&r); return r }
	for name, c := range map[string]struct {
		states, losses *table.Table
		rule           Rule
		want           string
	}{
		"k":             {states, losses, set(func(r *Rule) { r.K = 1 }), "k is 1, want"},
		"k NaN":         {states, losses, set(func(r *Rule) { r.K = math.NaN() }), "k is NaN"},
		"m":             {states, losses, set(func(r *Rule) { r.M = 0 }), "m is 0"},
		"factor":        {states, losses, set(func(r *Rule) { r.Factor = 0.5 }), "factor is 0.5"},
		"margin":        {states, losses, set(func(r *Rule) { r.Margin = -0.1 }), "margin is -0.1"},
		"train":         {states, losses, set(func(r *Rule) { r.TrainLength = 0 }), "train length is 0"},
		"bucket":        {states, losses, set(func(r *Rule) { r.Bucket = -1 }), "bucket is -1"},
		"short":         {states, losses, set(func(r *Rule) { r.TrainLength = 5000 }), "training length 5000"},
		"empty states":  {states.Filter(none), losses, rule, "no rows"},
		"empty losses":  {states, losses.Filter(none), rule, "no rows"},
		"NaN states":    {withNaN(states, "norm"), losses, rule, "holds no number"},
		"NaN losses":    {states, withNaN(losses, "loss"), rule, "holds no number"},
		"infinite loss": {states, withOne(losses, math.Inf(1)), rule, "losses: line 4, of prompt 0 at position"},
		"loss −∞":       {states, withOne(losses, math.Inf(-1)), rule, "loss is -Inf"},
		"columns":       {losses, losses, rule, "missing columns: layer, head, norm"},
		"other column":  {states, losses, set(func(r *Rule) { r.Column = "variance" }), "missing columns: variance"},
		"swapped":       {states, states, rule, "missing columns: loss"},
		"short losses":  {states, losses.Filter(func(i int) bool { return i < 10 }), rule, "losses: the last position is 72"},
		"negative norm": {states.Filter(func(i int) bool { return true }), losses, rule, "row 1: -1"},
	} {
		if name == "negative norm" {
			values, _ := c.states.Float("norm")
			values[0] = -1
		}
		_, err := Judge(c.states, c.losses, c.rule)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that contains %q", name, err, c.want)
		}
	}
}

func TestSweepShowsFlips(t *testing.T) {
	s := base()
	s.stateOnset, s.lossOnset = 1024, 2048
	s.jump, s.rise = 2.6, 1
	states, losses := s.tables(1)
	out, err := Sweep(states, losses, DefaultRule(s.train), DefaultGrid())
	if err != nil {
		t.Fatal(err)
	}
	k, _ := out.Float("k")
	factor, _ := out.Float("factor")
	explosion, _ := out.Int("explosion")
	paper, _ := out.Int("degradation_paper")
	flips, _ := out.Int("flips")
	if out.Rows() != 6*4*6*5 || !slices.Contains(flips, 1) || !slices.Contains(flips, 0) {
		t.Fatalf("%d rows, flips %v", out.Rows(), flips[:5])
	}
	for i := range k {
		if (explosion[i] == 1) != (k[i] < 2.6) {
			t.Errorf("k %v: explosion %d, the planted factor is 2.6", k[i], explosion[i])
		}
		if (paper[i] == 1) != (factor[i] <= 1.25) {
			t.Errorf("factor %v: paper's rule %d, the planted ratio is 4/3", factor[i], paper[i])
		}
	}
}

func TestRetentionCorrelation(t *testing.T) {
	var heads []Head
	var layers, numbers []int64
	var retention []float64
	for i := range 32 {
		heads = append(heads, Head{Layer: i / 8, Head: i % 8, Ratio: math.Exp(float64((i * 7) % 32))})
		layers, numbers = append(layers, int64(i/8)), append(numbers, int64(i%8))
		retention = append(retention, math.Sqrt(float64((i*7)%32)))
	}
	tab := table.New().AddInt("layer", layers).AddInt("head", numbers).AddFloat("retention", retention)
	c, err := RetentionCorrelation(heads, tab, 1)
	if err != nil || math.Abs(c.Rho-1) > 1e-12 || c.N != 32 {
		t.Errorf("monotone relation: %+v, %v", c, err)
	}
	retention[0], retention[5] = 9, -1
	if c, _ = RetentionCorrelation(heads, tab, 1); c.Rho >= 1 || c.Low > c.Rho || c.High < c.Rho {
		t.Errorf("disturbed relation: %+v", c)
	}
	if _, err := RetentionCorrelation(heads[:2], tab, 1); err == nil {
		t.Error("two heads were enough")
	}
	if top := Select(heads, 3); top[0].Ratio != math.Exp(31) || len(top) != 3 {
		t.Errorf("selection %+v", top)
	}
}

// The retention that a trace tells at the end of the window is correlated with the ratios.
func TestRetentionOfTheStates(t *testing.T) {
	s := base()
	s.stateOnset = 1024
	states, losses := s.tables(2)
	heads, _ := states.Int("head")
	positions, _ := states.Int("position")
	logs, tokens := make([]float64, len(heads)), make([]int64, len(heads))
	for i := range logs {
		tokens[i] = int64(s.stride)
		logs[i] = -float64(heads[i]+1) * float64(positions[i]+tokens[i]) / 10
	}
	states.AddFloat("log_retention", logs).AddInt("tokens", tokens)
	at, err := RetentionAt(states, 256)
	if err != nil {
		t.Fatal(err)
	}
	retention, _ := at.Float("retention")
	for h, v := range retention {
		if want := math.Exp(-float64(h+1) * 25.6); math.Abs(v-want) > 1e-12*want {
			t.Errorf("head %d retains %g at 256, want %g", h, v, want)
		}
	}
	v, err := Judge(states, losses, DefaultRule(256))
	if err != nil {
		t.Fatal(err)
	}
	if v.Details.Retention == nil || v.Details.Retention.Rho < 0.5 || v.Details.Retention.N != 4 {
		t.Errorf("correlation %+v", v.Details.Retention)
	}
	if _, err := RetentionAt(states, 4); err == nil || !strings.Contains(err.Error(), "no row ends within") {
		t.Errorf("error %v", err)
	}
	if _, err := RetentionAt(losses, 256); err == nil || !strings.Contains(err.Error(), "missing columns") {
		t.Errorf("error %v", err)
	}
}

func TestVerdictFile(t *testing.T) {
	s := base()
	s.stateOnset = 1024
	path := filepath.Join(t.TempDir(), "V.json")
	if err := judge(t, s).Write(path); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"explosion", "explosion_onset", "explosion_onset_low", "explosion_onset_high", "heads",
		"degradation_paper", "degradation_perplexity", "degradation_strict",
		"degradation_onset", "degradation_onset_low", "degradation_onset_high", "first"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("field %q is missing", name)
		}
	}
	if fields["explosion"] != true || fields["degradation_onset"] != nil || fields["explosion_onset"] != 1024.0 {
		t.Errorf("%s", data)
	}
}

func ExampleJudge() {
	states, losses := curves(every(8, 2048),
		func(t int) float64 { return math.Exp(max(0, float64(t-512)) / 100) },
		func(t int) float64 { return 3 + min(2, max(0, float64(t-1024)/50)) })
	v, err := Judge(states, losses, DefaultRule(256))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("explosion", v.Explosion, "at token", *v.ExplosionAt)
	fmt.Println("degradation", v.Strict, "at token", *v.DegradationAt)
	fmt.Println("first:", v.First)
	// Output:
	// explosion true at token 584
	// degradation true at token 1032
	// first: state
}
