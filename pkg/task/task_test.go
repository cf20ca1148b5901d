package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"stuffed/pkg/tokenizer"
)

func mustUnmarshal(text []byte, into any) {
	if err := json.Unmarshal(text, into); err != nil {
		panic(err)
	}
}

func open(t *testing.T, name string, length int, settings ...string) *Task {
	t.Helper()
	params, err := ParseParams(settings)
	if err != nil {
		t.Fatal(err)
	}
	task, err := Open(name, length, params, tokenizer.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func record(t *testing.T, task *Task, seed, index int64) Record {
	t.Helper()
	r, err := task.Record(seed, index)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReaders goes over every task and every length from 64 to 4,096 in steps of 64.
func TestReaders(t *testing.T) {
	enc := tokenizer.Bytes()
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			t.Parallel()
			oracle := oracles[k.Name]
			if oracle == nil {
				t.Fatal("no oracle")
			}
			perfect, blind, trials := Result{}, Result{}, 0.0
			chance := 0.0
			for length := 64; length <= 4096; length += 64 {
				task := open(t, k.Name, length)
				for index := range int64(1 + b2i(length <= 1024)) {
					r := record(t, task, 5, index)
					if len(r.IDs) != length {
						t.Fatalf("%d ids, want %d", len(r.IDs), length)
					}
					if !slices.IsSorted(r.Positions) || r.Positions[len(r.Positions)-1] >= length || r.Group == "" {
						t.Fatalf("length %d: positions %v, group %q", length, r.Positions, r.Group)
					}
					if k.Text {
						text, err := Decode(enc, r.IDs)
						if err != nil || text != r.Text || !strings.HasSuffix(r.Text, r.Answer) || len(r.Answer) != len(r.Answers) {
							t.Fatalf("length %d: ids stand for %q, the text is %q (%v)", length, text, r.Text, err)
						}
						for _, part := range r.Parts {
							if !strings.Contains(question(r), part) {
								t.Fatalf("length %d: %q is not in the text", length, part)
							}
						}
					}
					vocab := task.Vocab()
					for _, id := range slices.Concat(r.IDs, r.Answers) {
						if id < 0 || !k.Text && int(id) >= vocab {
							t.Fatalf("id %d outside %d", id, vocab)
						}
					}
					g, err := Judge(r, oracle(t, r))
					if err != nil || !g.Exact || g.Accuracy != 1 {
						t.Fatalf("length %d, index %d: the oracle says %v, want %v %q (%v)\n%s", length, index, oracle(t, r), r.Answers, r.Answer, err, r.Text)
					}
					perfect.add(g)
					g, err = Judge(r, task.Guess(1, r))
					if err != nil {
						t.Fatal(err)
					}
					blind.add(g)
					trials += float64(len(r.Answers))
					chance += task.Chance()
				}
			}
			chance /= float64(blind.Records)
			if sigma := math.Sqrt(max(chance*(1-chance), 1e-6) / float64(blind.Records)); math.Abs(blind.Accuracy-chance) > 5*sigma+0.02 {
				t.Errorf("a blind reader has %g, chance is %g", blind.Accuracy, chance)
			}
		})
	}
}

// TestPure: a record is a function of seed, index and params, whoever asks and in which order.
func TestPure(t *testing.T) {
	for _, k := range Kinds() {
		task := open(t, k.Name, 256)
		want := record(t, task, 3, 7)
		var wait sync.WaitGroup
		for range 4 {
			wait.Add(1)
			go func() {
				defer wait.Done()
				for i := int64(9); i >= 6; i-- {
					r, err := task.Record(3, i)
					if same := slices.Equal(r.IDs, want.IDs); err != nil || same != (i == 7) {
						t.Errorf("%s: index %d, same as 7: %v (%v)", k.Name, i, same, err)
					}
				}
			}()
		}
		wait.Wait()
		if other := record(t, task, 4, 7); slices.Equal(other.IDs, want.IDs) {
			t.Errorf("%s does not depend on the seed", k.Name)
		}
		if again := record(t, open(t, k.Name, 256), 3, 7); !slices.Equal(again.IDs, want.IDs) || !slices.Equal(again.Positions, want.Positions) {
			t.Errorf("%s opened anew differs", k.Name)
		}
	}
}

// hashes are those of the tasks whose own test has them, by version; the others stand in testdata/golden.json.
var hashes = map[string]string{}

// TestGolden: whoever changes a sequence must change the task's version, and then this file
// (STUFFED_GOLDEN=1 writes it).
func TestGolden(t *testing.T) {
	got := map[string]string{}
	for _, k := range Kinds() {
		sum := sha256.New()
		for _, length := range []int{64, 448, 2048} {
			for index := range int64(3) {
				r := record(t, open(t, k.Name, length), 11, index)
				fmt.Fprintln(sum, r.IDs, r.Positions, r.Answers, r.Group, string(r.Params))
			}
		}
		hash := hex.EncodeToString(sum.Sum(nil))[:16]
		if own, has := hashes[k.Version]; !has {
			got[k.Version] = hash
		} else if own != hash {
			t.Errorf("%s has hash %s, in its test it is %q", k.Version, hash, own)
		}
	}
	path := filepath.Join("testdata", "golden.json")
	if os.Getenv("STUFFED_GOLDEN") != "" {
		text, err := json.MarshalIndent(got, "", "  ")
		if err == nil {
			err = os.WriteFile(path, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	mustUnmarshal(text, &want)
	for version, hash := range got {
		if want[version] != hash {
			t.Errorf("%s has hash %s, in the file it is %q", version, hash, want[version])
		}
	}
	if len(want) != len(got) {
		t.Errorf("%d hashes in the file, %d tasks", len(want), len(got))
	}
}

func TestErrors(t *testing.T) {
	enc := tokenizer.Bytes()
	for want, c := range map[string]struct {
		name     string
		length   int
		settings string
	}{
		`task "poem" is unknown; there are mqar, `:                                 {"poem", 64, ""},
		"task mqar: length is 64 tokens, but the smallest sequence takes 128":      {"mqar", 64, "pairs=32"},
		"choose length ≥ 128 or set fewer pairs":                                   {"mqar", 64, "pairs=32"},
		`task mqar: it has no param "pair"; there are fill, pairs, passes, power,`: {"mqar", 64, "pair=3"},
		"task mqar: param pairs is \"many\", want a value such as 0":               {"mqar", 64, "pairs=many"},
		"task mqar: param pairs is 1.5, want a value such as 0":                    {"mqar", 64, "pairs=1.5"},
		"param pairs is -1, want 1 to 4095":                                        {"mqar", 64, "pairs=-1"},
		"param fill is \"red\", want random, free, zero":                           {"mqar", 64, "fill=red"},
		"set wording=short":                   {"passkey", 64, "wording=full"},
		"length is 1 tokens":                  {"parity", 1, ""},
		"queries is 3, want at most keys = 2": {"niah-multikey-1", 640, "keys=2 queries=3"},
	} {
		params, err := ParseParams(strings.Fields(c.settings))
		if err == nil {
			_, err = Open(c.name, c.length, params, enc)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	if _, err := Open("passkey", 512, nil, nil); err == nil || !strings.Contains(err.Error(), "needs a tokenizer") {
		t.Error(err)
	}
	_, err := Open("passkey", 64, map[string]any{"wording": "full"}, enc)
	short := (*TooShortError)(nil)
	if !errors.As(err, &short) {
		t.Fatal(err)
	}
	if task, err := Open("passkey", short.Minimum, map[string]any{"wording": "full"}, enc); err != nil {
		t.Errorf("the smallest length %d does not do: %v", short.Minimum, err)
	} else if _, err := task.Record(0, 0); err != nil {
		t.Error(err)
	}
	if _, err := ParseParams([]string{"pairs"}); err == nil {
		t.Error("accepted a param without a value")
	}
}

// TestZoology: the shape of MQAR as its authors make it.
func TestZoology(t *testing.T) {
	task := open(t, "mqar", 256, "pairs=16")
	early, blank := 0, 0
	for index := range int64(100) {
		r := record(t, task, 0, index)
		keys, values := map[int32]bool{}, map[int32]bool{}
		for i := 0; i < 32; i += 2 {
			keys[r.IDs[i]], values[r.IDs[i+1]] = true, true
			if r.IDs[i] < 1 || r.IDs[i] >= 4096 || r.IDs[i+1] < 4096 || r.IDs[i+1] >= 8192 {
				t.Fatalf("pair %d, %d", r.IDs[i], r.IDs[i+1])
			}
		}
		if len(keys) != 16 || len(values) != 16 || len(r.Positions) != 16 {
			t.Fatalf("%d keys, %d values, %d questions, want 16 different ones of each", len(keys), len(values), len(r.Positions))
		}
		for _, p := range r.Positions {
			if p%2 != 0 || p < 32 || !keys[r.IDs[p]] {
				t.Fatalf("question at %d", p)
			}
			early += b2i(p < 32+2*28) // a quarter of the slots
		}
		for _, id := range r.IDs[32:] {
			blank += b2i(id == 0)
		}
	}
	if share := float64(early) / 1600; share < 0.6 || share > 0.85 {
		t.Errorf("%g of the questions stand in the first quarter", share)
	}
	if blank > 40 { // 100 × 208 ids of 8,192
		t.Errorf("%d blanks are left", blank)
	}
	for index := range int64(20) {
		r := record(t, open(t, "mqar-forgetting", 256, "pairs=16"), 0, index)
		first, again := map[int32]int32{}, 0
		for i := 0; i < 48; i += 2 {
			if old, known := first[r.IDs[i]]; known {
				if again++; old == r.IDs[i+1] {
					t.Fatal("bound anew to the same value")
				}
			} else {
				first[r.IDs[i]] = r.IDs[i+1]
			}
		}
		if again != 8 {
			t.Fatalf("%d keys are bound anew, want 8", again)
		}
	}
}

func ExampleOpen() {
	t, err := Open("mqar", 16, map[string]any{"pairs": 2, "vocab": 12, "fill": "zero"}, nil)
	if err != nil {
		panic(err)
	}
	r, err := t.Record(0, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(r.IDs)
	fmt.Println(r.Positions, r.Answers)
	// Output:
	// [5 7 2 9 5 0 2 0 0 0 0 0 0 0 0 0]
	// [4 6] [7 9]
}
