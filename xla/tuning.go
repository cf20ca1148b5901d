package xla

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
)

// fusionTuning is the flag of a step that XLA's compiler for NVIDIA GPUs has, and takes by default, from JAX 0.9 on: it compiles each fusion in
// every tiling that comes into question, for arrays of seven axes more than can be tried in ten minutes.
const fusionTuning = "xla_gpu_experimental_enable_fusion_autotuner"

// withoutFusionTuning adds to XLA_FLAGS that this step is left out, unless the flags say something of it, switch all tuning off, or name a file.
// Only a plug-in that knows the flag may get it: XLA ends the process at one that it does not know. Where the flags decide, known is not called.
func withoutFusionTuning(flags string, known func() (bool, error)) (string, error) {
	flags = strings.TrimSpace(flags)
	if strings.Contains(flags, fusionTuning) || strings.Contains(flags, "xla_gpu_autotune_level=0") || flags != "" && flags[0] != '-' {
		return flags, nil
	}
	if knows, err := known(); !knows || err != nil {
		return flags, err
	}
	return strings.TrimSpace(flags + " --" + fusionTuning + "=false"), nil
}

// fileHolds reports whether a file holds a text.
func fileHolds(path, text string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return holds(f, text, 1<<20)
}

// holds looks for a text in what it reads in pieces.
func holds(r io.Reader, text string, piece int) (bool, error) {
	buffer := make([]byte, len(text)+piece)
	kept := 0
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		if bytes.Contains(buffer[:kept+n], []byte(text)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		kept = copy(buffer, buffer[len(buffer)-len(text)+1:]) // a text across the border
	}
}
