package gomlx

import (
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
)

func open(t *testing.T) compute.Backend {
	t.Helper()
	b, err := gobackend.New("parallelism=-1")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The versions of go.mod are those that the patches are for; a test's build information does not hold them.
func TestVersionsAreThoseOfTheModule(t *testing.T) {
	text, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for path, version := range Versions {
		if !strings.Contains(string(text), "\t"+path+" "+version+"\n") {
			t.Errorf("go.mod does not require %s %s: go through PATCHES.md, then change Versions", path, version)
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	if err := checkVersions([]*debug.Module{{Path: "github.com/gomlx/gomlx", Version: "v0.28.8"}, {Path: "example.org/other", Version: "v1"}}); err != nil {
		t.Error(err)
	}
	err := checkVersions([]*debug.Module{{Path: "github.com/gomlx/gomlx", Version: "v0.29.0"}})
	for _, want := range []string{"github.com/gomlx/gomlx is v0.29.0, not v0.28.8", "go-xla v0.4.5", "PATCHES.md"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("another version: %v, want %q", err, want)
		}
	}
}

func TestAChangedGoMLXIsRefused(t *testing.T) {
	b := open(t)
	if err := Check("go", b); err != nil {
		t.Fatal(err)
	}
	if err := try(b, true); err == nil || !strings.Contains(err.Error(), "PATCHES.md") { // as if this backend were XLA's
		t.Errorf("nodes without a StableHLO value: %v", err)
	}
	kind := NodeTypeDotGeneral
	defer func(old VJP) { VJPRegistration[kind] = old }(VJPRegistration[kind])
	delete(VJPRegistration, kind)
	if err := try(b, false); err == nil || !strings.Contains(err.Error(), "gradient") {
		t.Errorf("a gradient that is gone: %v", err)
	}
	if _, err := find(&struct{ a int }{}, "b"); err == nil || !strings.Contains(err.Error(), "no field b") {
		t.Errorf("a field that is gone: %v", err)
	}
}

// A product's settings are reached where they are, not in a copy.
func TestProductIsReached(t *testing.T) {
	g := NewGraph(open(t), "product")
	x := Parameter(g, "x", shapes.Make(dtypes.Float32, 2, 3, 4))
	y := DotGeneral(x, []int{2}, []int{0}, x, []int{2}, []int{0})
	p := ProductOf(y)
	p.Config().AccumulatorDType = dtypes.Float64
	if ProductOf(y).Config().AccumulatorDType != dtypes.Float64 || p.Axes("BatchAxes", 1)[0] != 0 || p.Axes("ContractingAxes", 0)[0] != 2 {
		t.Errorf("config %+v, axes %v, %v", ProductOf(y).Config(), p.Axes("BatchAxes", 1), p.Axes("ContractingAxes", 0))
	}
}
