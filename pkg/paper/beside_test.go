package paper

import (
	"math"
	"os"
	"strings"
	"stuffed/pkg/table"
	"testing"

	"stuffed/pkg/study"
)

// Two streams at one T are compared in both directions: all of one against none of the other is one of two such tables.
func TestTwoStreamsAreComparedTwoSided(t *testing.T) {
	root := t.TempDir()
	write(t, root, ForgetPlan, 1000, plants(256, 0.2, map[int]int{16: 5, 32: 5}))
	long := plants(256, 0.5, map[int]int{16: 5, 32: 5})
	for i := range long {
		long[i].gap = 128
	}
	write(t, root, CapacityPlan, 1000, long)
	got := verdictOf(t, root, "forget threshold")
	if want := "0 of 10 fail with a gap of 64 tokens, 10 of 10 with one of 256 (p 1.1e-05"; !strings.Contains(got.Ours, want) { // 2 / C(20, 10)
		t.Errorf("%s, want %q", got.Ours, want)
	}
}

// A configuration that a second plan trains again counts once, and the claim says how the second training came out.
func TestSecondTrainings(t *testing.T) {
	root := t.TempDir()
	first := plants(64, 0.5, map[int]int{16: 3})
	write(t, root, ForgetPlan, 1000, first)
	second := append([]plant(nil), first...)
	second = append([]plant{plantOf(128, 64, 9, "zero", 0.5)}, second...) // so that rows have other names
	second[1].far, second[2].far = 0.45, 0.21
	write(t, root, RecallPlan, 1000, second)
	got := verdictOf(t, root, "fails beyond T")
	for _, want := range []string{"4 of 4 fail", "3 of these models were trained a second time from the same seeds (not counted): 2 get the verdict of the first"} {
		if !strings.Contains(got.Ours, want) {
			t.Errorf("%s, want %q", got.Ours, want)
		}
	}
}

// A model that has not learned its task counts for nothing, and the claims of all studies name it.
func TestWhoIsLeftOutIsSaid(t *testing.T) {
	root := t.TempDir()
	write(t, root, ForgetPlan, 1000, append(plants(64, 0.5, map[int]int{16: 4}), plants(64, 0.2, map[int]int{32: 4})...))
	changeOne(t, root+"/"+ForgetPlan+"/tables/outcome.parquet", "inside_accuracy", equals("row", "row2"), 0.4)
	for _, id := range []string{"explosion", "retention"} {
		if got := verdictOf(t, root, id); !strings.Contains(got.Ours, "left out: forget, N 16, T 64, zero, seed 2 (recalls 40 % within T)") {
			t.Errorf("%s: %s", id, got.Ours)
		}
	}
}

// A side that speaks against a claim only because nothing is seen is said to do so where the verdict hangs on it.
func TestNoAssociationIsSaid(t *testing.T) {
	root := t.TempDir()
	grown := plants(64, 0.5, map[int]int{16: 10})
	sound := plants(64, 0.2, map[int]int{32: 10})
	grown[0].retained, grown[0].growth = 0.5, 20
	sound[0].retained, sound[0].growth = 0.5, 20
	write(t, root, ForgetPlan, 1000, append(grown, sound...))
	got := verdictOf(t, root, "explosion")
	if want := "left open, it would leave the verdict undecided"; got.Verdict != Contradicted || !strings.Contains(got.Ours, want) {
		t.Errorf("%s (%s), want %q", got.Verdict, got.Ours, want)
	}
}

// Beside verdicts that follow from a bootstrap over three seeds stands what Student's interval would say.
func TestFewSeedsAreSaid(t *testing.T) {
	apart := plantStudy(t, none, func(r study.Row, seed int) planted {
		if isIn("heads")(r) && r.Config.Train.TrainLength == 512 {
			return planted{0.6 + 0.3*float64(seed), 0}
		}
		return planted{0.5 + 0.01*float64(seed), 0}
	})
	got, err := apart.textHeadsClaim()
	if want := "0 of 6 leave 0 out"; err != nil || got.Verdict != Contradicted || !strings.Contains(got.Ours, want) {
		t.Errorf("%s, %v (%s), want %q", got.Verdict, err, got.Ours, want)
	}
	steep := plantStudy(t, none, func(r study.Row, seed int) planted {
		tokens := float64(r.Config.Train.Steps) * float64(r.Config.Train.BatchTokens)
		return planted{[]float64{0.05, 0.1, 0.6}[seed] * math.Log2(tokens/65.536e6), 0}
	})
	got, err = steep.textLongerClaim()
	if want := "the slopes are 0.05, 0.1, 0.6, and their Student interval, which decides nothing here, is [-0.51, 1.01]"; err != nil || got.Verdict != Reproduced || !strings.Contains(got.Ours, want) {
		t.Errorf("%s, %v (%s), want %q", got.Verdict, err, got.Ours, want)
	}
}

// The p-value of a mean is that of its t: of three values 1, 2, 3, t is 3.464 with two degrees of freedom.
func TestStudentP(t *testing.T) {
	if p := meanOf([]float64{1, 2, 3}).p(); math.Abs(p-0.07418) > 1e-4 {
		t.Errorf("p %g, want 0.0742", p)
	}
	if p := meanOf([]float64{1}).p(); p != 1 {
		t.Errorf("one value: p %g", p)
	}
}

// Every notebook that concludes from claims holds the numbers of the shipped list, digit for digit.
func TestNotebooksHoldTheNumbersOfTheList(t *testing.T) {
	list, err := table.Read("../../" + study.Shipped + "/claims.csv")
	if err != nil {
		t.Fatal(err)
	}
	c, err := readOf(list, []string{"id", "ours"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{}
	for i, id := range c.text["id"] {
		ours[id] = c.text["ours"][i]
	}
	names, err := os.ReadDir("../../notebooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range names {
		known, concludes := conclusions[f.Name()[:min(2, len(f.Name()))]]
		if !concludes || !strings.HasSuffix(f.Name(), ".ipynb") {
			continue
		}
		text, err := os.ReadFile("../../notebooks/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.NewReplacer(`\"`, `"`, `\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(string(text))
		for _, id := range known.claims {
			if !strings.Contains(plain, ours[id]) {
				t.Errorf("%s: the numbers of %q are not those of claims.csv; run it again (stuffed notebooks run %s --in-place)", f.Name(), id, f.Name()[:2])
			}
		}
	}
}
