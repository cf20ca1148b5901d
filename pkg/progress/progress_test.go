package progress

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// ticking is a clock that moves by step at every reading.
func ticking(step time.Duration) func() time.Time {
	var mu sync.Mutex
	t := time.Unix(0, 0)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		t = t.Add(step)
		return t
	}
}

func TestProgressDoesNotFlood(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		most  int
	}{{sparing, 21}, {interactive, 3001}} { // ten minutes in 60,000 steps of 10 ms
		var lines []string
		p := start("train", 60000, "steps", c.every, ticking(10*time.Millisecond), func(s string, _ bool) { lines = append(lines, s) })
		for range 60000 {
			p.Add(1)
		}
		p.Done()
		if len(lines) > c.most || len(lines) < c.most/2 {
			t.Errorf("every %v: %d lines, at most %d", c.every, len(lines), c.most)
		}
	}
}

func TestProgressRateAndTimeLeft(t *testing.T) {
	var lines []string
	p := start("prefill", 8192, "tokens", 30*time.Second, ticking(30*time.Second), func(s string, last bool) {
		lines = append(lines, s)
		if last != strings.Contains(s, " in ") {
			t.Errorf("line %q: last is %v", s, last)
		}
	})
	p.Add(1024)
	p.Set(2048)
	p.Set(8192)
	p.Done()
	want := []string{
		"prefill: 12 % of 8192 tokens, 34.1 tokens/s, 3 min 30 s left",
		"prefill: 25 % of 8192 tokens, 34.1 tokens/s, 3 min 00 s left",
		"prefill: 100 % of 8192 tokens, 91 tokens/s",
		"prefill: 8192 tokens in 2 min 00 s, 68.3 tokens/s",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestProgressOfUnknownLength(t *testing.T) {
	var last string
	p := start("read", 0, "rows", time.Second, ticking(time.Second), func(s string, _ bool) { last = s })
	p.Add(10)
	if last != "read: 10 rows, 1 s, 10 rows/s" {
		t.Errorf("%q", last)
	}
}

func TestShortStepsAreSilent(t *testing.T) {
	p := start("x", 2, "rows", time.Second, ticking(time.Millisecond), func(s string, _ bool) { t.Errorf("wrote %q", s) })
	p.Add(2)
	p.Done()
}

func TestProgressFromManyGoroutines(t *testing.T) {
	last := ""
	p := start("x", 4000, "rows", time.Second, ticking(time.Millisecond), func(s string, _ bool) { last = s })
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				p.Add(1)
			}
		})
	}
	wg.Wait()
	p.Done()
	if !strings.HasPrefix(last, "x: 4000 rows in 4 s") {
		t.Errorf("%q", last)
	}
}

func TestTerminalLineIsRewritten(t *testing.T) {
	var out strings.Builder
	write := rewritten(&out)
	write("long line", false)
	write("short", true)
	if out.String() != "\rlong line\rshort    \n" {
		t.Errorf("%q", out.String())
	}
}

func TestClock(t *testing.T) {
	for d, want := range map[time.Duration]string{
		400 * time.Millisecond: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 01 s", 3900 * time.Second: "1 h 05 min",
	} {
		if got := Clock(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func ExampleNew() {
	p := New("read", 3, "rows") // a step of less than a second stays silent
	p.Set(3)
	p.Done()
	// Output:
}
