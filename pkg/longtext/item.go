// Package longtext reads the files of published long-text benchmarks in their authors' formats, and scores answers as the authors' programs
// do:
// InfiniteBench (arXiv 2402.13718), LooGLE (arXiv 2311.04939), LongBench (arXiv 2308.14508) and the output of RULER's generator (arXiv
// 2404.06654). None of their data is shipped.
//
// Prompts longer than the model may read are truncated in the middle: the first and last half of the allowed tokens are kept, as in all four
// benchmarks.
package longtext

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Item is one question about one text.
type Item struct {
	Format   string   `json:"format"`
	Task     string   `json:"task"` // name of the task within its benchmark
	ID       string   `json:"id"`
	Context  string   `json:"context"`
	Question string   `json:"question"` // empty if the context ends with the question
	Answers  []string `json:"answers"`  // any of these is correct; under RULER's rule and in LooGLE's cloze all of them are required
	// Options are the choices or classes; in LooGLE's cloze the names of the blanks that Answers fill, one each.
	Options []string `json:"options,omitempty"`
}

// Prompt returns the text that a model continues.
func (i Item) Prompt() string {
	if i.Question == "" {
		return i.Context
	}
	return i.Context + "\n\n" + i.Question
}

// Formats returns the formats that Read supports.
func Formats() []string { return []string{"infinitebench", "longbench", "loogle", "ruler"} }

// readers parse one line into items.
var readers = map[string]func(line []byte, task string, number int) ([]Item, error){
	"infinitebench": infiniteBench, "longbench": longBench, "loogle": looGLE, "ruler": ruler,
}

// Read reads a JSON-lines file. Task names the task within the benchmark; if empty, it is taken from the lines or else the file name without
// its extension.
func Read(path, format, task string) ([]Item, error) {
	read := readers[format]
	if read == nil {
		return nil, fmt.Errorf("format %q is not one of %s", format, strings.Join(Formats(), ", "))
	}
	if task == "" {
		task = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	var all []Item
	err := lines(path, func(line []byte, number int) error {
		items, err := read(line, task, number)
		all = append(all, items...)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s: no items", filepath.Base(path))
	}
	return all, err
}

// lines calls a function with each JSON value of a file and its line number, from 1.
func lines(path string, each func(line []byte, number int) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReaderSize(f, 1<<20))
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s, line %d: %w", filepath.Base(path), n, err)
		}
		if err := each(raw, n); err != nil {
			return fmt.Errorf("%s, line %d: %w", filepath.Base(path), n, err)
		}
	}
}

// texts is a JSON value that is a string, a number, or a list of these. Numbers keep their spelling: 2.0 stays 2.0.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return err
	}
	list, several := value.([]any)
	if !several {
		list = []any{value}
	}
	for _, v := range list {
		switch v := v.(type) {
		case nil:
		case string:
			*t = append(*t, v)
		case json.Number:
			*t = append(*t, v.String())
		default:
			return fmt.Errorf("%v is neither text nor number", v)
		}
	}
	return nil
}

func infiniteBench(line []byte, task string, number int) ([]Item, error) {
	var l struct {
		ID      texts  `json:"id"`
		Context string `json:"context"`
		Input   string `json:"input"`
		Answer  texts  `json:"answer"`
		Options texts  `json:"options"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.Context == "" && l.Input == "" || len(l.Answer) == 0 {
		return nil, fmt.Errorf("wants context, input and answer")
	}
	i := Item{"infinitebench", task, name(l.ID, number), l.Context, l.Input, l.Answer, l.Options}
	if choice := slices.Index(l.Options, first(l.Answer)); choice >= 0 && len(l.Answer) == 1 {
		i.Answers = append(i.Answers, string(rune('A'+choice)))
	}
	return []Item{i}, nil
}

func longBench(line []byte, task string, number int) ([]Item, error) {
	var l struct {
		ID      string `json:"_id"`
		Dataset string `json:"dataset"`
		Context string `json:"context"`
		Input   string `json:"input"`
		Answers texts  `json:"answers"`
		Classes texts  `json:"all_classes"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.Context == "" || len(l.Answers) == 0 {
		return nil, fmt.Errorf("wants context and answers")
	}
	if l.Dataset != "" {
		task = strings.TrimSuffix(l.Dataset, "_e")
	}
	return []Item{{"longbench", task, name(texts{l.ID}, number), l.Context, l.Input, l.Answers, l.Classes}}, nil
}

// looGLE reads a line that holds all questions about a text, as a JSON list or as a string with a Python list.
func looGLE(line []byte, task string, number int) ([]Item, error) {
	var l struct {
		Input  string          `json:"input"`
		Title  string          `json:"title"`
		Pairs  json.RawMessage `json:"qa_pairs"`
		Output texts           `json:"output"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.Input == "" {
		return nil, fmt.Errorf("wants input")
	}
	pairs := l.Pairs
	var text string
	var err error
	if json.Unmarshal(l.Pairs, &text) == nil {
		pairs = nil
		if json.Valid([]byte(text)) {
			pairs = json.RawMessage(text)
		} else if text != "" && text != "none" {
			if pairs, err = pythonJSON(text); err != nil {
				return nil, fmt.Errorf("qa_pairs: %w", err)
			}
		}
	}
	if pairs == nil {
		if len(l.Output) == 0 {
			return nil, fmt.Errorf("wants qa_pairs or output")
		}
		return []Item{{"loogle", task, name(texts{l.Title}, number), l.Input, "", l.Output, nil}}, nil
	}
	var questions []struct {
		Q string          `json:"Q"`
		A json.RawMessage `json:"A"`
	}
	if err := json.Unmarshal(pairs, &questions); err != nil {
		return nil, fmt.Errorf("qa_pairs: %w", err)
	}
	var items []Item
	for k, q := range questions {
		i := Item{"loogle", task, fmt.Sprintf("%s %d", name(texts{l.Title}, number), k), l.Input, q.Q, nil, nil}
		var plain texts
		if json.Unmarshal(q.A, &plain) == nil {
			i.Answers = plain
		} else if i.Options, i.Answers, err = blanks(q.A); err != nil {
			return nil, fmt.Errorf("qa_pairs, answer %d: %w", k+1, err)
		}
		if len(i.Answers) == 0 {
			return nil, fmt.Errorf("qa_pairs, question %d wants an answer A", k+1)
		}
		items = append(items, i)
	}
	return items, nil
}

func ruler(line []byte, task string, number int) ([]Item, error) {
	var l struct {
		Index   texts  `json:"index"`
		Input   string `json:"input"`
		Outputs texts  `json:"outputs"`
		Prefix  string `json:"answer_prefix"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return nil, err
	}
	if l.Input == "" || len(l.Outputs) == 0 {
		return nil, fmt.Errorf("wants input and outputs")
	}
	return []Item{{"ruler", task, name(l.Index, number), l.Input + l.Prefix, "", l.Outputs, nil}}, nil
}

func name(id texts, number int) string {
	if len(id) == 0 || id[0] == "" {
		return fmt.Sprint("line ", number)
	}
	return id[0]
}

func first(t texts) string { return t[0] }

// Encoder turns text into token ids.
type Encoder interface {
	Encode(text string) ([]int, error)
}

// Tokens encodes a prompt; if it has more than most tokens, the middle is dropped. most must be at least 2.
func Tokens(enc Encoder, prompt string, most int) ([]int32, error) {
	if most < 2 {
		return nil, fmt.Errorf("length is %d tokens, want 2 or more", most)
	}
	ids, err := enc.Encode(prompt)
	if err != nil {
		return nil, err
	}
	if len(ids) > most {
		ids = slices.Concat(ids[:most/2], ids[len(ids)-(most-most/2):])
	}
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out, nil
}
