package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counting is a byteEncoder that counts documents and fails at one of them.
type counting struct {
	byteEncoder
	calls *atomic.Int64
	fail  string // a text that holds this
}

var errEncoder = errors.New("out of order")

func (c counting) Encode(text string) ([]int, error) {
	if text != probe {
		c.calls.Add(1)
	}
	if c.fail != "" && strings.Contains(text, c.fail) {
		return nil, errEncoder
	}
	return c.byteEncoder.Encode(text)
}

// numbered are documents that name their place.
func numbered(t *testing.T, n int) *Corpus {
	var docs []Document
	for i := range n {
		docs = append(docs, Document{ID: fmt.Sprint("d", i), Split: "train", Text: strings.Repeat(fmt.Sprintf("text %d. ", i), 1+i%7)})
	}
	c, err := FromDocuments("numbered", docs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sameTokens(t *testing.T, got, want *Tokens) {
	t.Helper()
	if !slices.Equal(got.IDs, want.IDs) || !slices.Equal(got.CuSeqlens, want.CuSeqlens) || !slices.Equal(got.Origins, want.Origins) || got.Report.String() != want.Report.String() {
		t.Errorf("tokens differ from those made in one go: %s, want %s", got.Report, want.Report)
	}
}

// A cache whose building was interrupted is built on from there; damage of what it left costs a new beginning, no wrong token.
func TestBuildingGoesOn(t *testing.T) {
	defer func(d time.Duration) { saveEvery = d }(saveEvery)
	saveEvery = 0
	c := numbered(t, 60)
	want, err := Tokenize(c, Filter{}, byteEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(part string) error{
		"as it was left": func(string) error { return nil },
		"more tokens than the index says": func(part string) error {
			f, err := os.OpenFile(part, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("torn")
			return err
		},
		"cut tokens": func(part string) error { return os.Truncate(part, 10) },
		"cut index":  func(part string) error { return os.Truncate(part+".index", 40) },
		"no tokens":  os.Remove,
	} {
		folder, calls := t.TempDir(), &atomic.Int64{}
		if _, err := Prepare(c, Filter{}, counting{calls: calls, fail: "text 40."}, folder); !errors.Is(err, errEncoder) {
			t.Fatalf("%s: %v", name, err)
		}
		parts, _ := filepath.Glob(filepath.Join(folder, "*.part"))
		if len(parts) != 1 {
			t.Fatalf("%s: %v is left", name, parts)
		}
		if err := damage(parts[0]); err != nil {
			t.Fatal(err)
		}
		calls.Store(0)
		got, err := Prepare(c, Filter{}, counting{calls: calls}, folder)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameTokens(t, got, want)
		if err := got.Close(); err != nil {
			t.Error(err)
		}
		whole := strings.HasPrefix(name, "cut") || name == "no tokens"
		if n := calls.Load(); whole && n != 60 || !whole && n != 20 {
			t.Errorf("%s: %d documents were encoded again", name, n)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, "*.part*")); len(left) > 0 {
			t.Errorf("%s: %v is left", name, left)
		}
	}
}

// Of several that want the same cache one builds; the others take what it made.
func TestOneBuilds(t *testing.T) {
	c, folder, calls := numbered(t, 40), t.TempDir(), &atomic.Int64{}
	want, err := Tokenize(c, Filter{}, byteEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			got, err := Prepare(c, Filter{}, counting{calls: calls}, folder)
			if err != nil {
				t.Error(err)
				return
			}
			sameTokens(t, got, want)
			if err := got.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if calls.Load() != 40 {
		t.Errorf("%d documents were encoded, the corpus has 40", calls.Load())
	}
}

// Memory stays bounded while a corpus is tokenised, however large it is and however slowly tokens are taken.
func TestTokenisingIsBounded(t *testing.T) {
	const documents, size = 400, 256 << 10
	most := uint64(3*inFlight + 24*size*runtime.GOMAXPROCS(0) + 8<<20) // texts and ids on their way, those that are being encoded, some air
	c := &Corpus{Name: "generated", Hash: "generated", each: func(visit func(Document) error) error {
		for i := range documents {
			text := []byte(strings.Repeat("0123456789abcde\n", size/16))
			copy(text, fmt.Sprint(i, " "))
			if err := visit(Document{ID: fmt.Sprint(i), Split: "train", Text: string(text)}); err != nil {
				return err
			}
		}
		return nil
	}}
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, largest, seen := live(), uint64(0), 0
	tokens, err := Prepare(c, Filter{KeepCopies: true}, byteEncoder{}, t.TempDir(), func(r Report) {
		if seen++; seen%16 == 0 {
			time.Sleep(20 * time.Millisecond) // the others run as far ahead as they may
			largest = max(largest, live()-before)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tokens.Close()
	if tokens.Report.Tokens != documents*(size+1) || seen != documents {
		t.Errorf("%s, %d reports", tokens.Report, seen)
	}
	if largest > most {
		t.Errorf("%d MB are in use while %d MB of text are tokenised, want at most %d MB", largest>>20, documents*size>>20, most>>20)
	}
	t.Logf("%d MB in use", largest>>20)
}

// The shards of a corpus are its documents, each once.
func TestShards(t *testing.T) {
	c := numbered(t, 20)
	whole, err := Tokenize(c, Filter{}, byteEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for shard := range 3 {
		part, err := Tokenize(c, Filter{Shards: 3, Shard: shard}, byteEncoder{})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range part.Origins {
			at := slices.IndexFunc(whole.Origins, func(w Origin) bool { return w == o })
			if at < 0 || at%3 != shard || !slices.Equal(part.Document(i), whole.Document(at)) {
				t.Errorf("shard %d holds %s", shard, o.ID)
			}
			seen[o.ID]++
		}
	}
	for _, o := range whole.Origins {
		if seen[o.ID] != 1 {
			t.Errorf("%s is in %d shards", o.ID, seen[o.ID])
		}
	}
	for _, bad := range []Filter{{Shards: 3, Shard: 3}, {Shard: 1}, {Shards: -1}} {
		if err := bad.Validate(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
