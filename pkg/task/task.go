// Package task generates questions that test a model's memory, and scores the answers. A task is a pure function
//
//	(seed, index, length, params) → tokens, positions whose next token is asked for, answers, group
//
// so that it can be used in the same way for training, evaluation, interventions and studies. Every sequence has exactly the requested
// length in the model's tokens. The file of each task documents what it asks and its source.
package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"stuffed/datasets"
	"stuffed/datasets/draw"
)

// Record is one sequence of a task.
type Record struct {
	Task    string          `json:"task"`
	Version string          `json:"version"` // changes whenever any sequence changes
	Params  json.RawMessage `json:"params"`  // all params, with defaults filled in
	Seed    int64           `json:"seed"`
	Index   int64           `json:"index"`
	Group   string          `json:"group"` // group by which results are reported, such as "pairs 8"

	IDs       []int32 `json:"ids"`              // [length]
	Positions []int   `json:"answer_positions"` // ascending; the answer is due after reading the token at each of them
	Answers   []int32 `json:"answer_ids"`       // [positions]

	Text   string   `json:"text,omitempty"`    // decoded ids, including the answer
	Answer string   `json:"answer,omitempty"`  // the end of Text that the model has to produce
	Parts  []string `json:"answers,omitempty"` // the parts of the answer

	Meta map[string]float64 `json:"meta,omitempty"` // such as the depth of a needle

	Needles []Needle `json:"-"` // needles of a text, in order
	place   *float64 // depth of the main needle, or nil
}

// Spoken reports whether the answer is one piece at the end of the sequence, with each of its tokens read before the next is asked for, so
// that generating it freely differs from scoring the given tokens.
func (r Record) Spoken() bool {
	n := len(r.Answers)
	return n > 1 && r.Positions[0] == len(r.IDs)-n-1 && slices.Equal(r.IDs[len(r.IDs)-n:], r.Answers)
}

// Kind describes a task by name.
type Kind struct {
	Name    string
	Version string
	About   string // one line
	Text    bool   // text-based: needs a tokenizer
	make    func() maker
}

// maker is the interface that each task's file implements. Its exported fields are the params.
type maker interface {
	open(length int, words lexicon) error   // checks the params and fills in defaults
	fill(s *draw.Stream, r *Record) error   // all fields except those that identify the record
	guess(s *draw.Stream, r *Record) answer // answers without having read the sequence
	chance() float64                        // the expected accuracy of guess
	vocab() int                             // number of ids; 0: the tokenizer's
}

// answer to a record: ids, or text for text-based tasks.
type answer struct {
	ids  []int32
	text string
}

var kinds = slices.Concat(associations, copies, tracking, flipFlops, needles, documents)

// Kinds lists all tasks.
func Kinds() []Kind { return slices.Clone(kinds) }

// Task generates the sequences of one kind, length and set of params. It is safe for concurrent use.
type Task struct {
	Kind
	Length int // tokens
	Params json.RawMessage
	maker  maker
	enc    datasets.Encoder
	form   Form
}

// Open prepares a task. Params are passed by name; missing ones take their defaults. The tokenizer may be nil for tasks that are not
// text-based.
func Open(name string, length int, params map[string]any, enc datasets.Encoder) (*Task, error) {
	return Form{}.Open(name, length, params, enc)
}

// Open prepares a task whose text is laid out in this form.
func (f Form) Open(name string, length int, params map[string]any, enc datasets.Encoder) (*Task, error) {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("task %q is unknown; there are %s", name, strings.Join(Names(), ", "))
	}
	t := &Task{Kind: kinds[i], Length: length, maker: kinds[i].make(), enc: enc, form: f}
	if length < 2 || length > 1<<30 {
		return nil, fmt.Errorf("task %s: length is %d tokens, want 2 to %d", name, length, 1<<30)
	}
	if t.Text && enc == nil {
		return nil, fmt.Errorf("task %s: it is made of text and needs a tokenizer", name)
	}
	if err := set(t.maker, params); err != nil {
		return nil, fmt.Errorf("task %s: %w", name, err)
	}
	words, err := f.lexicon(enc)
	if err == nil {
		err = t.maker.open(length, words)
	}
	if short := (*TooShortError)(nil); errors.As(err, &short) {
		short.Task = name
		return nil, short
	}
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", name, err)
	}
	if t.Params, err = json.Marshal(t.maker); err != nil {
		return nil, fmt.Errorf("task %s: params: %w", name, err)
	}
	return t, nil
}

// Textual reports whether the named task is text-based.
func Textual(name string) bool {
	return slices.ContainsFunc(kinds, func(k Kind) bool { return k.Name == name && k.Text })
}

// Names lists the names of all tasks.
func Names() (names []string) {
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return names
}

// set assigns params to the fields of a maker by JSON name.
func set(m maker, params map[string]any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("params: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			given, _ := json.Marshal(params[wrong.Field]) // went into text as a whole
			return fmt.Errorf("param %s is %s, want a value such as %v", wrong.Field, given, defaults(m)[wrong.Field])
		}
		for name := range params {
			if _, known := defaults(m)[name]; !known {
				return fmt.Errorf("it has no param %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(defaults(m))), ", "))
			}
		}
		return fmt.Errorf("params: %w", err)
	}
	return nil
}

// defaults are the params of a maker by name.
func defaults(m maker) map[string]any {
	v := reflect.ValueOf(m).Elem()
	out := map[string]any{}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("json"); name != "" {
			out[name] = v.Field(i).Interface()
		}
	}
	return out
}

// Param is a parameter of a task.
type Param struct {
	Name    string
	Default string
	About   string
}

// Params lists the parameters of a kind.
func (k Kind) Params() (all []Param) {
	v := reflect.ValueOf(k.make()).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("json"); name != "" {
			all = append(all, Param{name, fmt.Sprint(v.Field(i).Interface()), f.Tag.Get("about")})
		}
	}
	return all
}

// ParseParams parses settings of the form key=value; numbers and booleans are recognised, everything else is text.
func ParseParams(settings []string) (map[string]any, error) {
	params := map[string]any{}
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("param %q: must be key=value", s)
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil && !math.IsInf(n, 0) && !math.IsNaN(n) {
			params[key] = n
		} else if b, err := strconv.ParseBool(value); err == nil {
			params[key] = b
		} else {
			params[key] = value
		}
	}
	return params, nil
}

// Sweep opens a task at every length and every combination of values, which are comma-separated in settings. Combinations that do not fit
// are skipped, unless none fits.
func Sweep(name string, lengths []int, settings []string, enc datasets.Encoder) (all []*Task, err error) {
	combined := [][]string{nil}
	for _, s := range settings {
		key, values, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("param %q: must be key=value", s)
		}
		var next [][]string
		for _, before := range combined {
			for _, v := range strings.Split(values, ",") {
				next = append(next, append(slices.Clone(before), key+"="+v))
			}
		}
		combined = next
	}
	var short error
	for _, length := range lengths {
		for _, one := range combined {
			params, err := ParseParams(one)
			if err != nil {
				return nil, err
			}
			t, err := Open(name, length, params, enc)
			if tooShort := (*TooShortError)(nil); errors.As(err, &tooShort) {
				short = err
				continue
			}
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil, short
	}
	return all, nil
}

// Vocab is the number of ids, or 0 if it is the tokenizer's.
func (t *Task) Vocab() int { return t.maker.vocab() }

// Chance is the expected accuracy of answering without having read the sequence.
func (t *Task) Chance() float64 { return t.maker.chance() }

// TrainFrom is the index of the first training sequence; evaluations use lower indices.
const TrainFrom = 1 << 41

// Record returns the sequence with the given index and seed.
func (t *Task) Record(seed, index int64) (Record, error) {
	return t.make(Record{Task: t.Name, Version: t.form.version(t.Version), Params: t.Params, Seed: seed, Index: index})
}

func (t *Task) make(r Record) (Record, error) {
	seed, index := r.Seed, r.Index
	s := draw.New(draw.Key(seed, "task "+t.Version, int64(t.Length), index))
	if err := t.maker.fill(s, &r); err != nil {
		if short := (*TooShortError)(nil); errors.As(err, &short) {
			short.Task = t.Name
			return r, short
		}
		return r, fmt.Errorf("task %s, seed %d, index %d: %w", t.Name, seed, index, err)
	}
	length := len(r.IDs)
	if t.form.Question {
		length -= len(r.Answers)
	}
	if length != t.Length || len(r.Positions) != len(r.Answers) || len(r.Answers) == 0 {
		return r, fmt.Errorf("task %s, seed %d, index %d: made %d tokens with %d of %d answers, wanted %d tokens", t.Name, seed, index,
			length, len(r.Answers), len(r.Positions), t.Length)
	}
	return r, nil
}

// Guess answers a record without having read it.
func (t *Task) Guess(seed int64, r Record) Answer {
	a := t.maker.guess(draw.New(draw.Key(seed, "guess "+t.Version, r.Seed, r.Index)), &r)
	return Answer{IDs: a.ids, Text: a.text}
}

// TooShortError means that even a task's smallest sequence exceeds the requested length.
type TooShortError struct {
	Task            string
	Length, Minimum int    // tokens
	Set             string // params that would make it smaller, or empty
}

func (e *TooShortError) Error() string {
	text := fmt.Sprintf("task %s: length is %d tokens, but the smallest sequence takes %d: choose length ≥ %d", e.Task, e.Length, e.Minimum, e.Minimum)
	if e.Set != "" {
		text += " or set " + e.Set
	}
	return text
}

// within returns an error that names the first param out of range.
func within(fields ...bounds) error {
	for _, f := range fields {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("param %s is %d, want %d to %d", f.name, f.value, f.low, f.high)
		}
	}
	return nil
}

type bounds struct {
	name             string
	value, low, high int
}

// oneOf returns an error that names a param unless its value is one of those allowed.
func oneOf(name, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("param %s is %q, want %s", name, value, strings.Join(allowed, ", "))
	}
	return nil
}

// distinct draws k distinct numbers below n in random order (Floyd's algorithm and a shuffle).
func distinct(s *draw.Stream, n, k int) []int {
	chosen, list := make(map[int]bool, k), make([]int, 0, k)
	for top := n - k; top < n; top++ {
		v := s.Below(top + 1)
		if chosen[v] {
			v = top
		}
		chosen[v] = true
		list = append(list, v)
	}
	for i := k - 1; i > 0; i-- {
		j := s.Below(i + 1)
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// uniform answers every position with a random id in first … first+n−1.
func uniform(s *draw.Stream, r *Record, first, n int) answer {
	ids := make([]int32, len(r.Answers))
	for i := range ids {
		ids[i] = int32(first + s.Below(n))
	}
	return answer{ids: ids}
}
