package tokenizer

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

// spmSmall is a vocabulary with an unknown, a control and a user-defined token, but without bytes.
var spmSmall = []piece{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {"</s>", 0, pieceControl}, {"[X]", 0, pieceUser}, {"▁a", -1, pieceNormal},
	{"bc", -2, pieceNormal}, {"ab", -3, pieceNormal}, {"▁", -4, pieceNormal}, {"a", -5, pieceNormal}, {"b", -6, pieceNormal}, {"c", -7, pieceNormal}}

// spmFile writes a model of a type (2 is BPE) with all 256 bytes where fallback is set.
func spmFile(pieces []piece, kind uint64, more ...byte) (file []byte) {
	for _, p := range pieces {
		m := append([]byte{10}, binary.AppendUvarint(nil, uint64(len(p.text)))...)
		m = append(m, p.text...)
		m = binary.LittleEndian.AppendUint32(append(m, 2<<3|5), math.Float32bits(p.score))
		m = append(m, 3<<3, byte(p.kind))
		file = append(append(append(file, 10), binary.AppendUvarint(nil, uint64(len(m)))...), m...)
	}
	trainer := append([]byte{3 << 3, byte(kind)}, more...)
	file = append(append(file, 2<<3|2, byte(len(trainer))), trainer...)
	return append(file, 3<<3|2, 4, 3<<3, 1, 4<<3, 0) // add_dummy_prefix, no remove_extra_whitespaces
}

// TestSentencePiece: the pair of the best score first, wherever it is; user-defined tokens are matched, control tokens are not.
func TestSentencePiece(t *testing.T) {
	tok, err := ParseSentencePiece(spmFile(spmSmall, 2), "small")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]int{"": {}, "a": {4}, "abc": {4, 5}, "bab": {7, 9, 6}, "b  a": {7, 9, 7, 4}, "a[X]c": {4, 3, 10}, "aéüc": {4, 0, 10}, "</s>": {7, 0}} {
		got, err := tok.Encode(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v %v, want %v", text, got, err, want)
		}
	}
	if before, after := Frame(tok); !slices.Equal(before, []int{1}) || len(after) > 0 || tok.EOS() != 2 {
		t.Errorf("frame %v %v, EOS %d", before, after, tok.EOS())
	}
	if text, err := tok.Decode([]int{4, 5, 3}); err != nil || text != " abc[X]" {
		t.Errorf("decoded to %q %v", text, err)
	}
}

func TestBadSentencePiece(t *testing.T) {
	fallback := []byte{35<<3&0x7f | 0x80, 35 >> 4, 1}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty": {nil, "0 pieces"}, "unigram": {spmFile(spmSmall, 1), "unigram"}, "text": {[]byte("a sentence"), "sentencepiece model"},
		"cut": {spmFile(spmSmall, 2)[:40], "cut"}, "twice": {spmFile(append(slices.Clone(spmSmall), piece{"a", -9, pieceNormal}), 2), "comes twice"},
		"no bytes": {spmFile(spmSmall, 2, fallback...), "<0x00>"}, "bad byte": {spmFile([]piece{{"<0xZZ>", 0, pieceByte}}, 2), "is not a byte"},
		"empty piece": {spmFile([]piece{{"", 0, pieceNormal}}, 2), "0 bytes"}, "long piece": {spmFile([]piece{{strings.Repeat("x", 600), 0, pieceNormal}}, 2), "600 bytes"},
		"characters' table": {append(spmFile(spmSmall, 2), 3<<3|2, 3, 2<<3|2, 1, 'x'), "precompiled_charsmap"},
		"extra white space": {append(spmFile(spmSmall, 2), 3<<3|2, 2, 4<<3, 1), "remove_extra_whitespaces"}, "no score": {spmFile([]piece{{"a", float32(math.NaN()), pieceNormal}}, 2), "no score"},
		"other type": {spmFile([]piece{{"a", 0, 9}}, 2), "type 9"},
	} {
		if _, err := ParseSentencePiece(c.content, "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestBadTekken(t *testing.T) {
	for text, want := range map[string]string{
		"{": "unexpected end", "{}": "pattern", `{"config":{"pattern":"\\w"}}`: `\\w`,
	} {
		if _, err := ParseTekken([]byte(text), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
