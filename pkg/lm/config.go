package lm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"stuffed/pkg/identity"
)

// Config is the configuration of one model: a struct of plain fields with JSON names, passed by value.
type Config interface {
	Architecture() string // its name in the registry
	Validate() error      // names the first field out of range
	Hash() string         // see package identity
	Sizes() Sizes
	WithVocab(rows int) Config
	New() (Model, error)
}

// Sizes are what tables and reports say of a model. State and Heads are 0 where they have no meaning.
type Sizes struct {
	Layers, Width, Vocab int
	Heads                int // of a layer
	State                int // keys of a head: Mamba-2's N
	Recurrent            int // scalars of the recurrent state of one sequence
	Carried              int // of everything that is carried for it; a cache counts at its least size
}

// Architecture is an entry of the registry.
type Architecture struct {
	Name    string
	About   string                            // one line: what it is and its source
	Default func() Config                     // what files and overrides start from; a vocabulary of 0 is filled in from the data
	Presets []string                          // in order of size
	Preset  func(name string) (Config, error) // nil where there is none
	Unnamed bool                              // JSON without "architecture" means this one: files from before there were others
}

var registry struct {
	sync.Mutex
	all []Architecture
}

// Register adds an architecture; its package does so when it is loaded (see package arch for those of the program).
func Register(a Architecture) {
	registry.Lock()
	defer registry.Unlock()
	if slices.ContainsFunc(registry.all, func(b Architecture) bool { return b.Name == a.Name }) {
		panic(fmt.Sprintf("architecture %s is registered twice", a.Name))
	}
	registry.all = append(registry.all, a)
	slices.SortFunc(registry.all, func(a, b Architecture) int { return strings.Compare(a.Name, b.Name) })
}

// Architectures lists the registry by name.
func Architectures() []Architecture {
	registry.Lock()
	defer registry.Unlock()
	return slices.Clone(registry.all)
}

// ArchitectureOf finds an architecture; the empty name stands for the unnamed one.
func ArchitectureOf(name string) (Architecture, error) {
	var names []string
	for _, a := range Architectures() {
		if a.Name == name || name == "" && a.Unnamed {
			return a, nil
		}
		names = append(names, a.Name)
	}
	return Architecture{}, fmt.Errorf("architecture %q: unknown; choose one of %s", name, strings.Join(names, ", "))
}

// Preset finds a configuration by name: ARCHITECTURE/NAME, or NAME alone among all architectures, the unnamed one first.
func Preset(name string) (Config, error) {
	of, short, qualified := strings.Cut(name, "/")
	if !qualified {
		of, short = "", name
	}
	short = strings.ToLower(short)
	for _, unnamed := range []bool{true, false} {
		for _, a := range Architectures() {
			if a.Unnamed == unnamed && (!qualified || a.Name == of) && slices.Contains(a.Presets, short) {
				return a.Preset(short)
			}
		}
	}
	return nil, fmt.Errorf("preset %q: unknown; choose one of %s", name, strings.Join(Presets(), ", "))
}

// Presets lists the names of all presets, those of the unnamed architecture first; the others are ARCHITECTURE/NAME.
func Presets() (names []string) {
	for _, first := range []bool{true, false} {
		for _, a := range Architectures() {
			for _, p := range a.Presets {
				switch {
				case a.Unnamed && first:
					names = append(names, p)
				case !a.Unnamed && !first:
					names = append(names, a.Name+"/"+p)
				}
			}
		}
	}
	return names
}

// Any is a configuration of any architecture. In JSON it is the fields of that configuration and, in front of them,
// "architecture" unless that is the unnamed one.
type Any struct{ Config }

// MarshalJSON writes the fields in their order.
func (a Any) MarshalJSON() ([]byte, error) {
	if a.Config == nil {
		return []byte("null"), nil
	}
	text, err := json.Marshal(a.Config)
	if err != nil {
		return nil, err
	}
	return a.tagged(text), nil
}

// Identity is what the configuration adds to the hash of what holds it.
func (a Any) Identity() ([]byte, error) {
	if a.Config == nil {
		return []byte("null"), nil
	}
	of, err := ArchitectureOf(a.Architecture())
	if err != nil {
		return nil, err
	}
	text, err := identity.JSON(a.Config, of.Default())
	if err != nil {
		return nil, err
	}
	return a.tagged(text), nil
}

func (a Any) tagged(fields []byte) []byte {
	if of, err := ArchitectureOf(a.Architecture()); err == nil && of.Unnamed {
		return fields
	}
	tag := fmt.Appendf(nil, `{"architecture":%q`, a.Architecture())
	if rest := bytes.TrimPrefix(fields, []byte("{")); !bytes.Equal(rest, []byte("}")) {
		tag = append(append(tag, ','), rest...)
		return tag
	}
	return append(tag, '}')
}

// UnmarshalJSON reads fields over the present ones, or over the defaults of the architecture where that changes; unknown
// fields are errors.
func (a *Any) UnmarshalJSON(text []byte) error {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	name := ""
	if tag, given := fields["architecture"]; given {
		if err := json.Unmarshal(tag, &name); err != nil {
			return fmt.Errorf("architecture: %w", err)
		}
		delete(fields, "architecture")
	} else if a.Config != nil {
		name = a.Architecture()
	}
	of, err := ArchitectureOf(name)
	if err != nil {
		return err
	}
	c := of.Default()
	if a.Config != nil && a.Architecture() == of.Name {
		c = a.Config
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	if a.Config, err = decode(c, rest); err != nil {
		return fmt.Errorf("%s: %w", of.Name, err)
	}
	return nil
}

// Same tells whether two configurations are of one model.
func (a Any) Same(b Any) bool {
	return a.Config != nil && b.Config != nil && a.Architecture() == b.Architecture() && a.Hash() == b.Hash()
}

// Override is the configuration with some fields changed, as JSON; a field that it lacks is an error.
func Override(c Config, fields string) (Config, error) {
	changed, err := decode(c, []byte(fields))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Architecture(), err)
	}
	return changed, changed.Validate()
}

// decode reads JSON over a configuration, which is a value of any struct type.
func decode(c Config, text []byte) (Config, error) {
	p := reflect.New(reflect.TypeOf(c))
	p.Elem().Set(reflect.ValueOf(c))
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(p.Interface()); err != nil {
		return nil, wrongType(err)
	}
	return p.Elem().Interface().(Config), nil
}

// ReadKeys reads what a config.json says over what is there, into a pointer to a configuration. Keys without a field are left alone.
func ReadKeys(keys map[string]any, into any) error {
	text, err := json.Marshal(keys)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("config: %w", wrongType(err))
	}
	return nil
}

// wrongType says of a value of the wrong type what is asked for, by the name of its key.
func wrongType(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) || e.Field == "" {
		return err
	}
	want := map[reflect.Kind]string{reflect.Bool: "true or false", reflect.String: "a text", reflect.Float64: "a number"}[e.Type.Kind()]
	if want == "" {
		want = "a whole number"
	}
	is := strings.TrimPrefix(e.Value, "number ")
	if is == e.Value {
		is = "of type " + is
	}
	return fmt.Errorf("%s is %s, must be %s", e.Field[strings.LastIndex(e.Field, ".")+1:], is, want)
}
