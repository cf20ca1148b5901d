package longtext

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// The benchmarks' programs are written in Python, whose notions of white space, case, digits and literals differ from Go's.

// space reports whether Python counts a rune as white space, which includes the separators U+001C to U+001F.
func space(c rune) bool { return unicode.IsSpace(c) || c >= 0x1c && c <= 0x1f }

// fields splits a text at Python's white space.
func fields(text string) []string { return strings.FieldsFunc(text, space) }

// lower and upper map the case of a text by the full rules of Unicode: a final Σ becomes ς, and ß becomes SS. In rare cases Python sees the
// end of a word elsewhere (ΑΣ`Α).
func lower(text string) string { return cases.Lower(language.Und).String(text) }
func upper(text string) string { return cases.Upper(language.Und).String(text) }

// decimal replaces the decimal digits of every script by 0 to 9.
func decimal(text string) string {
	return strings.Map(func(c rune) rune {
		for _, r := range unicode.Nd.R16 {
			if c >= rune(r.Lo) && c <= rune(r.Hi) {
				return '0' + (c-rune(r.Lo))%10
			}
		}
		for _, r := range unicode.Nd.R32 {
			if c >= rune(r.Lo) && c <= rune(r.Hi) {
				return '0' + (c-rune(r.Lo))%10
			}
		}
		return c
	}, text)
}

// pythonJSON converts a Python list or dict of literals (strings in either kind of quotes, True, False, None, numbers) to JSON.
func pythonJSON(text string) (json.RawMessage, error) {
	var b strings.Builder
	for i := 0; i < len(text); {
		if c := text[i]; c == '\'' || c == '"' {
			body, end, err := literal(text, i)
			if err != nil {
				return nil, err
			}
			quoted, err := json.Marshal(body)
			if err != nil {
				return nil, err
			}
			b.Write(quoted)
			i = end
			continue
		}
		n := 1
		out := text[i : i+1]
		for python, js := range map[string]string{"True": "true", "False": "false", "None": "null", "true": "?", "false": "?", "null": "?"} {
			if strings.HasPrefix(text[i:], python) {
				n, out = len(python), js
			}
		}
		if rest := strings.TrimLeft(text[i+1:], " \t\n"); out == "," && rest != "" && (rest[0] == '}' || rest[0] == ']') {
			out = "" // a comma may follow the last value
		}
		b.WriteString(out)
		i += n
	}
	raw := json.RawMessage(b.String())
	if !json.Valid(raw) {
		return nil, fmt.Errorf("it is neither JSON nor a Python list of literals")
	}
	return raw, nil
}

// escapes maps the letter of a one-letter escape sequence to its character.
var escapes = map[byte]string{
	'\\': "\\", '\'': "'", '"': "\"", 'n': "\n", 't': "\t", 'r': "\r", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': "",
}

// literal reads the quoted string that begins at byte i and returns the index after its end.
func literal(text string, i int) (body string, end int, err error) {
	var b strings.Builder
	for k := i + 1; k < len(text); k++ {
		switch c := text[k]; {
		case c == text[i]:
			return b.String(), k + 1, nil
		case c != '\\' || k+1 == len(text):
			b.WriteByte(c)
		default:
			k++
			digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[k]]
			if one, known := escapes[text[k]]; known {
				b.WriteString(one)
			} else if digits == 0 {
				b.WriteString(text[k-1 : k+1])
			} else if k+digits >= len(text) {
				return "", 0, fmt.Errorf("a text that begins at byte %d has no end", i)
			} else {
				code, err := strconv.ParseUint(text[k+1:k+1+digits], 16, 32)
				if err != nil {
					return "", 0, fmt.Errorf("byte %d: \\%c wants %d hexadecimal digits", k, text[k], digits)
				}
				b.WriteRune(rune(code))
				k += digits
			}
		}
	}
	return "", 0, fmt.Errorf("a text that begins at byte %d has no end", i)
}

// blanks reads an object of strings such as {"<mask-0>": "Anna"} and returns its keys in order and their values.
func blanks(raw json.RawMessage) (keys, values []string, err error) {
	var d map[string]any
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(d)) {
		if v, text := d[k].(string); text {
			keys, values = append(keys, k), append(values, v)
		}
	}
	return keys, values, nil
}
