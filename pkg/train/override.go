package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"stuffed/pkg/lm"
	"stuffed/pkg/plaintext"
)

// ReadConfig reads a JSON file over the defaults and applies key=value overrides. "preset" beside "model" starts from a
// named shape. An empty path means the defaults alone. A vocabulary of 0 is filled in from the data when training starts.
func ReadConfig(path string, overrides ...string) (Config, error) {
	c := DefaultConfig()
	if path != "" {
		content, err := plaintext.Read(path)
		if err != nil {
			return c, fmt.Errorf("config: %w", err)
		}
		if err := c.Parse(content); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, c.Set(overrides...)
}

// Parse reads JSON over c; unknown fields are errors.
func (c *Config) Parse(content []byte) error {
	var named struct {
		Preset string `json:"preset"`
	}
	if err := json.Unmarshal(content, &named); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if named.Preset != "" {
		if err := c.Set("preset=" + named.Preset); err != nil {
			return err
		}
	}
	whole := struct {
		Preset string `json:"preset"`
		*Config
	}{Config: c}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&whole); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// Set applies assignments such as data.gap=8, seeds=0,1,2 or model.width=256. preset=NAME replaces the model's shape.
// Lists are separated by commas; lists of objects are JSON.
func (c *Config) Set(assignments ...string) error {
	for _, a := range assignments {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("override %q: must be key=value", a)
		}
		if key == "preset" {
			m, err := lm.Preset(value)
			if err != nil {
				return err
			}
			c.Model = lm.Any{Config: m}
			continue
		}
		if key == "model.architecture" {
			if err := c.Model.UnmarshalJSON(fmt.Appendf(nil, `{"architecture":%q}`, value)); err != nil {
				return fmt.Errorf("override %q: %w", a, err)
			}
			continue
		}
		err := change(reflect.ValueOf(c).Elem(), strings.Split(key, "."), key, func(field reflect.Value) error {
			if err := assign(field, value); err != nil {
				return fmt.Errorf("override %q: %w", a, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// change follows JSON names to a field and lets set change it. What an interface holds is changed in a copy.
func change(v reflect.Value, path []string, key string, set func(field reflect.Value) error) error {
	if v.Type() == reflect.TypeFor[lm.Any]() {
		v = v.Field(0)
	}
	if v.Kind() == reflect.Interface && !v.IsNil() {
		own := reflect.New(v.Elem().Type()).Elem()
		own.Set(v.Elem())
		if err := change(own, path, key, set); err != nil {
			return err
		}
		v.Set(own)
		return nil
	}
	if v.Kind() != reflect.Struct {
		return fmt.Errorf("override: %q has no field %q", strings.TrimSuffix(key, "."+path[0]), path[0])
	}
	var names []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" { // its own fields are among the visible ones
			continue
		}
		if name == path[0] {
			if len(path) == 1 {
				return set(v.FieldByIndex(f.Index))
			}
			return change(v.FieldByIndex(f.Index), path[1:], key, set)
		}
		names = append(names, name)
	}
	return fmt.Errorf("override: no field %q in %q; there are %s", path[0], key, strings.Join(names, ", "))
}

func assign(field reflect.Value, value string) error {
	text := value
	switch field.Kind() {
	case reflect.String:
		field.SetString(value)
		return nil
	case reflect.Struct:
		if !strings.HasPrefix(strings.TrimSpace(value), "{") {
			return fmt.Errorf("name one of its fields, or give JSON")
		}
	case reflect.Slice:
		if strings.TrimSpace(value) == "" { // none
			field.SetZero()
			return nil
		}
		if !strings.HasPrefix(strings.TrimSpace(value), "[") {
			parts := strings.Split(value, ",")
			if field.Type().Elem().Kind() == reflect.String {
				for i, p := range parts {
					quoted, err := json.Marshal(strings.TrimSpace(p))
					if err != nil {
						return err
					}
					parts[i] = string(quoted)
				}
			}
			text = "[" + strings.Join(parts, ",") + "]"
		}
		field.SetZero()
	}
	if err := json.Unmarshal([]byte(text), field.Addr().Interface()); err != nil {
		return fmt.Errorf("%q is no %s", value, field.Type())
	}
	return nil
}
