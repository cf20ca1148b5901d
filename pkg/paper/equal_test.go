package paper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stuffed/pkg/study"
)

const equalHead = "model,memory,like,window,numbers,bytes,inside,inside_low,inside_high,far,far_low,far_high\n"

// TestEqualReport: planted tables turn each of its sentences.
func TestEqualReport(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "memory"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, rows := range map[string]string{
		"better, intervals apart: Mamba-2 -0.50; worse: none; not told apart: none": "bytes-mamba2,own,bytes-mamba2,0,9,36,2,2,2,1.5,1.4,1.6\nt,window,bytes-mamba2,4,9,36,2,2,2,2,1.9,2.1\nt,whole,,0,9,99,2,2,2,1.99,1,2\n",
		"worse: GLA +0.50; not told apart: none":                                    "bytes-gla,own,bytes-gla,0,9,36,2,2,2,2.5,2.4,2.6\nt,window,bytes-gla,4,9,36,2,2,2,2,1.9,2.1\nt,whole,,0,9,99,2,2,2,1.99,1,2\n",
		"not told apart: GLA +0.05":                                                 "bytes-gla,own,bytes-gla,0,9,36,2,2,2,2.05,1.9,2.1\nt,window,bytes-gla,4,9,36,2,2,2,2,1.9,2.1\nt,whole,,0,9,99,2,2,2,1.99,1,2\n",
		"worth +0.01 nat. It hardly uses any context":                               "bytes-gla,own,bytes-gla,0,9,36,2,2,2,2.05,1.9,2.1\nt,window,bytes-gla,4,9,36,2,2,2,2,1.9,2.1\nt,whole,,0,9,99,2,2,2,1.99,1,2\n",
		"worth +0.50 nat. It uses its context":                                      "bytes-gla,own,bytes-gla,0,9,36,2,2,2,2.05,1.9,2.1\nt,window,bytes-gla,4,9,36,2,2,2,2,1.9,2.1\nt,whole,,0,9,99,2,2,2,1.5,1,2\n",
	} {
		if err := os.WriteFile(filepath.Join(root, "memory", "equal.csv"), []byte(equalHead+rows), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := EqualReport(root)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%q is not in (%v)\n%s", want, err, got)
		}
	}
	f, err := Draw("21_equal", filepath.Join("..", "..", study.Shipped))
	if err != nil || f.Table.Rows() != 24 {
		t.Errorf("%d rows, %v; want twelve models twice", f.Table.Rows(), err)
	}
}
