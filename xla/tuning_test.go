package xla

import (
	"strings"
	"testing"
)

func TestFusionTuningIsLeftOut(t *testing.T) {
	off := "--" + fusionTuning + "=false"
	for _, c := range []struct {
		flags string
		known bool
		want  string
	}{
		{"", true, off}, {"", false, ""}, {"--xla_dump_to=out", true, "--xla_dump_to=out " + off}, {"--xla_dump_to=out", false, "--xla_dump_to=out"},
		{"--" + fusionTuning + "=true", true, "--" + fusionTuning + "=true"}, {off, true, off},
		{"--xla_gpu_autotune_level=0", true, "--xla_gpu_autotune_level=0"}, {"--xla_gpu_autotune_level=4", true, "--xla_gpu_autotune_level=4 " + off},
		{"flags.txt", true, "flags.txt"},
	} {
		if got, err := withoutFusionTuning(c.flags, func() (bool, error) { return c.known, nil }); got != c.want || err != nil {
			t.Errorf("%q, known %v: %q, %v, want %q", c.flags, c.known, got, err, c.want)
		}
	}
}

func TestTextAcrossPieces(t *testing.T) {
	for n := range 40 {
		for _, text := range []string{"needle", "n"} {
			for _, piece := range []int{1, 7, 16} {
				if found, err := holds(strings.NewReader(strings.Repeat("e", n)+text+"need"), text, piece); !found || err != nil {
					t.Errorf("%q after %d bytes in pieces of %d: %v, %v", text, n, piece, found, err)
				}
				if found, err := holds(strings.NewReader(strings.Repeat("x", n)+text[:len(text)-1]), text, piece); found || err != nil {
					t.Errorf("%q without its end after %d bytes in pieces of %d: %v, %v", text, n, piece, found, err)
				}
			}
		}
	}
	if known, err := fileHolds("tuning.go", fusionTuning); !known || err != nil {
		t.Errorf("%v, %v", known, err)
	}
}
