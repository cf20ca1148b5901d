package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// smallFile makes the tokenizer.json of a small byte-level BPE, with all parts that GPT-NeoX's has.
func smallFile(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	vocab := map[string]any{}
	for b, r := range byteRunes {
		vocab[string(r)] = b
	}
	merges := []any{}
	for _, pair := range []string{"Ġ t", "h e", "Ġt he", "a a", "aa aa", "Ċ Ċ", "Ġ Ġ", "Ã ©", "i n", "in g", "e r", "Ġ a", "aa a"} {
		left, right, _ := strings.Cut(pair, " ")
		vocab[left+right] = len(vocab)
		merges = append(merges, pair)
	}
	next := len(vocab)
	file := map[string]any{
		"normalizer":    map[string]any{"type": "NFC"},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"added_tokens": []any{
			map[string]any{"id": next, "content": "<|endoftext|>", "special": true, "normalized": false},
			map[string]any{"id": next + 1, "content": "   ", "normalized": true},
			map[string]any{"id": next + 2, "content": "  ", "normalized": true},
		},
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	}
	if change != nil {
		change(file)
	}
	content, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func small(t testing.TB) *bpe {
	t.Helper()
	tok, err := Parse(smallFile(t, nil), "small")
	if err != nil {
		t.Fatal(err)
	}
	return tok.(*bpe)
}

var oracleWord = regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\v\x{85}\p{Z}\p{L}\p{N}]+)`)
var oracleSpace = regexp.MustCompile(`^[\s\v\x{85}\p{Z}]+`)

// oracleWords splits by regular expressions, with the look-ahead written out.
func oracleWords(text string) (words []string) {
	for len(text) > 0 {
		word := oracleWord.FindString(text)
		if word == "" {
			word = oracleSpace.FindString(text)
			if runes := []rune(word); len(runes) > 1 && len(word) < len(text) {
				word = string(runes[:len(runes)-1])
			}
		}
		words = append(words, word)
		text = text[len(word):]
	}
	return words
}

// oracleMerge applies the merges one by one by definition: lowest rank first, leftmost first.
func oracleMerge(t *bpe, word string) []int {
	var ids []int32
	for i := range len(word) {
		ids = append(ids, t.bytes[word[i]])
	}
	for {
		best, at := merge{rank: 1 << 30}, -1
		for i := range len(ids) - 1 {
			if m, ok := t.merges[pairKey(ids[i], ids[i+1])]; ok && m.rank < best.rank {
				best, at = m, i
			}
		}
		if at < 0 {
			break
		}
		ids = slices.Replace(ids, at, at+2, best.id)
	}
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

var pieces = []string{" ", "  ", "the", " the", "'", "'s", "'re", "'ll", "a", "aaaaaaa", "ing", "é", "e\u0301", "1", "²", "½", "\n", "\n\n", "\t",
	"\u00a0", "\u0085", "\u3000", "。", "你好", "!", "...", "🙂", "\v", "\u200b", "ǅ", "٣", "\u0300"}

func randomText(r *rand.Rand) string {
	var text strings.Builder
	for range r.IntN(12) {
		text.WriteString(pieces[r.IntN(len(pieces))])
	}
	return text.String()
}

func TestAgainstOracles(t *testing.T) {
	tok := small(t)
	tok.normal, tok.raw = newMatcher(), newMatcher()
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		text := randomText(r)
		var want []int
		for _, word := range oracleWords(norm.NFC.String(text)) {
			want = append(want, oracleMerge(tok, word)...)
		}
		got, err := tok.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestAddedTokens(t *testing.T) {
	tok := small(t)
	n := tok.Vocab() - 3
	for text, want := range map[string][]int{
		"":                              {},
		"<|endoftext|>":                 {n},
		"<|endoftext|><|endoftext":      {n, '<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't'},
		"a   a":                         {'a', n + 1, 'a'},
		"a    a":                        {'a', n + 1, 267},
		"     ":                         {n + 1, n + 2},
		" the":                          {258},
		"\u0065\u0301":                  {263},
		strings.Repeat(" ", 7) + "\n\n": {n + 1, n + 1, ' ', 261},
	} {
		got, err := tok.Encode(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v %v, want %v", text, got, err, want)
		}
		back, err := tok.Decode(got)
		if err != nil || back != norm.NFC.String(text) {
			t.Errorf("%q came back as %q %v", text, back, err)
		}
	}
	if tok.EOS() != n || tok.Name() != "small" {
		t.Errorf("EOS %d, name %q", tok.EOS(), tok.Name())
	}
	if _, err := tok.Decode([]int{5, tok.Vocab()}); err == nil || !strings.Contains(err.Error(), "ids[1]") {
		t.Errorf("error %v", err)
	}
	if _, err := tok.Encode("ab\xff"); err == nil || !strings.Contains(err.Error(), "byte 2") {
		t.Errorf("error %v", err)
	}
}

// TestLongWord: one word of a megabyte, over which merging in quadratic time would take hours.
func TestLongWord(t *testing.T) {
	tok := small(t)
	text := strings.Repeat("a", 1<<20)
	ids, err := tok.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := tok.Decode(ids); err != nil || back != text {
		t.Errorf("came back with %d bytes %v", len(back), err)
	}
}

func TestConcurrentUse(t *testing.T) {
	tok := small(t)
	want, err := tok.Encode("the thing   caf\u00e9")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				if got, err := tok.Encode("the thing   caf\u00e9"); err != nil || !slices.Equal(got, want) {
					t.Errorf("got %v %v, want %v", got, err, want)
				}
			}
		})
	}
	group.Wait()
}

func TestHostileFiles(t *testing.T) {
	model := func(key string, value any) func(map[string]any) {
		return func(f map[string]any) { f["model"].(map[string]any)[key] = value }
	}
	added := func(token map[string]any) func(map[string]any) {
		return func(f map[string]any) { f["added_tokens"] = append(f["added_tokens"].([]any), token) }
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		want   string
	}{
		"other model":          {model("type", "Unigram"), `"Unigram"`},
		"dropout":              {model("dropout", 0.1), "dropout"},
		"unknown of nothing":   {func(f map[string]any) { f["pre_tokenizer"] = nil; model("unk_token", "<unk>")(f) }, "unk_token"},
		"no vocab":             {model("vocab", map[string]any{}), "missing or empty"},
		"vocab without bytes":  {model("vocab", map[string]any{"a": 0}), "byte-level vocabulary"},
		"vocab of texts":       {model("vocab", map[string]any{"a": "b"}), "cannot unmarshal"},
		"huge id":              {func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["zz"] = 1 << 40 }, "beyond"},
		"negative id":          {func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["zz"] = -1 }, "must be from 0"},
		"id twice":             {func(f map[string]any) { f["model"].(map[string]any)["vocab"].(map[string]any)["zz"] = 7 }, "two tokens"},
		"merge of unknown":     {model("merges", []any{"q zzz"}), "not in model.vocab"},
		"merge result unknown": {model("merges", []any{"q q"}), "not in model.vocab"},
		"merge of three":       {model("merges", []any{"h e e"}), "3 parts"},
		"merge is a number":    {model("merges", []any{1}), "neither"},
		"merge twice":          {model("merges", []any{"h e", []any{"h", "e"}}), "repeats"},
		"other normaliser":     {func(f map[string]any) { f["normalizer"] = map[string]any{"type": "Lowercase"} }, "Lowercase"},
		"other pre-tokenizer":  {func(f map[string]any) { f["pre_tokenizer"] = map[string]any{"type": "Whitespace"} }, `"Whitespace"`},
		"other split": {func(f map[string]any) {
			f["pre_tokenizer"] = map[string]any{"type": "Split", "pattern": map[string]any{"Regex": `\w+`}, "behavior": "Isolated"}
		}, `\w+`},
		"split after bytes": {func(f map[string]any) {
			f["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{map[string]any{"type": "ByteLevel"}, map[string]any{"type": "Digits"}}}
		}, "Digits"},
		"other replacement": {func(f map[string]any) {
			f["normalizer"] = map[string]any{"type": "Replace", "pattern": map[string]any{"Regex": "x"}, "content": "y"}
		}, "Replace"},
		"other post-processor": {func(f map[string]any) { f["post_processor"] = map[string]any{"type": "BertProcessing"} }, "BertProcessing"},
		"template of nothing": {func(f map[string]any) {
			f["post_processor"] = map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>"}}}}
		}, "no ids"},
		"template without text": {func(f map[string]any) {
			f["post_processor"] = map[string]any{"type": "TemplateProcessing", "single": []any{}}
		}, "leaves the text out"},
		"template of no token": {func(f map[string]any) {
			f["post_processor"] = map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>"}}, map[string]any{"Sequence": map[string]any{"id": "A"}}},
				"special_tokens": map[string]any{"<s>": map[string]any{"ids": []any{1 << 30}}}}
		}, "not a token"},
		"other decoder":     {func(f map[string]any) { f["decoder"] = map[string]any{"type": "WordPiece"} }, "WordPiece"},
		"added without id":  {added(map[string]any{"content": "x"}), "id is missing"},
		"added empty":       {added(map[string]any{"id": 300, "content": ""}), "content"},
		"added long":        {added(map[string]any{"id": 300, "content": strings.Repeat("x", 5000)}), "content"},
		"added huge id":     {added(map[string]any{"id": 1 << 30, "content": "x"}), "beyond"},
		"added negative id": {added(map[string]any{"id": -5, "content": "x"}), "must be from 0"},
		"added on other id": {added(map[string]any{"id": 0, "content": "x?"}), "belongs to another"},
		"added twice":       {added(map[string]any{"id": 400, "content": "  ", "normalized": true}), "added twice"},
		"added strips":      {added(map[string]any{"id": 400, "content": "<m>", "lstrip": true}), "lstrip"},
	} {
		if _, err := Parse(smallFile(t, c.change), "x"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
	for _, text := range []string{"", "{", "[]", "null", `{"model":[]}`, strings.Repeat("[", 100000), `{"model":{"vocab":{"a":1e300}}}`} {
		if _, err := Parse([]byte(text), "x"); err == nil {
			t.Errorf("%.40q was accepted", text)
		}
	}
}

func TestMergesAsPairs(t *testing.T) {
	content := smallFile(t, func(f map[string]any) {
		m := f["model"].(map[string]any)
		var pairs []any
		for _, text := range m["merges"].([]any) {
			left, right, _ := strings.Cut(text.(string), " ")
			pairs = append(pairs, []string{left, right})
		}
		m["merges"] = pairs
	})
	tok, err := Parse(content, "pairs")
	if err != nil {
		t.Fatal(err)
	}
	if len(tok.(*bpe).merges) != 13 {
		t.Errorf("%d merges", len(tok.(*bpe).merges))
	}
}

// TestGolden compares with the reference library's ids for GPT-NeoX-20B where the set-up has put its tokenizer.json; elsewhere it
// checks that the way to it is explained, and the tests above stand for it.
func TestGolden(t *testing.T) {
	path, err := Locate()
	if err != nil {
		if !strings.Contains(err.Error(), "STUFFED_NEOX") {
			t.Errorf("error %v does not say what to do", err)
		}
		return
	}
	tok, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if tok.Vocab() != 50277 || tok.EOS() != 0 {
		t.Errorf("vocabulary of %d, EOS %d", tok.Vocab(), tok.EOS())
	}
	content, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Pairs []struct {
			Text    string
			IDs     []int
			Decoded *string
		}
	}
	if err := json.Unmarshal(content, &golden); err != nil || len(golden.Pairs) != 66 {
		t.Fatalf("%d pairs %v", len(golden.Pairs), err)
	}
	for _, p := range golden.Pairs {
		got, err := tok.Encode(p.Text)
		if err != nil || !slices.Equal(got, p.IDs) {
			t.Errorf("%q: got %v %v, want %v", p.Text, got, err, p.IDs)
		}
		want := p.Text
		if p.Decoded != nil {
			want = *p.Decoded
		}
		if back, err := tok.Decode(p.IDs); err != nil || back != want {
			t.Errorf("%q decoded to %q %v, want %q", p.Text, back, err, want)
		}
	}
}

func FuzzTokenizer(f *testing.F) {
	tok := small(f)
	for _, text := range append(pieces, "the   end<|endoftext|>'twas", "\xff\xfe", "") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := tok.Encode(text)
		if err != nil {
			if utf8.ValidString(text) {
				t.Fatal(err)
			}
			return
		}
		// Added tokens are cut out before normalisation, so pieces are normalised apart from each other.
		var whole strings.Builder
		want := []int{}
		add := func(id int) { want = append(want, id) }
		tok.raw.cut(text, func(id int) { add(id); whole.WriteString(tok.texts[id]) }, func(s string) {
			whole.WriteString(norm.NFC.String(s))
			tok.normal.cut(norm.NFC.String(s), add, func(piece string) {
				for _, word := range oracleWords(piece) {
					want = append(want, oracleMerge(tok, word)...)
				}
			})
		})
		if !slices.Equal(ids, want) {
			t.Fatalf("%q: got %v, want %v", text, ids, want)
		}
		if back, err := tok.Decode(ids); err != nil || back != whole.String() {
			t.Fatalf("%q came back as %q %v", text, back, err)
		}
	})
}

// FuzzTokenizerFile: whatever the bytes of a file are, each reader refuses them or gives a tokenizer that works.
func FuzzTokenizerFile(f *testing.F) {
	f.Add(smallFile(f, nil))
	f.Add([]byte(`{"model":{"vocab":{"a":0},"merges":["a a"]}}`))
	f.Add(worldFile())
	f.Add(spmFile(spmSmall, 2))
	f.Add([]byte(`{"config":{"pattern":"x","default_vocab_size":9,"default_num_special_tokens":3},"vocab":[{"rank":0,"token_bytes":"AA=="}]}`))
	for _, name := range []string{"llama2", "llama3", "metaspace", "unknown", "template", "nfkc", "digits"} {
		content, err := os.ReadFile("testdata/small/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, parse := range []func([]byte, string) (Tokenizer, error){Parse, ParseWorld, ParseTekken, ParseSentencePiece} {
			tok, err := parse(content, "fuzz")
			if err != nil {
				continue
			}
			ids, err := tok.Encode("the quick  brown\n\nfox's ca\u0301t <|endoftext|> 你好")
			if err != nil {
				t.Fatal(err)
			}
			before, after := Frame(tok)
			if _, err := tok.Decode(slices.Concat(before, ids, after)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	path, err := Locate()
	tok := Tokenizer(small(b))
	if err == nil {
		if tok, err = Open(path); err != nil {
			b.Fatal(err)
		}
	}
	text, err := os.ReadFile("bpe_test.go")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := tok.Encode(string(text)); err != nil {
			b.Fatal(err)
		}
	}
}
