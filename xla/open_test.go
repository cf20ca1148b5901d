package xla

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOpenRefusesDamagedPlugins(t *testing.T) {
	exe, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string][]byte{
		"empty":   {},
		"text":    []byte("not a library"),
		"half":    exe[:len(exe)/2],
		"header":  exe[:64],
		"program": exe, // valid ELF, no PJRT
	}
	for name, content := range cases {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "pjrt_c_api_cpu_plugin.so"), content, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv(pluginEnv, dir)
		if d, err := Open("cpu"); err == nil {
			t.Errorf("%s: opened %s", name, d.Why)
		} else if !strings.Contains(err.Error(), "pjrt_c_api_cpu_plugin.so") {
			t.Errorf("%s: error does not name the file: %v", name, err)
		}
		t.Setenv("BACKEND", "auto")
		d, err := Open("auto")
		if err != nil || d.Kind != "go" || !strings.Contains(d.Why, "no cpu") {
			t.Errorf("%s: auto gives %+v, %v", name, d, err)
		}
	}
}

func TestOpenNames(t *testing.T) {
	if _, err := Open("tpu"); err == nil || !strings.Contains(err.Error(), `"tpu"`) {
		t.Errorf("unknown backend: %v", err)
	}
	d, err := Open("go:ops_sequential")
	if err != nil || d.Kind != "go" || d.Precision != "exact" {
		t.Errorf("full string: %+v, %v", d, err)
	}
}

func ExampleOpen() {
	d, err := Open("go")
	if err != nil {
		panic(err)
	}
	fmt.Println(d.Kind, d.Precision, "-", d.Why)
	// Output: go exact - go: asked for by name
}

// For little work auto takes the backend that answers before XLA has loaded a program.
func TestAutoTakesTheSooner(t *testing.T) {
	t.Setenv("BACKEND", "")
	t.Setenv(pluginEnv, t.TempDir()) // no CUDA
	few, err := Open("auto", Options{Operations: 1e6})
	if err != nil || few.Kind != "go" || !strings.Contains(few.Why, "sooner") {
		t.Errorf("few: %+v, %v", few, err)
	}
	unknown, err := Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	if many, err := Open("auto", Options{Operations: 1e12}); err != nil || many.Kind != unknown.Kind || strings.Contains(many.Why, "sooner") {
		t.Errorf("many: %+v, %v", many, err)
	}
	t.Setenv("BACKEND", "cpu")
	if _, err := Open("cpu"); err == nil {
		if named, err := Open("auto", Options{Operations: 1e6}); err != nil || named.Kind != "cpu" {
			t.Errorf("asked for by the variable: %+v, %v", named, err)
		}
	}
}

func TestPluginsOfSetUpAreFound(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("plug-ins are for Linux")
	}
	root := t.TempDir()
	t.Setenv(pluginEnv, "")
	t.Chdir(root)
	for kind, path := range map[string]string{"cpu": ".plugin/pjrt_c_api_cpu_plugin.so", "cuda": ".plugin/cuda/lib/pjrt_c_api_cuda_plugin.so"} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := findPlugin(kind); err != nil || got != path {
			t.Errorf("%s: %s, %v", kind, got, err)
		}
	}
}

func TestADeviceAnswers(t *testing.T) {
	for _, name := range []string{"go", "cpu"} {
		d, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Answers(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
