package notebook

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// jupyter stands in for nbconvert: it copies the notebook, or fails when its name has "bad" in it.
const jupyter = `#!/bin/sh
files=
while [ $# -gt 0 ]; do
    case $1 in --output-dir) dir=$2; shift ;; --output) name=$2; shift ;; --to) to=$2; shift ;; *.ipynb) files="$files $1" ;; esac
    shift
done
mkdir -p "$dir"
for f in $files; do
    case $f in *bad*) echo noise; echo "An error occurred while executing the following cell:"; echo "error: shape of x" ; exit 1 ;; esac
    base=${f##*/}
    [ "$to" = html ] && name=${base%.ipynb}.html
    cat "$f" > "$dir/$name"
done
echo "$STUFFED_SCALE $STUFFED_HEADLESS" > "$dir/../scale"
`

func installed(t *testing.T) string {
	root := project(t)
	write(t, filepath.Join(root, ".venv/bin/jupyter"), jupyter)
	write(t, filepath.Join(root, ".venv/share/jupyter/kernels/gonb-plain/kernel.json"), "{}")
	write(t, filepath.Join(root, ".tools/bin/goimports"), "")
	return root
}

func TestRunner(t *testing.T) {
	root := installed(t)
	for _, name := range []string{"01_bad", "02_good"} {
		write(t, filepath.Join(root, "notebooks", name+".ipynb"), `{"cells": [], "metadata": {"widgets": 1}}`)
	}
	var out bytes.Buffer
	r := Runner{Root: root, Dir: "notebooks", Scale: "smoke", Cell: time.Minute, Out: &out}
	err := r.Run(context.Background())
	if err == nil || err.Error() != "notebooks failed: 01_bad" {
		t.Error(err)
	}
	got := out.String()
	for _, want := range []string{"01_bad ", "error: shape of x", "02_good ", "1 passed, 1 failed"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "noise") {
		t.Error(got)
	}
	data, err := os.ReadFile(filepath.Join(root, executed, "02_good.ipynb"))
	if err != nil || strings.Contains(string(data), "widgets") {
		t.Error(err, string(data))
	}
	if scale, _ := os.ReadFile(filepath.Join(root, "out/scale")); string(scale) != "smoke 1\n" {
		t.Errorf("%q", scale)
	}
	if left, _ := filepath.Glob(filepath.Join(root, "out/notebook-*")); len(left) > 0 {
		t.Error("left behind:", left)
	}
	r.Names = []string{"02"}
	if err := r.Run(context.Background()); err != nil {
		t.Error(err)
	}
	if err := r.HTML(context.Background()); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(root, executed, "02_good.ipynb"), `<a href="01_bad.ipynb">and <a href="x/y.ipynb">`)
	if err := r.HTML(context.Background()); err != nil {
		t.Error(err)
	}
	if page, _ := os.ReadFile(filepath.Join(root, "out/html/02_good.html")); string(page) != `<a href="01_bad.html">and <a href="x/y.ipynb">` {
		t.Errorf("%s", page)
	}
	r.Names = []string{"01"}
	if err := r.HTML(context.Background()); err == nil || !strings.Contains(err.Error(), "error: shape of x") { // as it ships
		t.Error(err)
	}
}

func TestRunnerSaysWhatIsMissing(t *testing.T) {
	root := installed(t)
	write(t, filepath.Join(root, "notebooks/01_x.ipynb"), `{"cells": []}`)
	r := Runner{Root: root, Dir: "notebooks", Scale: "small", Cell: time.Minute, Out: &bytes.Buffer{}}
	for _, path := range []string{".tools/bin/goimports", ".venv/share/jupyter/kernels/gonb-plain/kernel.json", ".venv/bin/jupyter"} {
		if err := os.Remove(filepath.Join(root, path)); err != nil {
			t.Fatal(err)
		}
		if err := r.Run(context.Background()); err == nil || !strings.Contains(err.Error(), path+" is not there: run make setup") {
			t.Error(err)
		}
	}
	for want, r := range map[string]Runner{
		"scale":       {Root: root, Dir: "notebooks", Scale: "big", Cell: time.Minute},
		"time for a":  {Root: root, Dir: "notebooks", Scale: "small"},
		"no notebook": {Root: root, Dir: "nowhere", Scale: "small", Cell: time.Minute},
	} {
		if err := r.Run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestRunnerStopsWhenInterrupted(t *testing.T) {
	root := installed(t)
	write(t, filepath.Join(root, ".venv/bin/jupyter"), "#!/bin/sh\nexec sleep 60\n")
	write(t, filepath.Join(root, "notebooks/01_x.ipynb"), `{"cells": []}`)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	err := Runner{Root: root, Dir: "notebooks", Scale: "smoke", Cell: time.Minute, Out: &out}.Run(ctx)
	if err == nil || strings.Contains(out.String(), "ok") {
		t.Error(err, out.String())
	}
}

// A kernel that finds its ports taken is tried once more, one that never starts fails.
func TestRunnerTriesAnotherKernel(t *testing.T) {
	for dies, want := range map[int]string{1: "1 passed, 0 failed", 2: stillborn} {
		root := installed(t)
		write(t, filepath.Join(root, "notebooks/01_x.ipynb"), `{"cells": []}`)
		t.Setenv("DEATHS", filepath.Join(root, "deaths"))
		write(t, filepath.Join(root, ".venv/bin/jupyter"), strings.Replace(jupyter, "#!/bin/sh\n", fmt.Sprintf(`#!/bin/sh
echo died >>$DEATHS
[ $(wc -l <$DEATHS) -gt %d ] || { echo "RuntimeError: %s"; exit 1; }
`, dies, stillborn), 1))
		var out bytes.Buffer
		err := Runner{Root: root, Dir: "notebooks", Scale: "smoke", Cell: time.Minute, Out: &out}.Run(t.Context())
		if (err == nil) != (dies == 1) || !strings.Contains(out.String(), want) {
			t.Errorf("%d deaths: %v, %s", dies, err, out.String())
		}
	}
}

func TestCellsAreLinkedAsSetUpFound(t *testing.T) {
	t.Setenv("GOFLAGS", "-buildvcs=false")
	r := Runner{Root: t.TempDir()}
	if got := r.goFlags(); got != "-buildvcs=false -ldflags=-s" {
		t.Error(got)
	}
	write(t, filepath.Join(r.Root, ".tools", "link"), "'-ldflags=-s -linkmode=internal'")
	if got := r.goFlags(); got != "-buildvcs=false '-ldflags=-s -linkmode=internal'" {
		t.Error(got)
	}
}

func TestRunnerRunsSideBySide(t *testing.T) {
	root := installed(t)
	for _, name := range []string{"01_x", "02_x", "03_x", "04_x"} {
		write(t, filepath.Join(root, "notebooks", name+".ipynb"), `{"cells": []}`)
	}
	place := t.TempDir()
	t.Setenv("PLACE", place)
	for jobs, meeting := range map[int]string{
		1: "mkdir $PLACE/alone || exit 1\nsleep 0.05\nrmdir $PLACE/alone\n",
		2: "touch $PLACE/$$\nfor i in $(seq 500); do [ $(ls $PLACE | wc -l) -ge 2 ] && break; sleep 0.01; done\n[ $i -lt 500 ] || exit 1\n",
	} {
		write(t, filepath.Join(root, ".venv/bin/jupyter"), strings.Replace(jupyter, "#!/bin/sh\n", "#!/bin/sh\n"+meeting, 1))
		var out bytes.Buffer
		r := Runner{Root: root, Dir: "notebooks", Scale: "smoke", Cell: time.Minute, Jobs: jobs, Out: &out}
		if err := r.Run(context.Background()); err != nil {
			t.Errorf("%d at a time: %v\n%s", jobs, err, out.String())
		}
	}
	if (Runner{Scale: "full"}).jobs() != 1 || (Runner{Scale: "small"}).jobs() != min(2, runtime.NumCPU()) {
		t.Error("how many at a time, when nobody says")
	}
}
