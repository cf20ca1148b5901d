// Package study runs plans. A grid of configurations expands to rows; each row is trained and measured once, by any number of workers on
// any number of machines that share a folder, and is published atomically.
package study

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"stuffed/pkg/plaintext"
	"stuffed/pkg/train"
)

// Plan is a study: a base configuration and groups of rows that vary it.
type Plan struct {
	Name   string          `json:"name"`
	About  string          `json:"about"`
	Base   json.RawMessage `json:"base"`            // a Config
	Order  string          `json:"order,omitempty"` // a field by which rows are ordered: all groups' rows with its first value precede those with its second; see [Plan.Rows]
	Groups []Group         `json:"groups"`
}

// Group is the Cartesian product of its axes, or an explicit list of cells, applied on top of Set. Fields are dotted paths into the base,
// such as "train.model.state".
type Group struct {
	Name  string           `json:"name"`
	Set   map[string]any   `json:"set,omitempty"`
	Axes  []Axis           `json:"axes,omitempty"`
	Cells []map[string]any `json:"cells,omitempty"`
}

// Axis lists the values of one field.
type Axis struct {
	Field  string `json:"field"`
	Values []any  `json:"values"`
}

// Row is one unit of work: all members of one model shape and training length.
type Row struct {
	Hash   string   `json:"hash"`
	Groups []string `json:"groups"` // a row in several groups is trained once
	Label  string   `json:"label"`
	Config Config   `json:"config"`

	kept *kept // set while a worker trains it
}

//go:embed plans
var shipped embed.FS

// ReadPlan reads a plan file, or a shipped plan by name, and validates every row. A folder of the same name, such as the plan's store, does
// not shadow the plan.
func ReadPlan(path string) (*Plan, error) {
	data, err := plaintext.Read(path)
	if (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR)) && filepath.Ext(path) == "" {
		if data, err = shipped.ReadFile("plans/" + path + ".json"); err != nil {
			return nil, fmt.Errorf("plan %q is neither a file nor one of %s", path, strings.Join(Plans(), ", "))
		}
	}
	if err != nil {
		return nil, err
	}
	p, err := ParsePlan(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Plans lists the shipped plans.
func Plans() (names []string) {
	list, err := shipped.ReadDir("plans")
	if err != nil {
		panic(err) // the folder is embedded
	}
	for _, e := range list {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// ParsePlan parses a plan and validates every row.
func ParsePlan(data []byte) (*Plan, error) {
	var p Plan
	if err := strict(data, &p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if p.Name == "" || len(p.Base) == 0 || len(p.Groups) == 0 {
		return nil, fmt.Errorf("plan: name, base and at least one group are needed")
	}
	_, err := p.Rows()
	return &p, err
}

func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Rows expands the groups in order. With p.Order, rows are sorted by the index of their value of that field, and rows with the same index
// are interleaved across groups, so that a study that is stopped early has rows of every group.
func (p *Plan) Rows() ([]Row, error) {
	var rows []Row
	var sets []map[string]any
	at := map[string]int{}
	for _, cell := range p.cells() {
		c, err := p.config(cell.group.Set, cell.set)
		if err != nil {
			return nil, fmt.Errorf("plan %s, group %s, row %d: %w", p.Name, cell.group.Name, cell.number, err)
		}
		hash := c.Hash()
		if k, seen := at[hash]; seen {
			rows[k].Groups = append(rows[k].Groups, cell.group.Name)
			continue
		}
		at[hash] = len(rows)
		rows, sets = append(rows, Row{Hash: hash, Groups: []string{cell.group.Name}, Label: c.label(), Config: c}), append(sets, cell.set)
	}
	tellApart(rows, sets)
	return rows, nil
}

// tellApart disambiguates labels shared by several rows: it appends the group or, within one group, the fields that its axes set.
func tellApart(rows []Row, sets []map[string]any) {
	for _, add := range []func(i int, label string) string{
		func(i int, label string) string { return rows[i].Groups[0] + ": " + label },
		func(i int, label string) string {
			for _, field := range slices.Sorted(maps.Keys(sets[i])) {
				value, err := json.Marshal(sets[i][field])
				if err != nil {
					value = fmt.Append(nil, sets[i][field])
				}
				label += fmt.Sprintf(", %s %s", field, value)
			}
			return label
		},
	} {
		same := map[string]int{}
		for _, r := range rows {
			same[r.Label]++
		}
		for i, r := range rows {
			if same[r.Label] > 1 {
				rows[i].Label = add(i, r.Label)
			}
		}
	}
}

// cell is the set of fields that a row changes on top of its group.
type cell struct {
	group       *Group
	number      int // within the group, from 1
	set         map[string]any
	stage, turn int // index of its value of Plan.Order, and number of earlier cells of the group with that index
}

func (p *Plan) cells() (all []cell) {
	places := map[string]int{}
	for i := range p.Groups {
		g := &p.Groups[i]
		turns := map[int]int{}
		for k, set := range g.cells() {
			c := cell{group: g, number: k + 1, set: set}
			if v, is := set[p.Order]; is {
				value := fmt.Sprint(v)
				if _, seen := places[value]; !seen {
					places[value] = len(places)
				}
				c.stage = places[value]
			}
			c.turn = turns[c.stage]
			turns[c.stage]++
			all = append(all, c)
		}
	}
	if p.Order != "" {
		slices.SortStableFunc(all, func(a, b cell) int { return cmp.Or(cmp.Compare(a.stage, b.stage), cmp.Compare(a.turn, b.turn)) })
	}
	return all
}

// Named returns the rows with the given hashes, in plan order; all rows if no hash is given. An unknown hash is an error.
func Named(rows []Row, hashes []string) ([]Row, error) {
	if len(hashes) == 0 {
		return rows, nil
	}
	for _, h := range hashes {
		if !slices.ContainsFunc(rows, func(r Row) bool { return r.Hash == h }) {
			return nil, fmt.Errorf("row %q is not in the plan; stuffed study plan lists its %d rows", h, len(rows))
		}
	}
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !slices.Contains(hashes, r.Hash) }), nil
}

// cells lists the fields that each row sets.
func (g Group) cells() []map[string]any {
	if len(g.Cells) > 0 {
		return g.Cells
	}
	out := []map[string]any{{}}
	for _, a := range g.Axes {
		var next []map[string]any
		for _, old := range out {
			for _, v := range a.Values {
				row := map[string]any{a.Field: v}
				for k, o := range old {
					row[k] = o
				}
				next = append(next, row)
			}
		}
		out = next
	}
	return out
}

func (p *Plan) config(sets ...map[string]any) (Config, error) {
	var tree map[string]any
	if err := json.Unmarshal(p.Base, &tree); err != nil {
		return Config{}, fmt.Errorf("base: %w", err)
	}
	for _, set := range sets {
		for field, v := range set {
			if err := put(tree, strings.Split(field, "."), v); err != nil {
				return Config{}, fmt.Errorf("field %s: %w", field, err)
			}
		}
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return Config{}, err
	}
	c := Config{Train: train.DefaultConfig()}
	if err := strict(data, &c); err != nil {
		return c, err
	}
	c.resolve()
	return c, c.Validate()
}

func put(tree map[string]any, path []string, v any) error {
	if len(path) == 1 {
		tree[path[0]] = v
		return nil
	}
	next, ok := tree[path[0]].(map[string]any)
	if !ok {
		if tree[path[0]] != nil {
			return fmt.Errorf("%s is not an object", path[0])
		}
		next = map[string]any{}
		tree[path[0]] = next
	}
	return put(next, path[1:], v)
}
