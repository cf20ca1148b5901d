package checkpoint

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// CheckFinite returns an error that names the first weight that is not finite. A_log may be −∞: such a head never forgets.
func (m *Model) CheckFinite() error {
	names := slices.Sorted(maps.Keys(m.Tensors))
	faults := make([]error, len(names))
	var wait sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, name := range names {
		slots <- struct{}{}
		wait.Go(func() {
			faults[i] = m.Tensors[name].checkFinite(name)
			<-slots
		})
	}
	wait.Wait()
	for _, err := range faults {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Tensor) checkFinite(name string) error {
	count, first := 0, -1
	forgetsNothing := strings.HasSuffix(name, "A_log")
	t.eachNotFinite(func(i int, v float64) {
		if forgetsNothing && math.IsInf(v, -1) {
			return
		}
		if count++; first < 0 {
			first = i
		}
	})
	if count == 0 {
		return nil
	}
	index, rest := make([]int, len(t.Shape)), first
	for a := len(t.Shape) - 1; a >= 0; a-- {
		index[a], rest = rest%t.Shape[a], rest/t.Shape[a]
	}
	return fmt.Errorf("tensor %q: %d of its weights are not finite, the first at %v: the file is damaged or training diverged", name, count, index)
}

// eachNotFinite visits the values whose exponent bits are all ones.
func (t *Tensor) eachNotFinite(visit func(i int, v float64)) {
	switch t.DType {
	case "F64":
		for i := range len(t.Data) / 8 {
			if b := binary.LittleEndian.Uint64(t.Data[8*i:]); b>>52&0x7ff == 0x7ff {
				visit(i, math.Float64frombits(b))
			}
		}
	case "F32":
		for i := range len(t.Data) / 4 {
			if b := binary.LittleEndian.Uint32(t.Data[4*i:]); b>>23&0xff == 0xff {
				visit(i, float64(math.Float32frombits(b)))
			}
		}
	case "BF16":
		for i := range len(t.Data) / 2 {
			if b := binary.LittleEndian.Uint16(t.Data[2*i:]); b>>7&0xff == 0xff {
				visit(i, float64(math.Float32frombits(uint32(b)<<16)))
			}
		}
	case "F16":
		for i := range len(t.Data) / 2 {
			if b := binary.LittleEndian.Uint16(t.Data[2*i:]); b>>10&0x1f == 0x1f {
				visit(i, float64(halfToFloat32(b)))
			}
		}
	}
}
