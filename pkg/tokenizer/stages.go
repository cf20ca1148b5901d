package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// stage is a normalizer, pre-tokenizer, post-processor or decoder of a tokenizer.json: those have a type and share most keys.
type stage struct {
	Type           string                    `json:"type"`
	AddPrefixSpace *bool                     `json:"add_prefix_space"`
	UseRegex       *bool                     `json:"use_regex"`
	Replacement    string                    `json:"replacement"`
	PrependScheme  string                    `json:"prepend_scheme"`
	Split          *bool                     `json:"split"`
	Pattern        map[string]string         `json:"pattern"`
	Content        *string                   `json:"content"`
	Prepend        string                    `json:"prepend"`
	Behavior       string                    `json:"behavior"`
	Invert         bool                      `json:"invert"`
	Individual     bool                      `json:"individual_digits"`
	Normalizers    []stage                   `json:"normalizers"`
	Pretokenizers  []stage                   `json:"pretokenizers"`
	Processors     []stage                   `json:"processors"`
	Decoders       []stage                   `json:"decoders"`
	Single         []map[string]templatePart `json:"single"`
	SpecialTokens  map[string]templateToken  `json:"special_tokens"`
}

type templatePart struct {
	ID json.RawMessage `json:"id"`
}

type templateToken struct {
	IDs []int `json:"ids"`
}

// normalizer changes a text before it is split.
type normalizer func(string) string

// normalizers returns the steps of a normalizer; without prefix, those that put something before a text are left out.
func (s *stage) normalizers(prefix bool) (all []normalizer, err error) {
	if s == nil {
		return nil, nil
	}
	forms := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
	switch form, known := forms[s.Type]; {
	case known:
		return []normalizer{form.String}, nil
	case s.Type == "Sequence":
		for i := range s.Normalizers {
			more, err := s.Normalizers[i].normalizers(prefix)
			if err != nil {
				return nil, err
			}
			all = append(all, more...)
		}
		return all, nil
	case s.Type == "Prepend" && !prefix:
		return nil, nil
	case s.Type == "Prepend":
		return []normalizer{func(text string) string {
			if text == "" {
				return text
			}
			return s.Prepend + text
		}}, nil
	case s.Type == "Replace" && s.Pattern["String"] != "" && s.Content != nil:
		return []normalizer{func(text string) string { return strings.ReplaceAll(text, s.Pattern["String"], *s.Content) }}, nil
	case s.Type == "Replace":
		return nil, fmt.Errorf("normalizer Replace of the pattern %v: only that of a text is read", s.Pattern)
	}
	return nil, fmt.Errorf("normalizer is %q; NFC, NFD, NFKC, NFKD, Replace, Prepend and Sequence are read", s.Type)
}

// splitter cuts a text into words, and may change them; first says that the text begins here.
type splitter func(text string, first bool, word func(string))

// splitters returns the pre-tokenizers, and whether the last gives words whose bytes stand for themselves. Without prefix they put no
// space before a text.
func (s *stage) splitters(prefix bool) (all []splitter, byteLevel bool, err error) {
	if s == nil {
		return nil, false, nil
	}
	switch s.Type {
	case "Sequence":
		for i := range s.Pretokenizers {
			if byteLevel {
				return nil, false, fmt.Errorf("pre_tokenizer %q after ByteLevel: ByteLevel must come last", s.Pretokenizers[i].Type)
			}
			var more []splitter
			if more, byteLevel, err = s.Pretokenizers[i].splitters(prefix); err != nil {
				return nil, false, err
			}
			all = append(all, more...)
		}
		return all, byteLevel, nil
	case "ByteLevel":
		if prefix && (s.AddPrefixSpace == nil || *s.AddPrefixSpace) {
			all = append(all, func(text string, _ bool, word func(string)) {
				if !strings.HasPrefix(text, " ") {
					text = " " + text
				}
				word(text)
			})
		}
		if s.UseRegex == nil || *s.UseRegex {
			all = append(all, pattern(nextWord).splitter())
		}
		return all, true, nil
	case "Split":
		p, known := patterns[s.Pattern["Regex"]]
		isolated := s.Behavior == "Isolated" && !s.Invert
		if !known || !isolated && !(s.Behavior == "Removed" && s.Invert) { // the same, since these patterns leave nothing between words
			return nil, false, fmt.Errorf("pre_tokenizer Split of the pattern %.200v, behavior %s, invert %v is not known here", s.Pattern, s.Behavior, s.Invert)
		}
		return []splitter{p.splitter()}, false, nil
	case "Digits":
		return []splitter{digits(s.Individual).splitter()}, false, nil
	case "Metaspace":
		split, err := s.metaspace(prefix)
		return []splitter{split}, false, err
	}
	return nil, false, fmt.Errorf("pre_tokenizer is %q; ByteLevel, Split, Digits, Metaspace and Sequence are read", s.Type)
}

func (p pattern) splitter() splitter {
	return func(text string, _ bool, word func(string)) {
		for len(text) > 0 {
			n := p(text)
			word(text[:n])
			text = text[n:]
		}
	}
}

// digits sets runs of digits, or single digits, apart from the rest.
func digits(single bool) pattern {
	return func(text string) int {
		inside := false
		for i, r := range text {
			switch is := unicode.IsNumber(r); {
			case i == 0:
				inside = is
			case is != inside || is && single:
				return i
			}
		}
		return len(text)
	}
}

func (s *stage) metaspace(prefix bool) (splitter, error) {
	scheme, mark := s.PrependScheme, s.Replacement
	if scheme == "" { // files before prepend_scheme
		if scheme = "always"; s.AddPrefixSpace != nil && !*s.AddPrefixSpace {
			scheme = "never"
		}
	}
	if mark == "" || scheme != "always" && scheme != "first" && scheme != "never" {
		return nil, fmt.Errorf("pre_tokenizer Metaspace with replacement %q and prepend_scheme %q is not known here", mark, scheme)
	}
	if !prefix {
		scheme = "never"
	}
	return func(text string, first bool, word func(string)) {
		text = strings.ReplaceAll(text, " ", mark)
		if (scheme == "always" || scheme == "first" && first) && !strings.HasPrefix(text, mark) {
			text = mark + text
		}
		if s.Split != nil && !*s.Split {
			word(text)
			return
		}
		for len(text) > 0 {
			n := len(text)
			if i := strings.Index(text[1:], mark); i >= 0 {
				n = i + 1
			}
			word(text[:n])
			text = text[n:]
		}
	}, nil
}

// frame returns the ids that the post-processor puts before and after a text.
func (s *stage) frame() (before, after []int, err error) {
	if s == nil || s.Type == "ByteLevel" { // which changes offsets alone
		return nil, nil, nil
	}
	switch s.Type {
	case "Sequence":
		for i := range s.Processors {
			b, a, err := s.Processors[i].frame()
			if err != nil {
				return nil, nil, err
			}
			before, after = append(b, before...), append(after, a...)
		}
		return before, after, nil
	case "TemplateProcessing":
		into, texts := &before, 0
		for _, part := range s.Single {
			var name string
			switch p, special := part["SpecialToken"]; {
			case special && json.Unmarshal(p.ID, &name) == nil && len(s.SpecialTokens[name].IDs) > 0:
				*into = append(*into, s.SpecialTokens[name].IDs...)
				continue
			case special:
				return nil, nil, fmt.Errorf("post_processor: the template's special token %.60s has no ids", p.ID)
			}
			if _, text := part["Sequence"]; !text || texts > 0 {
				return nil, nil, fmt.Errorf("post_processor: the template for a single text must have the text once, and special tokens")
			}
			into, texts = &after, 1
		}
		if texts == 0 {
			return nil, nil, fmt.Errorf("post_processor: the template for a single text leaves the text out")
		}
		return before, after, nil
	}
	return nil, nil, fmt.Errorf("post_processor is %q; TemplateProcessing, ByteLevel and Sequence are read", s.Type)
}

// spelling turns entries of the vocabulary into the bytes that they stand for.
type spelling func(entry string) string

// spelling reads the decoder. What it takes off the ends of a whole text (the space that a normalizer put before it) is left, since
// ids are decoded piece by piece.
func (s *stage) spelling() (spelling, error) {
	if s == nil || s.Type == "ByteLevel" {
		return bytesOf, nil
	}
	steps := []stage{*s}
	if s.Type == "Sequence" {
		steps = s.Decoders
	}
	var change []spelling
	for _, d := range steps {
		switch {
		case d.Type == "Metaspace" && d.Replacement != "":
			change = append(change, func(entry string) string { return strings.ReplaceAll(entry, d.Replacement, " ") })
		case d.Type == "Replace" && d.Pattern["String"] != "" && d.Content != nil:
			change = append(change, func(entry string) string { return strings.ReplaceAll(entry, d.Pattern["String"], *d.Content) })
		case d.Type == "ByteFallback":
			change = append(change, fallbackByte)
		case d.Type == "ByteLevel":
			change = append(change, bytesOf)
		case d.Type == "Fuse", d.Type == "Strip" && d.Content != nil && *d.Content == " ":
		default:
			return nil, fmt.Errorf("decoder is %q; ByteLevel, Metaspace, Replace, ByteFallback, Fuse, Strip and Sequence are read", d.Type)
		}
	}
	return func(entry string) string {
		for _, c := range change {
			entry = c(entry)
		}
		return entry
	}, nil
}

// fallbackByte is the byte that <0x0A> and the like stand for; other entries are themselves.
func fallbackByte(entry string) string {
	var b byte
	if len(entry) == 6 && strings.HasPrefix(entry, "<0x") && entry[5] == '>' {
		if _, err := fmt.Sscanf(entry[3:5], "%02X", &b); err == nil {
			return string([]byte{b})
		}
	}
	return entry
}
