package verify_test

import (
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/checkpoint"
)

// TestGatedCases verifies cases of the recurrences with a vector gate and with a fixed decay; a changed bit shows.
func TestGatedCases(t *testing.T) {
	root := t.TempDir()
	for to, from := range map[string]string{"gla-t3": "vectorgate/testdata/gla/t3", "gla-packed": "vectorgate/testdata/gla/packed-carry",
		"hgrn2-t3": "vectorgate/testdata/hgrn2/t3", "retnet-packed": "fixeddecay/testdata/packed-carry"} {
		copyFile(t, "../recurrence/"+from+".safetensors", filepath.Join(root, to+".safetensors"))
	}
	if sum, lines := run(t, root); sum.Failed != 0 || sum.Passed < 80 {
		t.Fatalf("%v: %s", sum, strings.Join(lines, "\n"))
	}
	path := filepath.Join(root, "hgrn2-t3.safetensors")
	file, err := checkpoint.ReadSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	file.Tensors["f"].Data[2] ^= 0x40
	if err := checkpoint.WriteSafetensors(path, file.Tensors, nil); err != nil {
		t.Fatal(err)
	}
	if sum, _ := run(t, root); sum.Failed == 0 {
		t.Errorf("%v with a changed input", sum)
	}
}
