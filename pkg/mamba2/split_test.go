package mamba2_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint
	"github.com/gomlx/gomlx/core/tensors"

	"stuffed/pkg/lm"
)

// ran is what a Runner gave for one or more sequences.
type ran struct {
	logits, loss [][]float64 // by sequence
	state        lm.State
}

func prefill(t testing.TB, r *lm.Runner, rows [][]int32, state lm.State) ran {
	t.Helper()
	out := ran{logits: make([][]float64, len(rows)), loss: make([][]float64, len(rows))}
	var err error
	out.state, err = r.Run(context.Background(), rows, state, lm.Request{Logits: true, Loss: true}, func(p lm.Piece) error {
		for b := range rows {
			for i, v := range p.Logits {
				if i/(p.Tokens*r.Weights.Model.Vocab()) == b {
					out.logits[b] = append(out.logits[b], float64(v))
				}
			}
			for _, v := range p.Loss[b*p.Tokens:][:p.Tokens] {
				out.loss[b] = append(out.loss[b], float64(v))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSplitsOfTheModelDoNotMatter: 20 random partitions, with pieces of no and of one token, logits and both states.
func TestSplitsOfTheModelDoNotMatter(t *testing.T) {
	m, params, _, _ := drawn(t, 8, nil)
	const n = 150
	rows := [][]int32{tokens(n, m.Vocab()), slices.Clone(tokens(n, m.Vocab()))}
	slices.Reverse(rows[1])
	for _, c := range []struct {
		dtype     dtypes.DType
		tolerance float64
	}{{dtypes.Float64, 1e-11}, {dtypes.Float32, 1e-5}} {
		runner := lm.NewRunner(devices(t)[0], weightsOf(t, m, c.dtype, params))
		runner.Piece = 64
		whole := prefill(t, runner, rows, nil)
		r := rand.New(rand.NewPCG(5, 5))
		for trial := range 20 {
			got := ran{logits: make([][]float64, 2), loss: make([][]float64, 2)}
			cuts := []int{0}
			for at := 0; at < n; {
				next := min(n, at+[]int{0, 1, r.IntN(64)}[r.IntN(3)])
				cuts = append(cuts, next)
				part := prefill(t, runner, [][]int32{rows[0][at:next], rows[1][at:next]}, got.state)
				for b := range rows {
					got.logits[b] = append(got.logits[b], part.logits[b]...)
				}
				got.state, at = part.state, next
			}
			label := fmt.Sprintf("%s partition %d %v: ", c.dtype, trial, cuts)
			for b := range rows {
				near(t, label+"logits", got.logits[b], whole.logits[b], max(c.tolerance, 2e-7))
			}
			near(t, label+"state", floats(got.state["state"]), floats(whole.state["state"]), c.tolerance)
			near(t, label+"convolution state", floats(got.state["conv_state"]), floats(whole.state["conv_state"]), c.tolerance)
		}
	}
}

// TestLossDoesNotDependOnPieces: the label of a piece's last token is the first of the next piece.
func TestLossDoesNotDependOnPieces(t *testing.T) {
	m, params, _, _ := drawn(t, 9, nil)
	rows := [][]int32{tokens(41, m.Vocab()), slices.Clone(tokens(41, m.Vocab()))}
	slices.Reverse(rows[1])
	for _, piece := range []int{512, 41, 40, 16, 7, 2, 1} {
		runner := lm.NewRunner(devices(t)[0], weightsOf(t, m, dtypes.Float64, params))
		runner.Piece = piece
		got := prefill(t, runner, rows, nil)
		for b, row := range rows {
			o := newOracle(m.Config, params, nil, nil)
			for i, id := range row {
				logits := o.next(id, true)
				if i == len(row)-1 {
					if !math.IsNaN(got.loss[b][i]) {
						t.Errorf("piece %d: the last token has loss %g", piece, got.loss[b][i])
					}
					continue
				}
				sum := 0.0
				for _, v := range logits {
					sum += math.Exp(v)
				}
				if want := math.Log(sum) - logits[row[i+1]]; !(math.Abs(got.loss[b][i]-want) < 1e-5) {
					t.Fatalf("piece %d, sequence %d, token %d: loss %g, want %g", piece, b, i, got.loss[b][i], want)
				}
			}
		}
	}
}

// TestPaddingLeavesTheStateAlone: a row padded to a length gives what the row alone gives, down to no token at all.
func TestPaddingLeavesTheStateAlone(t *testing.T) {
	m, params, state, window := drawn(t, 10, nil)
	m.DeltaMin = 0.01 // even where a limit would give padding a time step
	row := tokens(20, m.Vocab())
	w := weightsOf(t, m, dtypes.Float64, params)
	for _, n := range []int{0, 1, 2, 3, 8, 19, 20} {
		o := newOracle(m.Config, params, state, window)
		for _, id := range row[:n] {
			o.next(id, false)
		}
		wantState, wantWindow := o.states()
		args := []any{tensors.FromFlatDataAndDimensions(row, 1, len(row)), tensors.FromScalar(int32(n))}
		for i, v := range [][]float64{state, window} {
			args = append(args, tensors.FromFlatDataAndDimensions(v, m.State(1)[i].Dims...))
		}
		for _, infer := range []bool{false, true} {
			got := evaluate(t, devices(t)[0], w, func(p map[string]*Node, in []*Node) []*Node {
				return stateList(m, m.Forward(lm.Call{Params: p, Tokens: in[0], Length: in[1], State: byName(m, in[2:]), Options: lm.Options{Infer: infer}}).State)
			}, args...)
			near(t, fmt.Sprint("state after ", n), got[0], wantState, 1e-11)
			near(t, fmt.Sprint("window after ", n), got[1], wantWindow, 1e-11)
		}
	}
}

// TestDocumentsAcrossPieces: packed documents cut anywhere; in a later piece, segment 0 continues the document of the
// piece before.
func TestDocumentsAcrossPieces(t *testing.T) {
	m, params, _, _ := drawn(t, 11, nil)
	const n = 24
	row := tokens(n, m.Vocab())
	w := weightsOf(t, m, dtypes.Float64, params)
	starts := map[int]bool{0: true, 3: true, 4: true, 11: true, 16: true}
	var want []float64
	var o *oracle
	for i, id := range row {
		if starts[i] {
			o = newOracle(m.Config, params, nil, nil)
		}
		want = append(want, o.next(id, true)...)
	}
	wantState, wantWindow := o.states()
	for _, cuts := range [][]int{{0, 24}, {0, 3, 24}, {0, 4, 24}, {0, 1, 11, 12, 24}, {0, 15, 16, 17, 24}, {0, 10, 24}} {
		args := []any{tensors.FromFlatDataAndDimensions(row, 1, n)}
		for i := 1; i < len(cuts); i++ {
			var segments []int32
			segment := int32(0)
			for at := cuts[i-1]; at < cuts[i]; at++ {
				if starts[at] && at > 0 {
					segment++
				}
				segments = append(segments, segment)
			}
			args = append(args, tensors.FromFlatDataAndDimensions(segments, 1, len(segments)))
		}
		got := evaluate(t, devices(t)[0], w, func(p map[string]*Node, in []*Node) []*Node {
			var logits []*Node
			var state map[string]*Node
			for i := 1; i < len(cuts); i++ {
				c := lm.Call{Params: p, Tokens: SliceAxis(in[0], 1, AxisRange(cuts[i-1], cuts[i])), Segments: in[i], State: state}
				out := m.Forward(c)
				logits, state = append(logits, m.Logits(c, out.Hidden)), out.State
			}
			return append([]*Node{Concatenate(logits, 1)}, stateList(m, state)...)
		}, args...)
		near(t, fmt.Sprint("logits of pieces ", cuts), got[0], want, 1e-11)
		near(t, fmt.Sprint("state of pieces ", cuts), got[1], wantState, 1e-11)
		near(t, fmt.Sprint("window of pieces ", cuts), got[2], wantWindow, 1e-11)
	}
}

// TestLongPrefill: 65,536 tokens in float32 beside the definition, at eight places and at the end.
func TestLongPrefill(t *testing.T) {
	const n, places = 65536, 8
	m, params, _, _ := drawn(t, 12, nil)
	row := make([]int32, n)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range row {
		row[i] = int32(r.IntN(m.Vocab()))
	}
	o := newOracle(m.Config, params, nil, nil)
	want := map[int][]float64{}
	for i, id := range row {
		sampled := (i+1)%(n/places) == 0
		if logits := o.next(id, sampled); sampled {
			want[i] = logits
		}
	}
	state, window := o.states()
	for _, dev := range devices(t)[len(devices(t))-1:] { // the faster
		runner := lm.NewRunner(dev, weightsOf(t, m, dtypes.Float32, params))
		runner.Piece, runner.Options.Chunk = 4096, 64
		seen := 0
		last, err := runner.Run(context.Background(), [][]int32{row}, nil, lm.Request{Logits: true}, func(p lm.Piece) error {
			for i, logits := range want {
				if i >= p.Start && i < p.Start+p.Tokens {
					var got []float64
					for _, v := range p.Logits[(i-p.Start)*m.Vocab():][:m.Vocab()] {
						got = append(got, float64(v))
					}
					near(t, fmt.Sprint(dev.Kind, " logits at ", i), got, logits, 1e-4)
					seen++
				}
			}
			return nil
		})
		if err != nil || seen != places {
			t.Fatalf("%d places seen, %v", seen, err)
		}
		near(t, dev.Kind+" state", floats(last["state"]), state, 1e-4)
		near(t, dev.Kind+" window", floats(last["conv_state"]), window, 1e-4)
	}
}

func TestRunnerNamesWhatIsWrong(t *testing.T) {
	m, params, _, _ := drawn(t, 13, nil)
	dev := devices(t)[0]
	w := weightsOf(t, m, dtypes.Float32, params, params)
	good := func() *lm.Runner { return lm.NewRunner(dev, w) }
	row := tokens(4, m.Vocab())
	for _, c := range []struct {
		want  string
		rows  [][]int32
		state lm.State
		piece int
	}{
		{"no sequence", nil, nil, 1}, {"sequence 1 has 3 tokens", [][]int32{row, row[:3]}, nil, 1},
		{"id 32 at sequence 1, position 2", [][]int32{row, {0, 1, 32, 3}}, nil, 1}, {"id -1", [][]int32{{-1, 0}, {0, 0}}, nil, 1},
		{"3 sequences, must be a multiple of the 2 members", [][]int32{row, row, row}, nil, 1}, {"piece: 0 tokens", [][]int32{row, row}, nil, 0},
		{"state: 1 tensors, the model has 2", [][]int32{row, row}, lm.State{"state": lm.ZeroState(m, 2, dtypes.Float32)["state"]}, 1},
		{"state has shape", [][]int32{row, row}, lm.ZeroState(m, 4, dtypes.Float32), 1},
	} {
		r := good()
		r.Piece = c.piece
		if _, err := r.Run(context.Background(), c.rows, c.state, lm.Request{}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
	canceled, stop := context.WithCancel(context.Background())
	stop()
	if _, err := good().Run(canceled, [][]int32{row, row}, nil, lm.Request{}, nil); err != context.Canceled {
		t.Errorf("canceled: %v", err)
	}
}
