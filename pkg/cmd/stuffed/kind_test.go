package main

import (
	"os"
	"path/filepath"
	"testing"
)

// What auto will open is told from the plug-ins, the GPUs and BACKEND.
func TestKindOfDevice(t *testing.T) {
	plugins := t.TempDir()
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", plugins)
	for _, c := range []struct {
		backend, env, gpus string
		plugin             bool
		want               string
	}{
		{"auto", "", "0,1", true, "cuda"}, {"", "", "0", true, "cuda"}, {"auto", "", "", true, "cpu"}, {"auto", "", "0", false, "cpu"},
		{"auto", "go", "0", true, "go"}, {"auto", "cuda", "", false, "cuda"}, {"cpu", "", "0", true, "cpu"}, {"xla:cuda,tf32=false", "", "", false, "cuda"},
	} {
		t.Setenv("BACKEND", c.env)
		t.Setenv("CUDA_VISIBLE_DEVICES", c.gpus)
		file := filepath.Join(plugins, "pjrt_c_api_cuda_plugin.so")
		if err := os.RemoveAll(file); err != nil {
			t.Fatal(err)
		}
		if c.plugin {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := kindOf(c.backend); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
