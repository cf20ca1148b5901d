package intervene_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"stuffed/pkg/intervene"
	"stuffed/pkg/table"
)

// A loss cannot be negative, so neither can an end of its range over models: Student's interval of three models goes below 0.
func TestRangesOfLossesHoldTheLosses(t *testing.T) {
	var results []intervene.Result
	var responses []intervene.Response
	for i, loss := range []float64{0.03, 0.002, 0.004} {
		r := intervene.Result{Model: string(rune('a' + i)), Method: "none", Multiple: 4, Position: 256}
		r.Loss, r.LossLow, r.LossHigh = loss, loss/2, loss*2
		results = append(results, r)
		responses = append(responses, intervene.Response{Model: r.Model, Set: "chosen", Dose: 0.9, Multiple: 4, Loss: loss, LossLow: loss / 2, LossHigh: loss * 2})
	}
	for _, n := range []int{1, 3} {
		low, high := 0.002, 0.03 // of the models
		if n == 1 {
			low, high = 0.015, 0.06 // over the sequences of the one
		}
		s, err := intervene.Summary(table.Of(results[:n]))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, s, low, high)
		m, err := intervene.MeanResponses(table.Of(responses[:n]), 4, 64)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, m, low, high)
	}
}

func holds(t *testing.T, means *table.Table, low, high float64) {
	t.Helper()
	l, err := means.Float("loss_low")
	if err != nil {
		t.Fatal(err)
	}
	h, err := means.Float("loss_high")
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(l[0]-low) > 1e-12 || math.Abs(h[0]-high) > 1e-12 {
		t.Errorf("%g … %g, want %g … %g", l[0], h[0], low, high)
	}
}

// The summary of the mitigations that ships is that of the table beside it.
func TestShippedSummaryIsThatOfItsTable(t *testing.T) {
	folder := filepath.Join("..", "..", "datasets", "study", "mitigations")
	results, err := table.Read(filepath.Join(folder, "table.csv"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := intervene.Summary(results)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "summary.csv")
	if err := s.Write(again); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(folder, "summary.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(again); err != nil || !bytes.Equal(got, want) {
		t.Errorf("summary.csv is not the summary of table.csv (%v): stuffed mitigate --summary makes it", err)
	}
}
