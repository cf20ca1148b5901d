// Package progress shows on the terminal, in a notebook or in a log how far a long step is.
package progress

import (
	"fmt"
	"html"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"
	"golang.org/x/term"

	"stuffed/pkg/numeral"
)

// Progress tells how far a long step is, at what rate it goes and when it will end. In a browser one line is
// rewritten at most five times a second; where no person watches, one plain line comes every 30 seconds, so that an
// exported notebook or a log is not flooded. It may be used from several goroutines.
type Progress struct {
	mu    sync.Mutex
	label string
	note  string
	unit  string
	total int64
	done  int64
	start time.Time
	last  time.Time
	shown bool
	every time.Duration
	now   func() time.Time
	write func(line string, last bool)
}

// HeadlessVariable, not empty, says that no person watches: progress is written sparingly; Publish: nothing that differs from run to
// run, for results that are kept.
const (
	HeadlessVariable = "STUFFED_HEADLESS"
	Publish          = "publish"
)

const (
	interactive = 200 * time.Millisecond
	sparing     = 30 * time.Second
)

// New starts a step of total units (tokens, rows …); a total of 0 means that the end is not known.
func New(label string, total int64, unit string) *Progress {
	return NewOn(os.Stdout, label, total, unit)
}

// NewOn is New with its lines, outside of a notebook, on another output: standard error where standard output is the
// result.
func NewOn(output *os.File, label string, total int64, unit string) *Progress {
	switch {
	case os.Getenv(HeadlessVariable) == Publish:
		return start(label, total, unit, sparing, time.Now, func(string, bool) {})
	case os.Getenv(HeadlessVariable) != "":
		return start(label, total, unit, sparing, time.Now, plainLines(output))
	case gonbui.IsNotebook:
		id := "progress_" + gonbui.UniqueId()
		return start(label, total, unit, interactive, time.Now, func(line string, _ bool) {
			gonbui.UpdateHTML(id, "<pre>"+html.EscapeString(line)+"</pre>")
		})
	case term.IsTerminal(int(output.Fd())):
		return start(label, total, unit, interactive, time.Now, rewritten(output))
	}
	return start(label, total, unit, sparing, time.Now, plainLines(output))
}

func start(label string, total int64, unit string, every time.Duration, now func() time.Time, write func(string, bool)) *Progress {
	t := now()
	return &Progress{label: label, unit: unit, total: total, start: t, last: t, every: every, now: now, write: write}
}

func plainLines(w io.Writer) func(string, bool) {
	return func(line string, _ bool) { fmt.Fprintln(w, line) }
}

// rewritten keeps a terminal's line.
func rewritten(w io.Writer) func(string, bool) {
	longest := 0
	return func(line string, last bool) {
		n := len([]rune(line))
		longest = max(longest, n)
		end := ""
		if last {
			end = "\n"
		}
		fmt.Fprint(w, "\r"+line+strings.Repeat(" ", longest-n)+end)
	}
}

// Add says that n more units are done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if t := p.now(); t.Sub(p.last) >= p.every {
		p.last, p.shown = t, true
		line := p.line(t)
		if p.note != "" {
			line += "; " + p.note
		}
		p.write(line, false)
	}
}

// Set says how many units are done in all.
func (p *Progress) Set(done int64) {
	p.mu.Lock()
	n := done - p.done
	p.mu.Unlock()
	p.Add(n)
}

// Of says how many units are done of how many.
func (p *Progress) Of(done, total int64) {
	p.mu.Lock()
	p.total = total
	p.mu.Unlock()
	p.Set(done)
}

// Runs is Of for what is counted in int.
func (p *Progress) Runs(done, total int) { p.Of(int64(done), int64(total)) }

// Note is shown behind the numbers from the next line on: a loss, say.
func (p *Progress) Note(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note = text
}

// Done ends the step with a line of its total and time; a step that showed nothing stays silent when it did nothing or took less than
// a second.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.now()
	took := t.Sub(p.start)
	if !p.shown && (took < time.Second || p.done == 0) {
		return
	}
	p.write(fmt.Sprintf("%s: %s in %s%s", p.label, p.amount(p.done), Clock(took), p.rate(took)), true)
}

func (p *Progress) line(t time.Time) string {
	took := t.Sub(p.start)
	if p.total <= 0 {
		return fmt.Sprintf("%s: %s, %s%s", p.label, p.amount(p.done), Clock(took), p.rate(took))
	}
	line := fmt.Sprintf("%s: %d %% of %s%s", p.label, 100*p.done/p.total, p.amount(p.total), p.rate(took))
	if p.done > 0 && p.done < p.total {
		line += ", " + Clock(time.Duration(float64(took)*float64(p.total-p.done)/float64(p.done))) + " left"
	}
	return line
}

func (p *Progress) amount(n int64) string { return numeral.Text(float64(n)) + " " + p.unit }

func (p *Progress) rate(took time.Duration) string {
	if took <= 0 || p.done == 0 {
		return ""
	}
	return ", " + numeral.Text(float64(p.done)/took.Seconds()) + " " + p.unit + "/s"
}

// Clock writes a duration as people read it: 8 s, 3 min 20 s, 1 h 05 min.
func Clock(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
}
