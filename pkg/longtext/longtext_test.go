package longtext

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stuffed/pkg/tokenizer"
)

// TestRouge holds both forms against the values of the packages rouge 1.0.1 and rouge-score 0.1.2, which
// testdata/rouge.json keeps.
func TestRouge(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "rouge.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Said, Answer string
		F, R, Lsum   float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 10 {
		t.Fatal(len(cases), err)
	}
	for _, c := range cases {
		if _, r := rouge(c.Said, c.Answer); math.Abs(RougeL(c.Said, c.Answer)-c.F) > 1e-9 || math.Abs(r-c.R) > 1e-9 {
			t.Errorf("%q, %q: F %g, recall %g, want %g, %g", c.Said, c.Answer, RougeL(c.Said, c.Answer), r, c.F, c.R)
		}
		if got := rougeLsum(c.Said, c.Answer); math.Abs(got-c.Lsum) > 1e-9 {
			t.Errorf("%q, %q: rougeLsum %g, want %g", c.Said, c.Answer, got, c.Lsum)
		}
	}
}

// TestSheets scores known answers to small files in each benchmark's own format.
func TestSheets(t *testing.T) {
	for _, c := range []struct {
		format, file string
		said         []string
		want         []float64
	}{
		{"infinitebench", "passkey", []string{"It is 71432, I think (not 5).", "The 517"}, []float64{1, 0}},
		{"infinitebench", "kv_retrieval", []string{`The value is "a7-b8".`}, []float64{1}},
		{"infinitebench", "kv_retrieval", []string{`a7-b8c`}, []float64{0}},
		{"infinitebench", "longbook_choice_eng", []string{"B. The mill"}, []float64{1}},
		{"infinitebench", "longbook_choice_eng", []string{"I believe the answer is: The mill"}, []float64{1}},
		{"infinitebench", "longbook_choice_eng", []string{"The option is C"}, []float64{0}},
		{"infinitebench", "longbook_qa_eng", []string{"The cat sat on a mat!"}, []float64{6.0 / 7}},
		{"infinitebench", "math_find", []string{"27"}, []float64{1}},
		{"longbench", "hotpotqa", []string{"weaver", "the river Aar"}, []float64{1, 2.0 / 3}},
		{"longbench", "trec", []string{"\nDistance\nHuman"}, []float64{1}},
		{"longbench", "trec", []string{"Distance or Human"}, []float64{0.5}},
		{"loogle", "longdep_qa", []string{`Anna of Bern`, "late the pilot"}, []float64{0.5, 0.5}},
		{"loogle", "longdep_summarization", []string{""}, []float64{0}},
		{"loogle", "shortdep_cloze", []string{`{'<mask-1>': "St. Peter's", '<mask-0>': 'anna',}`, ` {"<mask-0>": "Ott\u00e9"}`}, []float64{0.5, 1}},
		{"loogle", "shortdep_cloze", []string{`It is {'<mask-0>': 'Anna'}.`, `{"<mask-0>": "Ott\u00e9", "x": true}`}, []float64{0, 0}},
		{"ruler", "niah_multivalue", []string{"They are 456 and 124."}, []float64{0.5}},
		{"ruler", "qa_1", []string{"The denver broncos won."}, []float64{1}},
	} {
		items, err := Read(filepath.Join("testdata", c.file+".jsonl"), c.format, "")
		if err != nil || len(items) != len(c.said) {
			t.Fatalf("%s: %d items (%v)", c.file, len(items), err)
		}
		for k, i := range items {
			got, err := Score(i, c.said[k])
			if err != nil || math.Abs(got-c.want[k]) > 1e-6 {
				t.Errorf("%s %s: %q scores %g, want %g (%v)", i.Task, i.ID, c.said[k], got, c.want[k], err)
			}
		}
	}
	items, err := Read(filepath.Join("testdata", "longdep_qa.jsonl"), "loogle", "")
	if err != nil || items[0].Question != "What's the ferry's name?" || items[0].Answers[0] != `The "Anna" of Bern` || items[1].ID != "Ferry 1" {
		t.Errorf("%+v (%v)", items, err)
	}
	cloze, err := Read(filepath.Join("testdata", "shortdep_cloze.jsonl"), "loogle", "")
	if err != nil || cloze[1].Question != `Along the \xi axis stood <mask-0>.` || cloze[1].Answers[0] != "Otté" {
		t.Errorf("%+v (%v)", cloze, err)
	}
	if got := Mean(cloze, []float64{0.5, 1}); math.Abs(got-2.0/3) > 1e-9 {
		t.Errorf("two of three blanks make %g", got)
	}
	if items, err = Read(filepath.Join("testdata", "qa_1.jsonl"), "ruler", ""); err != nil || items[0].Prompt() != "Answer the question from the documents. Answer:" {
		t.Errorf("%+v (%v)", items, err)
	}
}

// TestCorners holds the rules where Python's notion of white space, of words and of numbers is wider than ASCII, against values of a
// program in Python by the same rules.
func TestCorners(t *testing.T) {
	for _, c := range []struct {
		format, task, line, said string
		want                     float64
	}{
		{"infinitebench", "kv_retrieval", `"answer": "a7"`, "It is\u00a0a7\u2003.", 1},
		{"infinitebench", "longdialogue_qa_eng", `"answer": ["ANNA"]`, "Anna\v!", 1},
		{"infinitebench", "longbook_qa_eng", `"answer": ["ña tower"]`, "ñ", 0},
		{"infinitebench", "longbook_qa_eng", `"answer": ["the España of old"]`, "España", 0.5},
		{"infinitebench", "longbook_choice_eng", `"answer": ["mill"], "options": ["barn", "mill"]`, "The answer is“B", 1},
		{"infinitebench", "math_find", `"answer": 2.0`, "about 2.0", 1},
		{"infinitebench", "math_find", `"answer": 2`, "about 2.0", 0},
		{"infinitebench", "math_find", `"answer": 2`, "about 2", 1},
		{"infinitebench", "code_run", `"answer": 1000`, "it returns 1_000", 1},
		{"infinitebench", "code_run", `"answer": 1000`, "it returns 1__000", 0},
		{"longbench", "triviaqa", `"answers": ["thé"]`, "é", 0},
		{"longbench", "triviaqa", `"answers": ["old\u001fmill"]`, "mill", 2.0 / 3},
		{"longbench", "triviaqa", `"answers": ["ΟΔΟΣ"]`, "οδος", 1},
		{"longbench", "gov_report", `"answers": ["the\u001cmill"]`, "mill", 0.6666666622222223},
		{"longbench", "passage_count", `"answers": [3]`, "3, not ٣", 0.5},
		{"longbench", "passage_retrieval_zh", `"answers": ["段落12"]`, "段落12", 1},
		{"infinitebench", "longdialogue_qa_eng", `"answer": ["STRASSE"]`, "Straße", 1},
		{"infinitebench", "math_find", `"answer": 3`, "٣", 1},
		{"infinitebench", "code_run", `"answer": 7`, "it is\u001f7", 1},
		{"infinitebench", "longbook_qa_chn", `"answer": ["《红楼梦》"]`, "红 楼！", 2.0 / 3},
		{"infinitebench", "code_debug", `"answer": "f", "options": ["f", "g", "h", "k"]`, "The answer is: A", 1},
		{"infinitebench", "code_debug", `"answer": "f", "options": ["f", "g", "h", "k"]`, "A", 0},
		{"ruler", "niah_multivalue", `"outputs": ["Σ"]`, "ΟΔΟΣ", 0},
	} {
		path := filepath.Join(t.TempDir(), "line.jsonl")
		if err := os.WriteFile(path, []byte(`{"context": "c", "input": "q", `+c.line+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		items, err := Read(path, c.format, c.task)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Score(items[0], c.said); err != nil || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s, %s, %q: %g (%v), want %g", c.task, c.line, c.said, got, err, c.want)
		}
	}
}

func TestScoreFiles(t *testing.T) {
	answers := filepath.Join(t.TempDir(), "a.jsonl")
	write := func(text string) string {
		if err := os.WriteFile(answers, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return answers
	}
	r, err := ScoreFiles("testdata/hotpotqa.jsonl", "longbench", "", write(`{"pred": "The weaver"} {"text": "Rhine"}`))
	if err != nil || r.Score != 0.5 || r.Task != "hotpotqa" || len(r.Scores) != 2 {
		t.Error(r, err)
	}
	for want, text := range map[string]string{"has 1 answers to the 2 items": `{"pred": "x"}`, "line 1: wants text": `{}`, "has only 2 items": `{"pred": "x"} {"pred": "x"} {"pred": "x"}`} {
		if _, err := ScoreFiles("testdata/hotpotqa.jsonl", "longbench", "", write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTokensLeaveOutTheMiddle(t *testing.T) {
	ids, err := Tokens(tokenizer.Bytes(), "abcdefgh", 5)
	if err != nil || !slices.Equal(ids, []int32{'a', 'b', 'f', 'g', 'h'}) {
		t.Error(ids, err)
	}
	if ids, err = Tokens(tokenizer.Bytes(), "abc", 5); err != nil || len(ids) != 3 {
		t.Error(ids, err)
	}
}

func TestRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.jsonl")
	for want, c := range map[string][2]string{
		`format "x" is not one of`:          {"x", "{}"},
		"line 1: wants context, input and":  {"infinitebench", `{"id": 3}`},
		"line 2: wants context and answers": {"longbench", `{"context": "a", "answers": ["b"]} {"context": "a"}`},
		"line 1: wants qa_pairs or output":  {"loogle", `{"input": "a"}`},
		"neither JSON nor a Python list":    {"loogle", `{"input": "a", "qa_pairs": "[{'Q': f(x)}]"}`},
		"line 1: wants input and outputs":   {"ruler", `{"input": "a"}`},
		"no items":                          {"ruler", ``},
	} {
		if err := os.WriteFile(path, []byte(c[1]), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path, c[0], ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := Score(Item{Format: "longbench", Task: "lcc"}, "x"); err == nil || !strings.Contains(err.Error(), `no task "lcc"`) {
		t.Error(err)
	}
}

func ExampleScore() {
	items, err := Read("testdata/hotpotqa.jsonl", "longbench", "")
	if err != nil {
		panic(err)
	}
	score, err := Score(items[0], "It was the weaver.")
	fmt.Printf("%s: %.2f %v\n", items[0].Question, score, err)
	// Output: Who mended the clock?: 0.50 <nil>
}
