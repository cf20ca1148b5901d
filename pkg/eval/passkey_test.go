package eval_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/datasets/prompt"
	"stuffed/pkg/eval"
	"stuffed/pkg/lm"
	"stuffed/pkg/models"
	"stuffed/pkg/table"
	"stuffed/pkg/task"
	"stuffed/pkg/tokenizer"
)

// logitsAfter returns the last row of logits of a text read in one piece.
func logitsAfter(t testing.TB, r *lm.Runner, ids []int32) (last []float32) {
	t.Helper()
	one := lm.NewRunner(r.Device, r.Weights)
	one.Piece = 256
	_, err := one.Run(context.Background(), [][]int32{ids}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
		last = p.Logits[len(p.Logits)-r.Weights.Model.Vocab():]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func likeliest(logits []float32) (best int, logSum float64) {
	sum := 0.0
	for i, v := range logits {
		sum += math.Exp(float64(v))
		if v > logits[best] {
			best = i
		}
	}
	return best, math.Log(sum)
}

// TestPasskeyAgainstReadingAnew: carrying the state from the prompt into the answer gives the same result as reading prompt and answer from
// the start, for the given answer and for the model's own.
func TestPasskeyAgainstReadingAnew(t *testing.T) {
	r := runner(t, "go", small(272), 5)
	r.Piece = 64
	enc := tokenizer.Bytes()
	q := eval.Passkey{Variant: "paper", Lengths: []int{190}, Depths: []float64{0.25, 1}, Trials: 1, Seed: 3, Generate: 3}
	got, err := q.Table(context.Background(), r, enc)
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := q.Tasks(enc)
	if err != nil {
		t.Fatal(err)
	}
	for row, depth := range q.Depths {
		rec, err := tasks[0].Prompt(3, task.Place{Depth: depth})
		if err != nil {
			t.Fatal(err)
		}
		ids := rec.IDs
		logProb, right, given := 0.0, 0.0, ids
		for _, id := range rec.AnswerIDs {
			logits := logitsAfter(t, r, given)
			best, sum := likeliest(logits)
			logProb += float64(logits[id]) - sum
			if int32(best) == id {
				right += 1 / float64(len(rec.AnswerIDs))
			}
			given = append(given[:len(given):len(given)], int32(id))
		}
		written := ids
		for range 3 {
			best, _ := likeliest(logitsAfter(t, r, written))
			written = append(written[:len(written):len(written)], int32(best))
		}
		var own []int
		for _, id := range written[len(ids):] {
			if id < 257 {
				own = append(own, int(id))
			}
		}
		output, err := enc.Decode(own)
		if err != nil {
			t.Fatal(err)
		}
		output = strings.ToValidUTF8(output, "\uFFFD")
		if texts(t, got, "answer")[row] != rec.Answer || texts(t, got, "output")[row] != output {
			t.Errorf("depth %g: wrote %q, reading anew %q", depth, texts(t, got, "output")[row], output)
		}
		if v := floats(t, got, "log_prob")[row]; math.Abs(v-logProb) > 1e-4 {
			t.Errorf("depth %g: log-probability %g, reading anew %g", depth, v, logProb)
		}
		if v := floats(t, got, "per_token")[row]; math.Abs(v-right) > 1e-9 {
			t.Errorf("depth %g: %g of the tokens likeliest, reading anew %g", depth, v, right)
		}
	}
}

func TestPasskeyGoesOnWhereItStopped(t *testing.T) {
	r := runner(t, "go", small(272), 5)
	r.Piece = 128
	enc := tokenizer.Bytes()
	path := filepath.Join(t.TempDir(), "p.parquet")
	ctx, cancel := context.WithCancel(context.Background())
	q := eval.Passkey{Variant: "retrieval", Keys: 2, Values: 1, Queries: 2, Lengths: []int{360}, Depths: []float64{0, 0.5}, Trials: 2, Generate: 1, Batch: 2,
		Progress: func(done, total int64) {
			if total != 4*360 {
				t.Errorf("total %d", total)
			}
			if done > 2*360 {
				cancel()
			}
		}}
	if err := q.Write(ctx, r, enc, path); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	half, err := table.Read(path)
	if err != nil || half.Rows() != 2 {
		t.Fatal(half, err)
	}
	left := int64(0)
	q.Progress = func(_, total int64) { left = total }
	if err := q.Write(context.Background(), r, enc, path); err != nil {
		t.Fatal(err)
	}
	if left != 2*360 {
		t.Errorf("%d tokens were left to do, want %d", left, 2*360)
	}
	q.Depths = []float64{0, 0.25, 0.5} // a grid may grow
	if err := q.Write(context.Background(), r, enc, path); err != nil {
		t.Fatal(err)
	}
	all, err := table.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := q.Table(context.Background(), r, enc)
	if err != nil {
		t.Fatal(err)
	}
	rows := func(tab *table.Table) map[string]string {
		m := map[string]string{}
		for i := range tab.Rows() {
			m[fmt.Sprint(floats(t, tab, "depth")[i], ints(t, tab, "trial")[i])] = texts(t, tab, "answer")[i] + texts(t, tab, "output")[i]
		}
		return m
	}
	if a, b := rows(all), rows(fresh); len(a) != 6 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("continued %v, in one go %v", a, b)
	}
}

func TestPasskeyRefuses(t *testing.T) {
	r := runner(t, "go", small(272), 5)
	for want, q := range map[string]eval.Passkey{
		`variant "x"`:         {Variant: "x", Lengths: []int{200}, Depths: []float64{0}, Trials: 1},
		"0 lengths":           {Variant: "paper", Depths: []float64{0}, Trials: 1},
		"depth is 2":          {Variant: "paper", Lengths: []int{200}, Depths: []float64{2}, Trials: 1},
		"choose length ≥ 187": {Variant: "paper", Lengths: []int{400, 64}, Depths: []float64{0}, Trials: 1},
		"keys is 0":           {Variant: "retrieval", Lengths: []int{400}, Depths: []float64{0}, Trials: 1},
		"generate is -1":      {Variant: "paper", Lengths: []int{200}, Depths: []float64{0}, Trials: 1, Generate: -1},
	} {
		_, err := q.Table(context.Background(), r, tokenizer.Bytes())
		wantError(t, err, want)
	}
	q := eval.Passkey{Variant: "paper", Lengths: []int{200}, Depths: []float64{0}, Trials: 1}
	_, err := q.Table(context.Background(), runner(t, "go", small(8), 1), tokenizer.Bytes())
	wantError(t, err, "tokenizer bytes has 257 ids, the model only 8")
	_, err = q.Table(context.Background(), runner(t, "go", small(272), 1, 2), tokenizer.Bytes())
	wantError(t, err, "2 models")
}

// ExamplePasskey_Table asks an untrained model, which cannot know the answer.
func ExamplePasskey_Table() {
	m, err := models.Open("preset:byte", "go", "")
	if err != nil {
		panic(err)
	}
	enc, err := m.Encoder()
	if err != nil {
		panic(err)
	}
	test := eval.Passkey{Variant: "paper", Lengths: []int{200}, Depths: prompt.Depths(2), Trials: 1}
	rows, err := test.Table(context.Background(), m.Runner, enc)
	if err != nil {
		panic(err)
	}
	recall, err := eval.LongestRecall(rows, "exact", 0.95)
	if err != nil {
		panic(err)
	}
	fmt.Println(rows.Rows(), "prompts;", recall)
	// Output: 2 prompts; T_recall: none; the shortest length tested, 200 tokens, fails (interval 0 to 0)
}
