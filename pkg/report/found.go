package report

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"stuffed/pkg/table"
)

// AtEnd is a quantity of a head within the training length and at the end.
type AtEnd struct {
	Quantity string  `parquet:"quantity" doc:"what was watched"`
	Head     string  `parquet:"head" doc:"head"`
	Within   float64 `parquet:"within" doc:"value in the last bucket within the training length"`
	End      float64 `parquet:"end" doc:"value in the last bucket of all"`
	Times    float64 `parquet:"times" doc:"the latter over the former"`
}

// AtEnds takes the table of a [CloseUp] figure to what a reader looks for in it: a table of [AtEnd], a row for each quantity
// and head.
func AtEnds(t *table.Table, trainLength int) (*table.Table, error) {
	quantity, err := t.Text("quantity")
	if err != nil {
		return nil, err
	}
	head, err := t.Text("head")
	if err != nil {
		return nil, err
	}
	read, err := t.Float("read")
	if err != nil {
		return nil, err
	}
	value, err := t.Float("value")
	if err != nil {
		return nil, err
	}
	type key struct{ quantity, head string }
	within, end, order := map[key]int{}, map[key]int{}, []key(nil)
	for i := range value {
		k := key{quantity[i], head[i]}
		if _, seen := end[k]; !seen {
			order, end[k] = append(order, k), i
		}
		if read[i] > read[end[k]] {
			end[k] = i
		}
		if w, seen := within[k]; read[i] <= float64(trainLength) && (!seen || read[i] > read[w]) {
			within[k] = i
		}
	}
	var rows []AtEnd
	for _, k := range order {
		w, seen := within[k]
		if !seen {
			return nil, fmt.Errorf("report: head %s has no value of %s within %d tokens", k.head, k.quantity, trainLength)
		}
		rows = append(rows, AtEnd{k.quantity, k.head, value[w], value[end[k]], value[end[k]] / value[w]})
	}
	return table.Of(rows), nil
}

// Write keeps the curves in growth.csv and the verdicts in verdicts.csv of a folder.
func (k *Kinds) Write(dir string) error {
	return errors.Join(k.Curves.Write(filepath.Join(dir, "growth.csv")), k.Verdicts.Write(filepath.Join(dir, "verdicts.csv")))
}

// Words are the verdicts of [Kinds] as sentences: what explodes and what degrades by the strict rule, kind by kind.
func Words(verdicts *table.Table) (string, error) {
	kind, err := verdicts.Text("kind")
	if err != nil {
		return "", err
	}
	column := map[string][]float64{}
	for _, name := range []string{"explosion", "explosion_onset", "strict", "degradation_onset", "level", "worst"} {
		if column[name], err = verdicts.Float(name); err != nil {
			return "", err
		}
	}
	var lines []string
	for i, k := range kind {
		state, loss := "no state grows lastingly", "the loss does not degrade by the strict rule"
		if column["explosion"][i] == 1 {
			state = fmt.Sprintf("a state stays above twice its largest within the training length from token %.0f on", column["explosion_onset"][i])
		}
		if column["strict"][i] == 1 {
			loss = fmt.Sprintf("the loss degrades by the strict rule from token %.0f on", column["degradation_onset"][i])
		}
		lines = append(lines, fmt.Sprintf("- %s: %s; %s (%.3g nat within the training length, %.3g in the worst bucket beyond it)", k, state, loss, column["level"][i], column["worst"][i]))
	}
	return strings.Join(lines, "\n") + "\n", nil
}
