package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"stuffed/pkg/lm"
)

// lossesApart is the largest difference of two runs' losses, relative to the loss.
func lossesApart(t *testing.T, got, want [][]float32) (most float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d steps, want %d", len(got), len(want))
	}
	for s := range want {
		for r := range want[s] {
			most = max(most, math.Abs(float64(got[s][r]-want[s][r]))/math.Abs(float64(want[s][r])))
		}
	}
	return most
}

// Several devices that share the rows make the steps of one: losses and weights after 20 steps, for every initial state, with
// micro-batches and several steps in a call. The processor poses as four devices.
func TestDevicesShareAStep(t *testing.T) {
	for devices, set := range map[int][]string{
		4: {"policy=zero,carried,gaussian,fitted,learned", "accumulate=2", "steps_per_call=2", "steps=20"},
	} {
		t.Run(strings.Join(set, " "), func(t *testing.T) {
			run := func(devices int) ([][]float32, *Trainer) {
				trainer := start(t, "cpu", tiny(t, append(set, "batch_tokens=128", "model.layers=1", fmt.Sprint("devices=", devices))...))
				return losses(t, trainer, 20), trainer
			}
			want, one := run(1)
			got, several := run(devices)
			if d := lossesApart(t, got, want); d > 1e-5 {
				t.Errorf("%d devices: losses differ by %.2g of themselves, want at most 1e-5", devices, d)
			}
			if err := several.gather(); err != nil {
				t.Fatal(err)
			}
			_, names := one.program.shapes()
			for i, name := range names {
				if !one.carry[i].DType().IsFloat() || strings.HasPrefix(name, "adam_") {
					continue
				}
				a, err := lm.Floats(several.carry[i])
				if err != nil {
					t.Fatal(err)
				}
				b, err := lm.Floats(one.carry[i])
				if err != nil {
					t.Fatal(err)
				}
				diff, norm := 0.0, 0.0
				for k := range b {
					d := float64(a[k]) - float64(b[k])
					diff, norm = diff+d*d, norm+float64(b[k])*float64(b[k])
				}
				if diff > 1e-8*norm { // Adam turns rounding of a gradient near zero into a step
					t.Errorf("%d devices: %s differs by %.2g of its norm", devices, name, math.Sqrt(diff/norm))
				}
			}
		})
	}
}

// A run goes on with another number of devices as it would have gone on.
func TestSnapshotGoesToOtherDevices(t *testing.T) {
	set := []string{"policy=carried,fitted", "batch_tokens=128", "steps=20", "model.layers=1"}
	straight := losses(t, start(t, "cpu", tiny(t, set...)), 20)
	for _, devices := range [][2]int{{4, 1}, {1, 4}} {
		c := tiny(t, append(set, fmt.Sprint("devices=", devices[0]))...)
		first := start(t, "cpu", c)
		before := losses(t, first, 10)
		if err := first.Save(); err != nil {
			t.Fatal(err)
		}
		c.Devices = devices[1]
		second := start(t, "cpu", c)
		if err := second.Resume(); err != nil {
			t.Fatal(err)
		}
		if d := lossesApart(t, append(before, losses(t, second, 20)...), straight); d > 1e-5 {
			t.Errorf("from %d devices to %d: losses differ by %.2g of themselves", devices[0], devices[1], d)
		}
	}
}

func TestBadDevices(t *testing.T) {
	if err := tiny(t, "devices=-1", "model.vocab=16").Validate(); err == nil || !strings.Contains(err.Error(), "devices = -1") {
		t.Error(err)
	}
	c := tiny(t, "batch_tokens=128", "devices=3")
	if _, err := Open(open(t, "cpu"), c); err == nil || !strings.Contains(err.Error(), "devices = 3 does not divide the 8 sequences") {
		t.Errorf("rows that cannot be shared: %v", err)
	}
	c = tiny(t, "batch_tokens=128", "devices=2")
	if _, err := Open(open(t, "go"), c); err == nil || !strings.Contains(err.Error(), "devices = 2, but go has 1") {
		t.Errorf("fewer devices than asked for: %v", err)
	}
	if a, b := tiny(t, "devices=2"), tiny(t); a.Hash() != b.Hash() {
		t.Error("the number of devices changes a configuration's name")
	}
}
