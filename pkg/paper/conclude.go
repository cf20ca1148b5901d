package paper

import (
	"fmt"
	"slices"
	"strings"

	"stuffed/pkg/study"
)

// conclusion lists the claims that a notebook addresses and what it does not show.
type conclusion struct {
	claims []string
	not    string
}

// conclusions maps a notebook's number to its conclusion.
var conclusions = map[string]conclusion{
	"01": {[]string{"fails beyond T", "text"}, "One small model on one kind of text is a demonstration of the instruments, not evidence: no seeds, no other training lengths."},
	"02": {[]string{"fails beyond T"}, "The run here is as long as two cores allow in a minute; the models of the studies saw 40M to 300M tokens."},
	"03": {[]string{"growth means failure", "explosion"}, "One model. Whether a growing norm has anything to do with the loss is a question for many models (notebook 11)."},
	"04": {[]string{"explosion"}, "One model at two or three moments. Outlier channels are shown where they are, not that they matter for what is predicted."},
	"05": {[]string{"components", "convolution state", "retention", "retention and growth"}, "Which quantity drifts says nothing about which one matters; notebook 07 changes them. The models have two layers (four on text), not 48."},
	"06": {[]string{"explosion", "explosion first", "the paper's rule"}, "Five models show what the words mean; how often each case occurs is counted over all studies above. The strict rule depends on its margin, see the maps."},
	"07": {[]string{"over-retention as cause"}, "Six models that fail and five that hold, two of them of another depth and trained on text; those fail on newlines, of which there is one sequence, and the number that decides pools nats of both kinds. α is changed, not how it depends on the input. Holding Δ, B or x at their means ruins the loss whatever it is, so that it cannot tell them apart."},
	"08": {[]string{"mitigations", "trained limit"}, "Of the methods put on trained models: three models of one configuration, one stream. Methods whose chosen parameter is the neutral one are the model as it is. No text, no passkey: these models know neither. Training with a limit: models of width 32 and 0.4M tokens; what a state writes is normalised after it is read, so that a model may learn smaller writes instead of being limited; they stand in no other claim."},
	"09": {[]string{"fails beyond T", "the paper's rule", "larger is worse", "forget threshold", "longer training", "price in short contexts", "carried states", "state passing", "text"},
		"The studies `forget` and `capacity` are cut down to what answers a question, 20 and 11 rows; their plans say what was left out and why. Confounded are, in `forget`, the gap of 64 tokens with the shortest window, and T with the age of the oldest state, which carried states part at N 16 and 256 only; in `capacity`, the gap with T, and T with the budget; between the two, the gap with width, vocabulary and budget. The plan `gap`, which would vary the gap alone, has not been run. Models have at most 0.26M scalars of state."},
	"10": {[]string{"over-training"}, "Two state sizes with 300M tokens, five with 150M, three seeds each, one training length. The last fifth of every run is the decay of the learning rate: what changes there may be annealing."},
	"11": {[]string{"larger is worse", "forget threshold", "explosion", "growth means failure", "retention"}, "State size varies by N alone, and N changes the number of parameters too, from 1.86M to 2.11M; whether state that lies in heads acts like state that lies in N is asked on real text (notebook 22), not on this stream. The gap of 64 tokens is also the shortest window, so that a threshold of the data looks like one of the training length. What goes with failing and what goes with T cannot be told apart across T, only within."},
	"12": {[]string{"recall law"}, "The reach is the age of a pair within the window at one budget, not the longest context from which a passkey is retrieved; 0.008M to 0.131M scalars are too narrow a range to tell an exponential from a line. Budget goes with T (60M, 80M and 120M tokens at 128, 256 and 512), and only N 16 has windows of 128, which for one of its three seeds are those that reach furthest: its reach is favoured beside that of larger states. Passkeys were asked of the few state sizes listed above, three seeds each, all trained on the task: with two sizes no exact test of three seeds against three gives a p below 0.1, and two points fit any law."},
	"13": {[]string{"forget law", "recall law", "forget law, its R²", "recall law, its R²", "state sizes"}, "The published points were read off a figure. Our brackets are too few and lie too close together for a form of either law. Those of `forget` end at the gap of the stream in 12 cases of 15, so that their form would be that of the data, not of the state; behind those of `capacity` stand different budgets and training lengths (notebook 12)."},
	"14": {[]string{"passkey 256K"}, "The model was trained on passkeys of 256 and 512 tokens in the paper's wording, together with the recall stream and lists of pairs: within those lengths nothing is zero-shot, and what it does beyond them says nothing about a model of text. One model, N 64, one seed of three (notebook 12 has the others, and N 16). Four trials a cell leave wide intervals. Mitigations are compared on one model and on lists of pairs, not on passkeys."},
	"15": {[]string{"newlines", "text"}, "Two small byte models of one training length. A constant token is hardly ever seen in training, so that what it shows need not hold for text."},
	"18": {[]string{"RWKV-6 and others", "erasing"}, "All were trained at one rate, so that a model that does worse may be one that this rate suits less. The small byte models of the first part were trained on 123K bytes each; they show that the instruments work on every architecture, nothing about which one fails."},
	"19": {nil, "What is shown at scale small are models of this project, of a few hundred thousand to two million parameters, in the place of the published ones; no checkpoint of the paper was read here. Published training lengths are those that their cards state, 2,048 where they state none."},
	"20": {nil, "Learning rates, sizes and seeds beyond those listed above; one seed each, as published. The models are of two layers and learn nothing but this task: what they hold is not what a model of text would hold. Whether the picture that is compared with was made at the commit whose configurations are used here cannot be proved."},
	"21": {nil, "The bits of the bounds are those of float32, 32 a number; models were not trained to bear noise, so that what they bear is a lower bound of what they could. Channels are removed at one moment, before the questions, not during reading. Three small models, one list length, one sequence for the ranks; keys that come back are those of one stream at one budget of training."},
	"22": {[]string{"text law", "text law, width 512", "paper's size", "paper's size, longer window", "text documents", "text tokens", "text explosion", "text heads", "text cause", "text states", "text over-training", "text again", "byte models again"},
		"Most models predict newlines badly within the window too, at 0.05 to 6 nats, and the seeds of a cell differ by more than cells do: 262M tokens at width 256 have not taught them the prompt on which they are judged. Of 42 rows one was trained a second time, so that the scatter over trainings of one seed rests on three pairs. The intervention rests on six models of two state sizes, chosen among those that fail; five of them read two sequences and one control set. That none of 75 models fails on documents is a weaker word than that they hold: eight documents leave intervals so wide that most are neither. It is said of 262M tokens of one corpus at width 256, and its interval takes the models as independent, though all read the same eight documents. Documents begin with headers that are easier than what follows, so that at T 256 their excess is positive in the mean, with an interval that holds 0. Of the thirteen byte models that ship three were read again, the first in the order of the rules; they saw 123K bytes each and do not know newlines, so that a verdict that comes back says that the program repeats on a CPU, and little about failing."},
	"17": {nil, "What one model shows is about that model. Seeds, sizes and training lengths are needed for a claim: `stuffed study`."},
}

// unshown maps a notebook's number to what its tables themselves say is missing.
var unshown = map[string]func(root string) (string, error){"11": whereFailing, "18": architecturesUnshown, "22": textUnshown}

// whereFailing says how many of the models that fail on the stream of the study forget were trained on its shortest window.
func whereFailing(root string) (string, error) {
	e, err := evidenceOf(root, judging)
	if err != nil {
		return "", err
	}
	models, err := e.needs(ForgetPlan)
	if err != nil {
		return "", err
	}
	gap, shortest := models[0].Gap, models[0].T
	for _, m := range models {
		shortest = min(shortest, m.T)
	}
	failing := of(e.all, Model.failing, func(m Model) bool { return m.Plan != TextPlan && m.Plan != CapacityPlan && m.Gap == gap })
	return fmt.Sprintf("Of %d models that fail on the stream with a gap of %d tokens, %d have T %d.", len(failing), 2*gap, len(of(failing, at(shortest))), shortest), nil
}

// Conclude writes the end of a notebook as markdown: what was found, what it means for the paper's claims, and what was not
// shown. Findings and verdicts are computed from the collected studies in root.
func Conclude(root, notebook string) (string, error) {
	c, known := conclusions[notebook]
	if !known {
		return "", fmt.Errorf("notebook %q has no conclusion; list it in package paper", notebook)
	}
	e, err := evidenceOf(root, judging)
	if err != nil {
		return "", err
	}
	all, err := judged(e, slices.DeleteFunc(slices.Clone(registry), func(t test) bool { return !slices.Contains(c.claims, t.id) }))
	if err != nil {
		return "", err
	}
	all = append(all, beyondReach...)
	var verdicts, numbers strings.Builder
	said := map[string]bool{}
	for _, id := range c.claims {
		i := slices.IndexFunc(all, func(x Claim) bool { return x.ID == id })
		if i < 0 {
			return "", fmt.Errorf("notebook %s: claim %q is unknown", notebook, id)
		}
		x, ours := all[i], strings.ReplaceAll(all[i].Ours, "\n", " ")
		said[x.Verdict] = true
		fmt.Fprintf(&verdicts, "- “%s” (%s): **%s**", x.Claim, x.Where, x.Verdict)
		if x.Plain != "" {
			fmt.Fprintf(&verdicts, ": %s", x.Plain)
			fmt.Fprintf(&numbers, "- *%s*: %s\n", id, ours)
		} else {
			fmt.Fprintf(&verdicts, ": %s", ours)
		}
		if x.Figure != "" {
			fmt.Fprintf(&verdicts, " (figure `%s`)", x.Figure)
		}
		verdicts.WriteString("\n")
	}
	var b strings.Builder
	if verdicts.Len() > 0 {
		fmt.Fprintf(&b, "**What was found, and what it means for the paper's claims** (over all studies in `datasets/study`)\n\n%s\n", verdicts.String())
		if numbers.Len() > 0 {
			fmt.Fprintf(&b, "**The numbers behind it**\n\n%s\n", numbers.String())
		}
		fmt.Fprintf(&b, "**How sure it is**\n\nIntervals are 95 %%, “[a … b]” is a range. Every verdict follows from a rule that is code (RESULTS.md), each test at 5 %% by itself, without a correction for the number of claims%s.\n\n", meanings(said))
	}
	more, err := found(root, notebook)
	if err != nil {
		return "", err
	}
	if more != "" {
		fmt.Fprintf(&b, "**Measured beside the claims** (`datasets/study/memory`, models whose weights ship)\n\n%s\n\n", more)
	}
	not := c.not
	if more := unshown[notebook]; more != nil {
		text, err := more(root)
		if err != nil {
			return "", err
		}
		not = text + " " + not
	}
	fmt.Fprintf(&b, "**What was not shown**\n\n%s\n\nWords: [glossary](GLOSSARY.md). How each verdict follows: [RESULTS.md](../RESULTS.md). Neighbouring work: [RELATED.md](RELATED.md).\n", not)
	return b.String(), nil
}

// meanings explains the verdicts that occur.
func meanings(said map[string]bool) (text string) {
	for _, v := range []struct{ verdict, means string }{
		{Reproduced, "the settings that decide agree with the claim and are more than those left open"},
		{Contradicted, "the settings that decide speak against it and are more than those left open"},
		{Mixed, "settings decide both ways"},
		{Undecided, "intervals or tests leave it open, which is no evidence against it"},
		{NotTestable, "it cannot come out either way with these models"},
	} {
		if said[v.verdict] {
			text += fmt.Sprintf("; *%s*: %s", v.verdict, v.means)
		}
	}
	return text
}

// Sources returns the manifests of the studies behind the claims, for the manifests of figures. A study that is missing is left
// out.
func Sources(root string) any {
	out := map[string]any{}
	for _, plan := range AllPlans {
		if source, err := study.Source(root, plan); err == nil {
			out[plan] = source
		}
	}
	return out
}
