package paper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/study"
)

// subGrids are the claims of text-law whose rows may not have run yet; their figures are drawn when they have.
var subGrids = []string{"text heads", "text states", "text over-training", "text cause"}

// Every figure that a claim points to is drawn by a notebook, and those of this package can be drawn from what ships.
func TestClaimsPointToFigures(t *testing.T) {
	notebooks, err := filepath.Glob("../../notebooks/[0-9]*.ipynb")
	if err != nil || len(notebooks) == 0 {
		t.Fatal("no notebooks", err)
	}
	var text strings.Builder
	for _, path := range notebooks {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var n struct{ Cells []struct{ Source []string } }
		if err := json.Unmarshal(data, &n); err != nil {
			t.Fatal(path, err)
		}
		for _, c := range n.Cells {
			text.WriteString(strings.Join(c.Source, ""))
		}
		if number := filepath.Base(path)[:2]; number != "16" {
			if _, known := conclusions[number]; !known {
				t.Errorf("%s has no conclusion", path)
			}
			if !strings.Contains(text.String(), `paper.Conclude(study.Shipped, "`+number+`")`) {
				t.Errorf("%s does not end with its conclusion", path)
			}
		}
	}
	list, err := claims(t.TempDir(), 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Figure != "" && !strings.Contains(text.String(), `"`+c.Figure+`"`) {
			t.Errorf("claim %q points to %s, which no notebook draws", c.ID, c.Figure)
		}
	}
	root := "../../" + study.Shipped
	open, err := judged(evidence{root: root, resamples: 20}, slices.DeleteFunc(slices.Clone(registry), func(x test) bool { return !slices.Contains(subGrids, x.id) }))
	if err != nil {
		t.Fatal(err)
	}
	for id := range Figures {
		if plan, own := map[string]string{"20_pairs": MQARPlan, "22_matrix_512": Text512Plan}[id]; own && !study.Collected(root, plan) {
			continue // the study has not run
		}
		_, err := Draw(id, root)
		if unseen := Unseen(err) && slices.ContainsFunc(open, func(c Claim) bool { return c.Verdict == NoResult }); err != nil && !unseen {
			t.Error(err)
		}
	}
	if _, err := Draw("99_none", ""); err == nil || !strings.Contains(err.Error(), "09_excess") {
		t.Errorf("an unknown figure: %v", err)
	}
}

func TestConclusionsFollowTheTables(t *testing.T) {
	said := map[bool]string{}
	for _, right := range []bool{true, false} {
		root := t.TempDir()
		world(t, root, right)
		text, err := Conclude(root, "08")
		if err != nil {
			t.Fatal(err)
		}
		said[right] = text
	}
	if !strings.Contains(said[true], "*reproduced*: the settings that decide agree") || strings.Contains(said[true], "*mixed*") {
		t.Errorf("verdicts are not explained, or others than those given:\n%s", said[true])
	}
	if !strings.Contains(said[true], "**reproduced**") || !strings.Contains(said[false], "**contradicted**") {
		t.Errorf("%s\n%s", said[true], said[false])
	}
	if _, err := Conclude("", "99"); err == nil {
		t.Error("a notebook without a conclusion passes")
	}
}
