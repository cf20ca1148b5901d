package tokenizer

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Types of a piece in a sentencepiece model.
const (
	pieceNormal  = 1
	pieceUnknown = 2
	pieceControl = 3
	pieceUser    = 4
	pieceUnused  = 5
	pieceByte    = 6
)

const spaceMark = "▁"

type piece struct {
	text  string
	score float32
	kind  uint64
}

// spmModel is what of a sentencepiece model (sentencepiece_model.proto) matters for its ids.
type spmModel struct {
	pieces      []piece
	kind        uint64 // 2 is BPE
	fallback    bool
	suffix      bool // white space at the end of words
	charsMap    []byte
	dummyPrefix bool
	removeExtra bool
	escape      bool
	bos, eos    int
}

// ParseSentencePiece reads a tokenizer.model of sentencepiece: BPE with byte fallback and without a table of characters, as those of
// Llama-2 and Mistral. Control tokens are never matched in a text; <s> comes before a whole text.
func ParseSentencePiece(content []byte, name string) (Tokenizer, error) {
	t, err := parseSentencePiece(content, name)
	if err != nil {
		return nil, fmt.Errorf("sentencepiece model: %w", err)
	}
	return t, nil
}

func parseSentencePiece(content []byte, name string) (*bpe, error) {
	m := &spmModel{kind: 1, dummyPrefix: true, removeExtra: true, escape: true, bos: 1, eos: 2}
	if err := m.read(content); err != nil {
		return nil, err
	}
	switch {
	case len(m.pieces) == 0 || len(m.pieces) > maxVocab:
		return nil, fmt.Errorf("it has %d pieces: is it a sentencepiece model?", len(m.pieces))
	case m.kind != 2:
		return nil, fmt.Errorf("model_type is %d (1 unigram, 3 words, 4 characters), only 2, BPE, is read", m.kind)
	case len(m.charsMap) > 0:
		return nil, fmt.Errorf("it normalises by a table of characters (precompiled_charsmap), only the identity is read")
	case m.removeExtra || !m.escape || m.suffix:
		return nil, fmt.Errorf("remove_extra_whitespaces %v, escape_whitespaces %v, treat_whitespace_as_suffix %v: only false, true, false are read", m.removeExtra, m.escape, m.suffix)
	}
	t := &bpe{name: name, raw: newMatcher(), normal: newMatcher(), vocab: map[string]int32{}, unknown: -1, eos: -1,
		texts: make([]string, len(m.pieces)), known: make([]bool, len(m.pieces))}
	for b := range t.bytes {
		t.bytes[b] = -1
	}
	if m.bos >= 0 && m.bos < len(m.pieces) && m.pieces[m.bos].kind == pieceControl {
		t.before = []int{m.bos}
	}
	if m.eos >= 0 && m.eos < len(m.pieces) {
		t.eos = m.eos
	}
	for id, p := range m.pieces {
		if err := t.piece(id, p); err != nil {
			return nil, err
		}
	}
	if m.fallback && !(&encoder{bpe: t}).spellable(allBytes) {
		return nil, fmt.Errorf("byte_fallback is set, but pieces <0x00> to <0xFF> are missing")
	}
	mark := func(text string) string { return strings.ReplaceAll(text, " ", spaceMark) }
	t.whole.normalize, t.part.normalize = []normalizer{mark}, []normalizer{mark}
	if m.dummyPrefix {
		t.whole.normalize = []normalizer{func(text string) string {
			if text == "" {
				return text
			}
			return mark(" " + text)
		}}
	}
	return t, t.scoreMerges(m)
}

var allBytes = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()

func (t *bpe) piece(id int, p piece) error {
	if p.text == "" || !utf8.ValidString(p.text) || len(p.text) > maxRanked {
		return fmt.Errorf("piece %d has %d bytes, must have 1 to %d of UTF-8", id, len(p.text), maxRanked)
	}
	t.texts[id], t.known[id] = strings.ReplaceAll(p.text, spaceMark, " "), true
	switch p.kind {
	case pieceNormal:
		if _, twice := t.vocab[p.text]; twice {
			return fmt.Errorf("piece %d %.40q comes twice", id, p.text)
		}
		t.vocab[p.text] = int32(id)
	case pieceUser:
		if !t.normal.insert(p.text, id) {
			return fmt.Errorf("piece %d %.40q comes twice", id, p.text)
		}
	case pieceByte:
		text := fallbackByte(p.text)
		if len(text) != 1 {
			return fmt.Errorf("piece %d %.40q is not a byte", id, p.text)
		}
		t.bytes[text[0]], t.texts[id] = int32(id), text
	case pieceUnknown:
		t.unknown, t.fuse = int32(id), true
	case pieceControl, pieceUnused:
	default:
		return fmt.Errorf("piece %d has the type %d", id, p.kind)
	}
	return nil
}

// scoreMerges: two pieces merge where both together are one, and that of the highest score first.
func (t *bpe) scoreMerges(m *spmModel) error {
	ranks, order := make([]int32, len(m.pieces)), []int{}
	for id, p := range m.pieces {
		if ranks[id] = -1; p.kind != pieceNormal {
			continue
		}
		if p.score != p.score {
			return fmt.Errorf("piece %d %.40q has no score", id, p.text)
		}
		order = append(order, id)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(m.pieces[b].score, m.pieces[a].score) })
	for i, id := range order {
		if ranks[id] = int32(i); i > 0 && m.pieces[id].score == m.pieces[order[i-1]].score {
			ranks[id] = ranks[order[i-1]]
		}
	}
	t.rankMerges(func(id int32) int32 { return ranks[id] })
	return nil
}

// read takes the fields of ModelProto: pieces (1), trainer_spec (2), normalizer_spec (3).
func (m *spmModel) read(content []byte) error {
	return fields(content, func(number int, value uint64, content []byte) error {
		switch number {
		case 1:
			p := piece{kind: pieceNormal}
			err := fields(content, func(number int, value uint64, content []byte) error {
				switch number {
				case 1:
					p.text = string(content)
				case 2:
					p.score = math.Float32frombits(uint32(value))
				case 3:
					p.kind = value
				}
				return nil
			})
			m.pieces = append(m.pieces, p)
			return err
		case 2:
			return fields(content, func(number int, value uint64, _ []byte) error {
				switch number {
				case 3:
					m.kind = value
				case 24:
					m.suffix = value != 0
				case 35:
					m.fallback = value != 0
				case 41:
					m.bos = int(int32(value))
				case 42:
					m.eos = int(int32(value))
				}
				return nil
			})
		case 3:
			return fields(content, func(number int, value uint64, content []byte) error {
				switch number {
				case 2:
					m.charsMap = content
				case 3:
					m.dummyPrefix = value != 0
				case 4:
					m.removeExtra = value != 0
				case 5:
					m.escape = value != 0
				}
				return nil
			})
		}
		return nil
	})
}

// fields reads a message of protocol buffers: numbers and fixed values come as value, texts and messages as content.
func fields(message []byte, field func(number int, value uint64, content []byte) error) error {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 || key>>3 == 0 || key>>3 > math.MaxInt32 {
			return fmt.Errorf("not a message of protocol buffers")
		}
		message = message[n:]
		var value uint64
		var content []byte
		switch size := map[uint64]int{1: 8, 5: 4}[key&7]; {
		case key&7 == 0:
			if value, n = binary.Uvarint(message); n <= 0 {
				return fmt.Errorf("field %d is cut", key>>3)
			}
			message = message[n:]
		case key&7 == 2:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return fmt.Errorf("field %d is cut", key>>3)
			}
			content, message = message[n:][:length], message[n:][length:]
		case size > 0 && size <= len(message):
			for i := range size {
				value |= uint64(message[i]) << (8 * i)
			}
			message = message[size:]
		default:
			return fmt.Errorf("field %d is cut or of an unknown kind", key>>3)
		}
		if err := field(int(key>>3), value, content); err != nil {
			return err
		}
	}
	return nil
}
