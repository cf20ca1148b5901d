package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"stuffed/pkg/plaintext"
)

const (
	maxConfig      = 1 << 20 // bytes of a config.json
	maxConfigDepth = 32
)

// Config is a model configuration with Hugging Face keys, as encoding/json would read it (numbers are float64), except that
// infinities and NaN are float64 values too, however the file spells them.
type Config map[string]any

// ParseConfig reads the JSON of a config.json. Infinity, -Infinity and NaN are understood bare (older transformers), as texts, and as
// {"__float__": "Infinity"} (transformers 5). Duplicate keys and nesting beyond 32 levels are errors.
func ParseConfig(content []byte) (Config, error) {
	if len(content) > maxConfig {
		return nil, fmt.Errorf("config has %d bytes, the limit is %d", len(content), maxConfig)
	}
	content, err := plaintext.Decode(content)
	if err != nil {
		return nil, fmt.Errorf("config is %w", err)
	}
	p := jsonReader{json.NewDecoder(bytes.NewReader(quoteBareFloats(content)))}
	v, err := configValue(p, 0)
	if errors.Is(err, io.EOF) {
		err = errors.New("the text ends before its closing brace: a part of a file, or none")
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if _, err := p.Token(); err != io.EOF {
		return nil, fmt.Errorf("config: text after the closing brace")
	}
	config, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("config is not a JSON object")
	}
	return config, nil
}

var specialFloats = map[string]float64{"Infinity": math.Inf(1), "-Infinity": math.Inf(-1), "NaN": math.NaN()}

// quoteBareFloats quotes Infinity, -Infinity and NaN outside of strings, in the form that configValue understands.
func quoteBareFloats(text []byte) []byte {
	out := make([]byte, 0, len(text)+64)
	for i := 0; i < len(text); {
		if text[i] == '"' {
			end := i + 1
			for end < len(text) && text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end = min(end+1, len(text))
			out = append(out, text[i:end]...)
			i = end
			continue
		}
		matched := false
		for word := range specialFloats {
			if bytes.HasPrefix(text[i:], []byte(word)) {
				out = append(out, `{"__float__":"`+word+`"}`...)
				i += len(word)
				matched = true
				break
			}
		}
		if !matched {
			out = append(out, text[i])
			i++
		}
	}
	return out
}

func configValue(p jsonReader, depth int) (any, error) {
	if depth > maxConfigDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxConfigDepth)
	}
	token, err := p.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for p.More() {
			v, err := configValue(p, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, p.delim(']')
	case json.Delim('{'):
		members := map[string]any{}
		err := p.members(func(key string) (err error) {
			members[key], err = configValue(p, depth+1)
			return err
		})
		if err != nil {
			return nil, err
		}
		if tag, ok := members["__float__"]; ok && len(members) == 1 {
			if f, ok := tag.(float64); ok {
				return f, nil
			}
		}
		return members, nil
	}
	if s, ok := token.(string); ok {
		if f, ok := specialFloats[s]; ok {
			return f, nil
		}
	}
	return token, nil
}

// configFloats are the keys that transformers types as float: written with a decimal point even when whole.
var configFloats = []string{"initializer_range", "layer_norm_epsilon", "norm_epsilon", "time_step_floor", "time_step_limit", "time_step_max",
	"time_step_min", "dt_limit", "dt_min", "dt_max", "dt_init_floor"}

// EncodeConfig writes a config as transformers 5 does: sorted keys, two spaces, and infinities as {"__float__": "Infinity"}, which
// transformers reads back.
func EncodeConfig(config Config) ([]byte, error) {
	var b bytes.Buffer
	if err := encodeConfigValue(&b, map[string]any(config), "", false, 0); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func encodeConfigValue(b *bytes.Buffer, v any, indent string, asFloat bool, depth int) error {
	if depth > maxConfigDepth {
		return fmt.Errorf("config: nested more than %d levels deep", maxConfigDepth)
	}
	inner := indent + "  "
	switch v := v.(type) {
	case Config:
		return encodeConfigValue(b, map[string]any(v), indent, asFloat, depth)
	case map[string]any:
		b.WriteString("{")
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(b, "\n%s%s: ", inner, jsonText(key))
			if err := encodeConfigValue(b, v[key], inner, asFloat || slices.Contains(configFloats, key), depth+1); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		if len(v) > 0 {
			b.WriteString("\n" + indent)
		}
		b.WriteString("}")
	case float32:
		return encodeConfigValue(b, float64(v), indent, asFloat, depth)
	case float64:
		b.WriteString(configNumber(v, inner, indent, asFloat))
	case int:
		return encodeConfigValue(b, float64(v), indent, asFloat, depth)
	case int64:
		return encodeConfigValue(b, float64(v), indent, asFloat, depth)
	case nil, bool, string, json.Number:
		b.Write(jsonText(v))
	default:
		return encodeConfigOther(b, v, indent, asFloat, depth)
	}
	return nil
}

// encodeConfigOther encodes lists, and converts other typed values to []any first.
func encodeConfigOther(b *bytes.Buffer, v any, indent string, asFloat bool, depth int) error {
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case []float64:
		for _, x := range v {
			items = append(items, x)
		}
	case [2]float64:
		items = []any{v[0], v[1]}
	case []int:
		for _, x := range v {
			items = append(items, x)
		}
	case []string:
		for _, x := range v {
			items = append(items, x)
		}
	default:
		return fmt.Errorf("config value of type %T cannot be written: use texts, numbers, bools, lists and maps", v)
	}
	inner := indent + "  "
	b.WriteString("[")
	for i, item := range items {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n" + inner)
		if err := encodeConfigValue(b, item, inner, asFloat, depth+1); err != nil {
			return err
		}
	}
	if len(items) > 0 {
		b.WriteString("\n" + indent)
	}
	b.WriteString("]")
	return nil
}

func configNumber(v float64, inner, indent string, asFloat bool) string {
	switch {
	case math.IsNaN(v):
		return "{\n" + inner + `"__float__": "NaN"` + "\n" + indent + "}"
	case math.IsInf(v, 1):
		return "{\n" + inner + `"__float__": "Infinity"` + "\n" + indent + "}"
	case math.IsInf(v, -1):
		return "{\n" + inner + `"__float__": "-Infinity"` + "\n" + indent + "}"
	case v == math.Trunc(v) && math.Abs(v) < 1<<53 && !asFloat:
		return strconv.FormatInt(int64(v), 10)
	}
	text := strconv.FormatFloat(v, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// Int returns an integer of the config; a missing key, another type, or a value outside [low, high] is an error.
func (c Config) Int(key string, low, high int) (int, error) {
	v, ok := c[key]
	if !ok {
		return 0, fmt.Errorf("config: %s is missing, want a whole number from %d to %d", key, low, high)
	}
	f, ok := configFloat(v)
	if !ok || f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		return 0, fmt.Errorf("config: %s is %v, want a whole number from %d to %d", key, v, low, high)
	}
	return int(f), nil
}

// Float returns a number of the config, which may be infinite.
func (c Config) Float(key string) (float64, error) {
	f, ok := configFloat(c[key])
	if !ok {
		return 0, fmt.Errorf("config: %s is %v, want a number", key, c[key])
	}
	return f, nil
}

// Floats returns a list of numbers of the config, which may be infinite.
func (c Config) Floats(key string) ([]float64, error) {
	switch v := c[key].(type) {
	case []float64:
		return slices.Clone(v), nil
	case []any:
		out := make([]float64, len(v))
		for i, item := range v {
			f, ok := configFloat(item)
			if !ok {
				return nil, fmt.Errorf("config: %s[%d] is %v, want a number", key, i, item)
			}
			out[i] = f
		}
		return out, nil
	}
	return nil, fmt.Errorf("config: %s is %v, want a list of numbers", key, c[key])
}

// Bool returns a boolean of the config.
func (c Config) Bool(key string) (bool, error) {
	if v, ok := c[key].(bool); ok {
		return v, nil
	}
	return false, fmt.Errorf("config: %s is %v, want true or false", key, c[key])
}

func configFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	}
	return 0, false
}
