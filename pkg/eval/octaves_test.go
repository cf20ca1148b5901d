package eval

import (
	"math"
	"strings"
	"testing"

	"stuffed/pkg/table"
)

// Octaves agrees with the mean computed token by token.
func TestOctaves(t *testing.T) {
	const length, width = 1024, 8
	var name []string
	var position, tokens []int64
	var loss []float64
	at := func(p, i int) float64 { return math.Sin(float64(i)) + float64(p) }
	for p, n := range []string{"a", "b", "c"} {
		for start := 0; start < length-1; start += width {
			sum, count := 0.0, 0
			for i := start; i < min(start+width, length-1); i++ {
				sum += at(p, i)
				count++
			}
			name, position, tokens, loss = append(name, n), append(position, int64(start)), append(tokens, int64(count)), append(loss, sum/float64(count))
		}
	}
	got, err := Octaves(table.New().AddText("prompt", name).AddInt("position", position).AddFloat("loss", loss).AddInt("tokens", tokens), 64, 1)
	if err != nil {
		t.Fatal(err)
	}
	starts, _ := got.Int("position")
	read, _ := got.Int("read")
	mean, _ := got.Float("loss")
	counts, _ := got.Int("tokens")
	total := int64(0)
	for i, from := range []int64{0, 64, 128, 256, 512} {
		to := []int64{64, 128, 256, 512, length - 1}[i]
		want := 0.0
		for x := from; x < to; x++ {
			want += (at(0, int(x)) + at(1, int(x)) + at(2, int(x))) / 3
		}
		want /= float64(to - from)
		if starts[i] != from || read[i] != to || math.Abs(mean[i]-want) > 1e-12 {
			t.Errorf("bucket %d: from %d to %d, loss %v; want %d, %d, %v", i, starts[i], read[i], mean[i], from, to, want)
		}
		total += counts[i]
	}
	if len(starts) != 5 || total != 3*(length-1) {
		t.Errorf("%d buckets with %d tokens", len(starts), total)
	}
	for want, f := range map[string]func() error{
		"first = 0": func() error { _, err := Octaves(got, 0, 1); return err },
		"per = 0":   func() error { _, err := Octaves(got, 1, 0); return err },
		"prompt":    func() error { _, err := Octaves(got, 1, 1); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
