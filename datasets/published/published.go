// Package published holds numbers printed or plotted by others, each with its source: from arXiv 2410.07145 thresholds in K
// tokens (1,024) against state sizes in millions of scalars, and the laws fitted to them; from Zoology the accuracy of
// associative recall against the bytes of the state.
package published

import (
	_ "embed" // the tables are part of the program
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

//go:embed thresholds.csv
var thresholds string

//go:embed laws.csv
var laws string

//go:embed mqar.csv
var recall string

// Recall is a point of Zoology's figure of multi-query associative recall.
type Recall struct {
	Architecture string  // as in lm
	Bytes        float64 // of the state as counted there: 4 bytes per number, over the layers that the figure counts
	Accuracy     float64 // mean over the 7,000 test sequences
	Least        bool    // training stopped early: the accuracy is at least this
	Source       string
}

// MQAR lists the points of Zoology's figure.
func MQAR() ([]Recall, error) {
	all, err := csv.NewReader(strings.NewReader(recall)).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []Recall
	for _, r := range all[1:] {
		p := Recall{Architecture: r[0], Least: r[3] == "least", Source: r[4]}
		if p.Bytes, err = strconv.ParseFloat(r[1], 64); err != nil {
			return nil, err
		}
		if p.Accuracy, err = strconv.ParseFloat(r[2], 64); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Threshold is one plotted point.
type Threshold struct {
	N, T   float64 // millions of scalars, K tokens
	Origin bool    // the artificial point (0, 0)
	Source string
}

// Law is a fitted law with its claimed coefficient of determination.
type Law struct {
	Form   string
	Params []float64
	R2     float64
	Source string
}

// Laws are the published laws: forget and recall.
var Laws = []string{"forget", "recall"}

// Thresholds returns the points of a law as plotted. An unknown law is an error.
func Thresholds(law string) ([]Threshold, error) {
	rows, err := records(thresholds, law)
	if err != nil {
		return nil, err
	}
	out := make([]Threshold, len(rows))
	for i, r := range rows {
		out[i] = Threshold{Origin: r[3] == "origin", Source: r[4]}
		if out[i].N, err = strconv.ParseFloat(r[1], 64); err != nil {
			return nil, err
		}
		if out[i].T, err = strconv.ParseFloat(r[2], 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Of returns the published form of a law. An unknown law is an error.
func Of(law string) (Law, error) {
	rows, err := records(laws, law)
	if err != nil {
		return Law{}, err
	}
	r := rows[0]
	l := Law{Form: r[1], Source: r[6]}
	for _, cell := range r[2:5] {
		if cell == "" {
			continue
		}
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			return l, err
		}
		l.Params = append(l.Params, v)
	}
	l.R2, err = strconv.ParseFloat(r[5], 64)
	return l, err
}

func records(text, law string) ([][]string, error) {
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range all {
		if r[0] == law {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("law %q is unknown; choose one of %s", law, strings.Join(Laws, ", "))
	}
	return rows, nil
}
