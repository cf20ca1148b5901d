package eval_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/datasets"
	"stuffed/datasets/baseline"
	"stuffed/pkg/eval"
)

// TestBigramOnTheSameTokens compares both losses with those computed window by window.
func TestBigramOnTheSameTokens(t *testing.T) {
	train, valid := strings.Repeat("the cat sat on the mat. ", 20), "the dog sat on the cat. the mat sat."
	path := filepath.Join(t.TempDir(), "c.jsonl")
	lines := fmt.Sprintf("{\"text\":%q,\"split\":\"train\",\"domain\":\"x\"}\n{\"text\":%q,\"split\":\"valid\",\"domain\":\"x\"}\n", train, valid)
	if err := os.WriteFile(path, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	corpus, err := datasets.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r := runner(t, "go", small(128), 5)
	got, err := eval.Bigram(context.Background(), r, corpus, []string{"x"}, 8, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, err := baseline.Bigram([]string{train})
	if err != nil {
		t.Fatal(err)
	}
	var want [2]float64
	for i := range 4 {
		window := valid[i*8:][:8]
		bits, err := baseline.BitsPerByte(b, []string{window})
		if err != nil {
			t.Fatal(err)
		}
		want[0] += (bits*8*math.Ln2 + math.Log(b.Probability(nil, window[0]))) / 28
		ids := make([]int32, 8)
		for k := range ids {
			ids[k] = int32(window[k])
		}
		losses, _ := predictions(t, r, 0, ids)
		for _, l := range losses[0] {
			want[1] += l / 28
		}
	}
	loss, bits, tokens := floats(t, got, "loss"), floats(t, got, "bits"), ints(t, got, "tokens")
	for i := range want {
		if math.Abs(loss[i]-want[i]) > 1e-5 || math.Abs(bits[i]-want[i]/math.Ln2) > 1e-5 || tokens[i] != 28 {
			t.Errorf("row %d: loss %v, bits %v, tokens %d; want loss %v", i, loss[i], bits[i], tokens[i], want[i])
		}
	}
	_, err = eval.Bigram(context.Background(), r, corpus, nil, 8, 5)
	wantError(t, err, "have 4 windows of 8 bytes, 5 are asked for")
	_, err = eval.Bigram(context.Background(), r, corpus, nil, 1, 5)
	wantError(t, err, "length = 1")
	_, err = eval.Bigram(context.Background(), r, corpus, []string{"y"}, 8, 1)
	wantError(t, err, "n-gram")
}
