// Package bench times the project's own code paths for tables of measurements: medians over several runs in one process.
package bench

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"stuffed/pkg/manifest"
	"stuffed/xla"
)

// Row is one measurement.
type Row struct {
	Work   string  `json:"work"`            // one of Works, or compile
	Shape  string  `json:"shape"`           // what was run
	Unit   string  `json:"unit"`            // tok/s, ms, s, of the RMS
	Median float64 `json:"median"`          // over the runs
	Min    float64 `json:"min"`             //
	Max    float64 `json:"max"`             //
	Runs   int     `json:"runs"`            //
	Note   string  `json:"note,omitempty"`  //
	Error  string  `json:"error,omitempty"` // why there is no number, if there is none
}

// Report is the file written by stuffed bench.
type Report struct {
	manifest.Run
	Backend   string `json:"backend"`
	Precision string `json:"precision"`
	Device    string `json:"device"`
	Cores     int    `json:"cores"`
	Rows      []Row  `json:"rows"`
}

// NewReport describes the program and the device.
func NewReport(d *xla.Device) *Report {
	return &Report{Run: manifest.ThisRun(), Backend: d.Kind, Precision: d.Precision, Device: d.Hardware(), Cores: runtime.NumCPU()}
}

// rates runs f once to warm up and then runs times. The row holds amount per second or, if amount is 0, milliseconds.
func rates(row Row, runs int, amount float64, f func() error) Row {
	times := make([]float64, 0, runs)
	for i := range runs + 1 {
		start := time.Now()
		if err := f(); err != nil {
			row.Error = err.Error()
			return row
		}
		if i > 0 {
			times = append(times, time.Since(start).Seconds())
		}
	}
	return ratesOf(row, times, amount)
}

// ratesOf returns the row for the seconds of several runs; see rates.
func ratesOf(row Row, seconds []float64, amount float64) Row {
	values := make([]float64, len(seconds))
	for i, s := range seconds {
		if values[i] = amount / s; amount == 0 {
			values[i] = s * 1e3
		}
	}
	slices.Sort(values)
	row.Median, row.Min, row.Max, row.Runs = values[len(values)/2], values[0], values[len(values)-1], len(values)
	if row.Unit == "" {
		row.Unit = "tok/s"
		if amount == 0 {
			row.Unit = "ms"
		}
	}
	return row
}

// once returns the row of a single measurement.
func (r Row) once(v float64) Row {
	r.Median, r.Min, r.Max, r.Runs = v, v, v, 1
	return r
}

// guard turns a panic of graph building into the row's error.
func guard(row Row, f func() Row) (out Row) {
	defer func() {
		if r := recover(); r != nil {
			row.Error = fmt.Sprint(r)
			out = row
		}
	}()
	return f()
}
