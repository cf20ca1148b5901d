package eval_test

import (
	"context"
	"strings"
	"testing"

	"stuffed/pkg/eval"
	"stuffed/pkg/longtext"
	"stuffed/pkg/tokenizer"
)

func TestLongText(t *testing.T) {
	r := runner(t, "go", small(272), 5)
	r.Piece = 16
	items := []longtext.Item{{Format: "ruler", Task: "niah_single_1", ID: "a", Context: strings.Repeat("x", 50) + "key 12", Answers: []string{"12"}},
		{Format: "ruler", Task: "niah_single_1", ID: "b", Context: "short", Answers: []string{""}}}
	got, err := eval.LongText{Length: 24, Generate: 4}.Table(context.Background(), r, tokenizer.Bytes(), items)
	if err != nil {
		t.Fatal(err)
	}
	if n, c := ints(t, got, "tokens"), ints(t, got, "cut"); n[0] != 24 || c[0] != 32 || n[1] != 5 || c[1] != 0 {
		t.Errorf("tokens %v, cut %v", n, c)
	}
	if s := floats(t, got, "score"); s[1] != 1 { // every text contains the empty answer
		t.Errorf("scores %v", s)
	}
	_, err = eval.LongText{Length: 24}.Table(context.Background(), r, tokenizer.Bytes(), items)
	wantError(t, err, "generate is 0")
	items[0].Format = "poem"
	_, err = eval.LongText{Length: 24, Generate: 1}.Table(context.Background(), r, tokenizer.Bytes(), items)
	wantError(t, err, `format "poem"`)
}
