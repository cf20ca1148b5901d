package bench

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"stuffed/pkg/figure"
	"stuffed/pkg/numeral"
	"stuffed/pkg/table"
)

// GrowthFigure draws time and memory along each axis, relative to its smallest value, on logarithmic scales: a slope is an
// exponent.
type GrowthFigure struct {
	*figure.Figure
	manifest map[string]any
}

// Save writes the figure's folder.
func (f GrowthFigure) Save(dir, id string) error { return figure.Save(dir, id, f.Figure, f.manifest) }

// GrowthPage writes the page of a report of stuffed bench growth and, if given, of reports of stuffed bench scaling.
func GrowthPage(path string, scaling []string, id string) (text string, f GrowthFigure, err error) {
	r, err := ReadGrowth(path)
	if err != nil {
		return "", f, err
	}
	if len(r.Points) == 0 {
		return "", f, fmt.Errorf("%s holds no points", filepath.Base(path))
	}
	several := ""
	if len(scaling) > 0 {
		if several, err = Markdown(nil, scaling...); err != nil {
			return "", f, err
		}
	}
	if f, err = r.figure(filepath.Base(path)); err != nil {
		return "", f, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, growthHead, r.Device, r.Backend, r.Date[:10], r.Revision[:min(8, len(r.Revision))], r.Load, id)
	b.WriteString("| what grows | measured | time of the least → the most | exponent of time: all, last two | exponent of memory: all, last two | first wall |\n|---|---|---|---|---|---|\n")
	for _, a := range Axes {
		if s := r.summary(a); s != "" {
			b.WriteString(s)
		}
	}
	b.WriteString(growthPoints)
	for _, p := range r.Points {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", p.Axis, numeral.Grouped(p.Value), seconds(p.Seconds), megabytes(p.Memory), strings.ReplaceAll(p.Error, "|", "/"))
	}
	if several != "" {
		b.WriteString("\n## GPUs: 1, 2, 4\n\n" + several)
	}
	b.WriteString(growthPaper)
	b.WriteString(r.paper())
	return b.String(), f, nil
}

const growthHead = `# How cost grows

Written by ` + "`stuffed bench growth page`" + ` from measurements by ` + "`stuffed bench growth`" + ` on %s (%s, %s, revision %s; load of the machine at the start
%s, so times are upper bounds and exponents rough). One thing grows at a time in a small model (width 64, 2 layers, state 16); a point is
the median of three calls after one that compiles, in a process of its own; memory is the largest of the process beyond that of the opened device.
An exponent p means cost ∝ valueᵖ; small values cost mostly what every call costs, so the last two points say more than all.
A first wall is where the steeper exponent leads; what is still small here, such as weights that grow with the square of the width, brings it nearer.

![time and memory by what grows](%s/growth.png)

`

const growthPoints = `
## Points

| what grows | value | time | memory | failed |
|---|---|---|---|---|
`

const growthPaper = `
## 64 nodes, on paper

`

func (r *GrowthReport) of(a Axis) (values, times, memory []float64, failed *GrowthPoint) {
	for _, p := range r.Points {
		switch {
		case p.Axis != a.Name:
		case p.Error != "":
			failed = &p
		default:
			values, times, memory = append(values, float64(p.Value)), append(times, p.Seconds), append(memory, float64(p.Memory))
		}
	}
	return
}

// summary returns the line of an axis, empty where it was not measured.
func (r *GrowthReport) summary(a Axis) string {
	values, times, memory, failed := r.of(a)
	n := len(values)
	if n == 0 {
		return ""
	}
	all, last := Slope(values, times)
	memoryAll, memoryLast := Slope(values, memory)
	return fmt.Sprintf("| %s: %s | %s … %s %s | %s → %s | %s, %s | %s, %s | %s |\n", a.Name, a.What, numeral.Grouped(int(values[0])), numeral.Grouped(int(values[n-1])), a.Unit,
		seconds(times[0]), seconds(times[n-1]), exponent(all), exponent(last), exponent(memoryAll), exponent(memoryLast), r.wall(a, values, times, memory, failed))
}

// farthest is how many times beyond the measured range an exponent is trusted.
const farthest = 1000

// wall says what stops the growth first: a measured failure, or a limit to which the steeper of the two exponents leads.
func (r *GrowthReport) wall(a Axis, values, times, memory []float64, failed *GrowthPoint) string {
	if failed != nil {
		return fmt.Sprintf("met: %s %s fail", numeral.Grouped(failed.Value), a.Unit)
	}
	n := len(values) - 1
	at := func(costs []float64, limit float64) float64 {
		all, last := Slope(values, costs)
		if slope := math.Max(all, last); slope > 0.3 && costs[n] > 0 { // false for NaN as well
			return values[n] * math.Pow(limit/costs[n], 1/slope)
		}
		return math.Inf(1)
	}
	full, long := at(memory, float64(r.Memory)), at(times, 3600)
	switch {
	case r.Memory > 0 && full <= min(long, farthest*values[n]):
		return fmt.Sprintf("memory (%s): at about %s %s", megabytes(r.Memory), numeral.Grouped(rounded(full)), a.Unit)
	case long <= farthest*values[n]:
		return fmt.Sprintf("time: an hour for one at about %s %s", numeral.Grouped(rounded(long)), a.Unit)
	}
	return fmt.Sprintf("none within %s times what was measured", numeral.Grouped(farthest))
}

// rounded formats a number with two significant digits.
func rounded(v float64) int {
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(v))-1))
	return int(math.Round(v/unit) * unit)
}

// paper extrapolates the measurements to 64 nodes.
func (r *GrowthReport) paper() string {
	const nodes, gpus, rowSeconds = 64, 8, 300.0
	var b strings.Builder
	values, times, _, _ := r.of(Axes[len(Axes)-2])
	b.WriteString("One model is trained on the GPUs of one host: the program drives them by one process, and its collectives do not leave it. What 64 nodes are for is\n" +
		"rows of studies, which share nothing but the store.\n")
	if n := len(values); n > 1 {
		_, slope := Slope(values, times)
		perRow := times[n-1] / values[n-1]
		fmt.Fprintf(&b, "With %d workers (%d nodes of %d GPUs) and rows of %.0f s, %.1f rows end in a second. The store costs %s a row at %s rows (exponent of the whole %s: a\n"+
			"worker lists the finished rows before each), on a disk of this machine; workers pay it side by side, so of a row's time it is %.2g %%. %s\n"+
			"Two more that were not measured: a network file system answers each of the some ten operations of a row in milliseconds, and %d workers that wait\n"+
			"for the last rows list the store once a second each.\n",
			nodes*gpus, nodes, gpus, rowSeconds, nodes*gpus/rowSeconds, seconds(perRow), numeral.Grouped(int(values[n-1])), exponent(slope), 100*perRow/rowSeconds,
			storeWall(values[n-1], perRow, slope-1, rowSeconds/10), nodes*gpus)
	}
	return b.String()
}

// storeWall says at how many rows the store's cost per row, which grows with this power of their number, reaches a limit.
func storeWall(rows, perRow, power, limit float64) string {
	if at := rows * math.Pow(limit/perRow, 1/power); power > 0 && at <= farthest*rows {
		return fmt.Sprintf("It would be a tenth of it at\nabout %s rows in one store: the first wall, and the reason to split a plan into several stores there.", numeral.Grouped(rounded(at)))
	}
	return fmt.Sprintf("It would not be a tenth of it\nwithin %s times as many rows.", numeral.Grouped(farthest))
}

// growthPoint is the cost at one value of an axis.
type growthPoint struct {
	Panel string  `parquet:"panel" doc:"time or memory"`
	Grows string  `parquet:"grows" doc:"what grows"`
	Times float64 `parquet:"times" doc:"its value over the least"`
	Cost  float64 `parquet:"cost" doc:"cost over that of the least value"`
}

func (r *GrowthReport) figure(source string) (f GrowthFigure, err error) {
	var points []growthPoint
	for _, a := range Axes {
		values, times, memory, _ := r.of(a)
		for i, v := range values {
			points = append(points, growthPoint{"time", a.Name, v / values[0], times[i] / times[0]})
		}
		for i, v := range values {
			if memory[0] > 0 && memory[i] > 0 {
				points = append(points, growthPoint{"memory", a.Name, v / values[0], memory[i] / memory[0]})
			}
		}
	}
	f.Figure, err = figure.New(figure.Curves{
		Size:  figure.Size{Width: "double", Height: 2.4, Note: fmt.Sprintf("%s, %s; medians of three", r.Device, r.Backend)},
		X:     figure.Axis{Column: "times", Label: "Value over the least", Unit: "1", Scale: figure.Log2},
		Y:     figure.Axis{Column: "cost", Label: "Cost over that of the least", Unit: "1", Scale: figure.Log2},
		Panel: "panel", Series: []string{"grows"}, Across: 2,
	}, table.Of(points))
	f.manifest = map[string]any{"command": "stuffed bench growth page", "input": source, "revision": r.Revision, "date": r.Date, "device": r.Device, "backend": r.Backend}
	return f, err
}

func exponent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

func seconds(v float64) string {
	switch {
	case v == 0:
		return ""
	case v < 1e-3:
		return fmt.Sprintf("%.3g µs", v*1e6)
	case v < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	}
	return fmt.Sprintf("%.3g s", v)
}

func megabytes(n int64) string {
	switch {
	case n == 0:
		return ""
	case n < 1e9:
		return fmt.Sprintf("%.3g MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.3g GB", float64(n)/1e9)
}
