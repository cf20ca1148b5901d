// Package xla opens the device that graphs run on and supplies what GoMLX lacks inside graphs: a differentiable loop
// ([Scan]), compensated running sums, missing gradients and buffer donation.
package xla

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	_ "github.com/gomlx/compute/gobackend" // registers "go"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/xla/internal/gomlx"
)

// Device is an opened backend and how it was chosen.
type Device struct {
	compute.Backend
	Kind      string // "cuda", "cpu" (XLA) or "go"
	Precision string // "exact" (no TF32) or "fast"
	Plugin    string // file name of the PJRT plug-in, empty for "go"
	Why       string // one line: which backend was chosen and why
}

// Options of Open.
type Options struct {
	Fast bool // TF32 for float32 products on CUDA; everywhere else fast equals exact

	// Approximate number of operations to be run; 0 means unknown. Where XLA would run on the CPU, auto chooses the Go backend
	// for few: it answers before XLA has loaded its programs, and long before it has compiled them.
	Operations float64
}

const pluginEnv = "PJRT_PLUGIN_LIBRARY_PATH"

// Open opens a backend: "auto" (a CUDA plug-in if there is one, otherwise XLA on the CPU, otherwise the pure-Go backend), "cuda",
// "cpu", "go", or a full GoMLX string such as "xla:cuda,tf32=false" or "go:ops_sequential". The environment variable BACKEND
// replaces "auto" and "". A missing or damaged plug-in is an error for a backend asked for by name, and a reported fallback for
// "auto".
func Open(name string, opts ...Options) (*Device, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if name == "" || name == "auto" {
		name = "auto"
		if env := os.Getenv("BACKEND"); env != "" {
			name = env
		}
	}
	switch name {
	case "auto":
		return openAuto(o)
	case "go":
		return openGo("go:parallelism=-1", "asked for by name")
	case "cpu", "cuda":
		return openXLA(name, o, "asked for by name")
	}
	kind, config, _ := strings.Cut(name, ":")
	switch kind {
	case "go":
		if !strings.Contains(config, "parallelism") && !strings.Contains(config, "ops_sequential") {
			config = strings.TrimPrefix(config+",parallelism=-1", ",") // the bounded pool can deadlock
		}
		return openGo("go:"+config, "asked for by name")
	case "xla":
		return openString(name, o)
	}
	return nil, fmt.Errorf("backend %q: unknown; use auto, cuda, cpu, go or a GoMLX string such as xla:cuda,tf32=false", name)
}

// fewOperations is what the Go backend computes in about the second that XLA takes to open and to load a program from disk.
const fewOperations = 2e8

func openAuto(o Options) (*Device, error) {
	var reasons []string
	for _, kind := range []string{"cuda", "cpu"} {
		if kind == "cpu" && o.Operations > 0 && o.Operations <= fewOperations {
			d, err := openGo("go:parallelism=-1", fmt.Sprintf("sooner than XLA for about %.2g operations", o.Operations))
			if err == nil {
				d.Why = strings.Join(append(reasons, d.Why), "; ")
			}
			return d, err
		}
		d, err := openXLA(kind, o, "first that opened")
		if err == nil {
			d.Why = strings.Join(append(reasons, d.Why), "; ")
			return d, nil
		}
		reasons = append(reasons, fmt.Sprintf("no %s: %v", kind, err))
	}
	d, err := openGo("go:parallelism=-1", "embedded fall-back")
	if err == nil {
		d.Why = strings.Join(append(reasons, d.Why), "; ")
	}
	return d, err
}

func openGo(config, why string) (*Device, error) {
	b, err := gomlx.Quietly(func() (compute.Backend, error) { return compute.NewWithConfig(config) })
	if err != nil {
		return nil, fmt.Errorf("backend %q: %w", config, err)
	}
	if err := gomlx.Check("go", b); err != nil {
		return nil, fmt.Errorf("backend go: %w", err)
	}
	return &Device{Backend: b, Kind: "go", Precision: "exact", Why: "go: " + why}, nil
}

func openXLA(kind string, o Options, why string) (*Device, error) {
	path, err := findPlugin(kind)
	if err != nil {
		return nil, err
	}
	config := path
	if kind == "cuda" {
		config += fmt.Sprintf(",tf32=%v", o.Fast)
	}
	return openPlugin(kind, path, config, o, why)
}

// openString opens "xla:NAME,options" where NAME is cuda, cpu or the path of a plug-in.
func openString(name string, o Options) (*Device, error) {
	plugin, options, _ := strings.Cut(strings.TrimPrefix(name, "xla:"), ",")
	kind := "cpu"
	if strings.Contains(plugin, "cuda") || strings.Contains(plugin, "nvidia") {
		kind = "cuda"
	}
	path := plugin
	if !filepath.IsAbs(plugin) {
		found, err := findPlugin(kind)
		if err != nil {
			return nil, err
		}
		path = found
	}
	o.Fast = kind == "cuda" && !strings.Contains(options, "tf32=false") && !strings.Contains(options, "notf32")
	config := path
	if options != "" {
		config += "," + options
	}
	return openPlugin(kind, path, config, o, "asked for as "+kind)
}

func openPlugin(kind, path, config string, o Options, why string) (*Device, error) {
	if err := checkPlugin(path); err != nil {
		return nil, err
	}
	b, err := newXLA(kind, path, config)
	if err != nil {
		return nil, fmt.Errorf("plug-in %s: %w", filepath.Base(path), err)
	}
	if err := gomlx.Check(kind, b); err != nil {
		return nil, fmt.Errorf("plug-in %s: %w", filepath.Base(path), err)
	}
	precision := "exact"
	if kind == "cuda" && o.Fast {
		precision = "fast"
	}
	return &Device{Backend: b, Kind: kind, Precision: precision, Plugin: filepath.Base(path),
		Why: fmt.Sprintf("%s: %s (%s)", kind, why, filepath.Base(path))}, nil
}

// findPlugin looks for pjrt_c_api_KIND_plugin.so in $PJRT_PLUGIN_LIBRARY_PATH, then in the folders .plugin and .plugin/KIND/lib
// of the working directory, of the program's folder, and of every folder above either.
func findPlugin(kind string) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("no %s plug-in for %s; use the backend go", kind, runtime.GOOS)
	}
	dirs := filepath.SplitList(os.Getenv(pluginEnv))
	for _, start := range startFolders() {
		for d := start; ; d = filepath.Dir(d) {
			dirs = append(dirs, filepath.Join(d, ".plugin"), filepath.Join(d, ".plugin", kind, "lib"))
			if d == filepath.Dir(d) {
				break
			}
		}
	}
	for _, d := range dirs {
		names, _ := filepath.Glob(filepath.Join(d, "pjrt_c_api_"+kind+"*plugin.so"))
		if len(names) == 0 {
			names, _ = filepath.Glob(filepath.Join(d, "pjrt-plugin-"+kind+"*.so"))
		}
		if len(names) > 0 {
			return names[0], nil
		}
	}
	return "", fmt.Errorf("no file pjrt_c_api_%s_plugin.so in $%s or in a folder .plugin here or above (make setup installs the cpu one, make setup-cuda the cuda one)", kind, pluginEnv)
}

// Installed reports whether there is a plug-in for a kind of device, "cuda" or "cpu".
func Installed(kind string) bool {
	_, err := findPlugin(kind)
	return err == nil
}

func startFolders() (dirs []string) {
	if wd, err := os.Getwd(); err == nil {
		dirs = append(dirs, wd)
	}
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	return
}

// HasLoops reports whether the device runs [Scan] as one loop; otherwise training graphs are unrolled.
func (d *Device) HasLoops() bool {
	return d.Capabilities().Operations[compute.OpTypeDynamicUpdateSlice]
}

// Answers adds two numbers on the device. After a kernel's fault CUDA refuses all later work of the process, and so this.
func (d *Device) Answers() error {
	sum, err := graph.CallOnce(d.Backend, func(x *graph.Node) *graph.Node { return graph.Add(x, x) }, float32(1))
	if err != nil {
		return err
	}
	defer sum.MustFinalizeAll()
	if got := tensors.ToScalar[float32](sum); got != 2 {
		return fmt.Errorf("1 + 1 = %v on %s", got, d.Kind)
	}
	return nil
}

// Supports reports whether the device computes in the dtype.
func (d *Device) Supports(t dtypes.DType) bool { return d.Capabilities().DTypes[t] }
