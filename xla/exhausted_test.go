package xla

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
)

// Messages of PJRT's plug-ins, of NVIDIA's libraries, and of faults that look like them.
func TestOutOfMemory(t *testing.T) {
	for _, c := range []struct {
		text, size string
		out        bool
	}{
		{"PJRT error (code=8): Out of memory while trying to allocate 6.85GiB with allocator GPU_0_bfc on device 0.", "6.85GiB", true},
		{"states: tokens 2864 … 2880: PJRT error (code=8): Out of memory while trying to allocate 340.98MiB.", "340.98MiB", true},
		{"PJRT error (code=8): Out of memory while trying to allocate 7353598976 bytes.", "7353598976 bytes", true},
		{"PJRT error (code=8): Out of memory allocating 1099511627776 bytes.", "1099511627776 bytes", true},
		{"PJRT error (code=8): Failed to allocate request for 1.00GiB (1073741824B) on device ordinal 0", "1.00GiB", true},
		{"PJRT error (code=13): failed to load module: CUDA_ERROR_OUT_OF_MEMORY: out of memory", "", true},
		{"PJRT error (code=13): failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED", "", true},
		{"panic: PJRT error (code=8): Out of memory while trying to allocate 2.00GiB", "2.00GiB", true},
		{"PJRT error (code=8): Shared memory size limit exceeded: requested 264192, available: 232448", "", false},
		{"Arena(0xc000, size=2048) out of memory while allocating 4096 bytes for \"T\"", "", false},
		{"PJRT error (code=3): Invalid argument", "", false},
		{"memory: mamba2 abc needs about 100 GiB, the device has 80 GiB; 3 sequences of 512 tokens would fit", "", false},
		{"the loss is NaN", "", false},
	} {
		size, out := OutOfMemory(fmt.Errorf("step 7: %w", errors.New(c.text)))
		if out != c.out || size != c.size {
			t.Errorf("%q: %v, %q; want %v, %q", c.text, out, size, c.out, c.size)
		}
	}
	if _, out := OutOfMemory(nil); out {
		t.Error("no error is one")
	}
}

// What XLA itself says when it is asked for more than any machine has; where it cannot be opened, messages above stand for it.
func TestOutOfMemoryOnTheDevice(t *testing.T) {
	d, err := Open("cpu")
	if err != nil {
		t.Log(err)
		return
	}
	huge := shapes.Make(dtypes.Float32, 1<<24, 1<<24)
	_, err = graph.MustNewExec(d.Backend, func(x *graph.Node) *graph.Node { return graph.BroadcastToShape(x, huge) }).Call(float32(1))
	if size, out := OutOfMemory(err); !out || size != "1125899906842624 bytes" {
		t.Errorf("%q, %v: %v", size, out, err)
	}
}
