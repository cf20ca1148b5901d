package trace

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
	"stuffed/pkg/recurrence"
	"stuffed/xla"
)

// Statistics from kernels end up in the same columns and axes as those from the graph.
func TestStatisticsLandInTheirColumns(t *testing.T) {
	dev, err := xla.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	const batch, n, heads = 2, 3, 4
	columns := len(recurrence.StatisticColumns)
	values := make([]float32, batch*n*heads*columns)
	for i := range values {
		values[i] = float32(i)
	}
	c, err := lm.Preset("byte")
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.New()
	if err != nil {
		t.Fatal(err)
	}
	p := &plan{model: m, means: []string{"variance", "norm", "write_norm"}, ends: true, outputs: []string{perHead, perEnd}}
	if r := p.reduction(); len(r.Statistics) == 0 {
		t.Error("the reduction takes no statistics of kernels")
	}
	if r := (&plan{model: m, exact: true}).reduction(); len(r.Statistics) != 0 {
		t.Errorf("an exact one takes %v", r.Statistics)
	}
	outs := MustExecOnceN(dev.Backend, func(all *Node) []*Node {
		return p.layer(map[string]*Node{"statistics": all}, nil)
	}, tensors.FromFlatDataAndDimensions(values, batch, n, heads, columns))
	means, ends := tensors.MustCopyFlatData[float32](outs[0]), tensors.MustCopyFlatData[float32](outs[1])
	for b := range batch {
		for i := range n {
			for h := range heads {
				row := values[((b*n+i)*heads+h)*columns:]
				for q, at := range []int{1, 3, 9} {
					if got := means[((b*n+i)*heads+h)*3+q]; got != row[at] {
						t.Errorf("%s of prompt %d bucket %d head %d is %g, want %g", p.means[q], b, i, h, got, row[at])
					}
				}
				for q, at := range []int{10, 11} {
					if got := ends[((i*batch+b)*heads+h)*2+q]; got != row[at] {
						t.Errorf("%s of prompt %d bucket %d head %d is %g, want %g", endColumns[q], b, i, h, got, row[at])
					}
				}
			}
		}
	}
}
