package datasets

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// batchers are all kinds over one corpus, shape 3 × 16.
func batchers(t *Tokens, seed int64) map[string]Batcher {
	return map[string]Batcher{
		"windows": must(NewWindows(t, 3, 16, seed)),
		"packed":  must(NewPacked(t, 3, 16, seed)),
		"lanes":   must(NewLanes(t, 3, 16, seed, false)),
		"across":  must(NewLanes(t, 3, 16, seed, true)),
		"recall":  RecallBatches{RecallStream{40, 10, 8, seed}, 3, 16, 4},
	}
}

func TestBatchesAreFunctionsOfTheStep(t *testing.T) {
	tokens := tokensOf(100, 10, 57, 200, 16, 1)
	for name, b := range batchers(tokens, 1) {
		var forward []Batch
		for step := range int64(40) {
			forward = append(forward, must(b.Batch(step)))
		}
		fresh := batchers(tokens, 1)[name]
		var wait sync.WaitGroup
		for step := int64(39); step >= 0; step-- {
			wait.Go(func() {
				if got := must(fresh.Batch(step)); fmt.Sprint(got) != fmt.Sprint(forward[step]) {
					t.Errorf("%s: step %d depends on what was asked for before", name, step)
				}
			})
		}
		wait.Wait()
		if other := must(batchers(tokens, 2)[name].Batch(3)); slices.Equal(other.Inputs, forward[3].Inputs) {
			t.Errorf("%s: the seed changes nothing", name)
		}
		for step, batch := range forward {
			if len(batch.Inputs) != 48 || len(batch.Targets) != 48 || len(batch.Reset) != 3 {
				t.Fatal(name, "shape")
			}
			for r := range 3 {
				if !slices.Equal(batch.Inputs[r*16+1:(r+1)*16], batch.Targets[r*16:(r+1)*16-1]) {
					t.Fatalf("%s: step %d row %d: targets are not the next inputs", name, step, r)
				}
			}
			for _, id := range batch.Targets {
				if id < 0 || int(id) >= b.Vocab() {
					t.Fatal(name, "id", id)
				}
			}
		}
		if _, err := b.Batch(-1); err == nil {
			t.Error(name, "step -1")
		}
	}
}

// documentOf finds the one document that a run of tokens is cut from.
func documentOf(tokens *Tokens, run []int32) (document, at int) {
	for d := range tokens.Origins {
		ids := tokens.Document(d)
		for i := 0; i+len(run) <= len(ids); i++ {
			same := true
			for j, v := range run {
				if int32(ids[i+j]) != v {
					same = false
					break
				}
			}
			if same {
				return d, i
			}
		}
	}
	return -1, 0
}

func TestWindowsComeFromSingleDocuments(t *testing.T) {
	tokens := tokensOf(30, 5, 16, 15, 60) // with EOS: 31, 6, 17, 16 and 61 tokens, so 15, 0, 1, 0 and 45 places
	w := must(NewWindows(tokens, 8, 16, 3))
	counts := map[[2]int]float64{}
	const steps = 2000
	for step := range int64(steps) {
		b := must(w.Batch(step))
		for r := range 8 {
			at := w.place(step*8 + int64(r))
			run := append(slices.Clone(b.Inputs[r*16:(r+1)*16]), b.Targets[r*16+15])
			d := find(tokens.CuSeqlens, at)
			if at+17 > tokens.CuSeqlens[d+1] {
				t.Fatal("a window crosses the end of its document")
			}
			if int32(tokens.IDs[at]) != run[0] || int32(tokens.IDs[at+16]) != run[16] {
				t.Fatal("a window is not where its place says")
			}
			counts[[2]int{d, int(at - tokens.CuSeqlens[d])}]++
		}
	}
	if len(counts) != 61 {
		t.Fatalf("%d places, want 61", len(counts))
	}
	chi, expected := 0.0, 8.0*steps/61
	for _, c := range counts {
		chi += (c - expected) * (c - expected) / expected
	}
	if chi > 99.6 { // χ²(60), p 0.001
		t.Errorf("places are not equally likely: χ² = %.1f", chi)
	}
	if w.Tokens() != 31+17+61 {
		t.Error(w.Tokens())
	}
}

func TestPackedReadsEveryTokenOnce(t *testing.T) {
	tokens := tokensOf(30, 5, 16, 15, 61) // 132 tokens: 8 rows of 16 and a rest
	p := must(NewPacked(tokens, 4, 16, 3))
	for epoch := range int64(2) {
		var stream []int32
		ends := 0
		for step := 2 * epoch; step < 2*epoch+2; step++ {
			b := must(p.Batch(step))
			stream = append(stream, b.Inputs...)
			if b.CuSeqlens[0] != 0 || b.CuSeqlens[len(b.CuSeqlens)-1] != 64 || !slices.IsSorted(b.CuSeqlens) {
				t.Fatal(b.CuSeqlens)
			}
			for i, id := range b.Inputs {
				boundary := slices.Contains(b.CuSeqlens, int32(i))
				if after := i%16 == 0 || b.Inputs[i-1] == 256; boundary != after {
					t.Fatalf("position %d: boundary %v", i, boundary)
				}
				if b.Mask[i] == (id == 256) {
					t.Fatal("the target after EOS is of another document")
				}
				if id == 256 {
					ends++
				}
			}
		}
		if len(stream) != 128 || ends < 4 {
			t.Fatal(len(stream), ends)
		}
		counts := map[int32]int{}
		for _, id := range tokens.IDs {
			counts[int32(id)]++
		}
		for _, id := range stream {
			if counts[id]--; counts[id] < 0 {
				t.Fatal("a token is read twice in an epoch")
			}
		}
	}
}

func TestLanesContinue(t *testing.T) {
	tokens := tokensOf(100, 10, 57, 200, 16, 1)
	l := must(NewLanes(tokens, 3, 16, 7, false))
	if want := int64((6 + 3 + 12 + 1) / 3); l.Steps() != want {
		t.Fatal(l.Steps(), want)
	}
	resets := 0
	for step := int64(1); step < 2*l.Steps(); step++ {
		before, now := must(l.Batch(step-1)), must(l.Batch(step))
		for r := range 3 {
			if now.Reset[r] {
				resets++
				if step%l.Steps() == 0 {
					continue
				}
				run := append(slices.Clone(now.Inputs[r*16:(r+1)*16]), now.Targets[r*16+15])
				if _, at := documentOf(tokens, run); at != 0 {
					t.Fatal("a reset in the middle of a document")
				}
			} else if before.Targets[r*16+15] != now.Inputs[r*16] {
				t.Fatalf("lane %d, step %d: does not go on", r, step)
			}
		}
		if now.CuSeqlens != nil || now.Mask != nil {
			t.Fatal("a segment of one document needs no boundaries")
		}
	}
	if resets < 4 {
		t.Error(resets, "resets")
	}
}

func TestLanesAcrossDocuments(t *testing.T) {
	tokens := tokensOf(100, 10, 57, 200, 31, 1, 63)
	a := must(NewLanes(tokens, 2, 16, 7, true))
	starts, fresh := 0, 0
	for step := int64(0); step < a.Steps(); step++ {
		b := must(a.Batch(step))
		at := b.Starts()
		for r := range 2 {
			last := int32(256) // what stands before the row
			if step > 0 {
				before := must(a.Batch(step - 1))
				if before.Targets[r*16+15] != b.Inputs[r*16] {
					t.Fatal("does not go on")
				}
				last = before.Inputs[r*16+15]
			}
			for i := range 16 {
				if at[r*16+i] != (last == 256) {
					t.Fatalf("step %d lane %d place %d: start %v after token %d", step, r, i, at[r*16+i], last)
				}
				if last == 256 {
					starts++
					if i == 0 && step > 0 {
						fresh++
					}
				}
				last = b.Inputs[r*16+i]
			}
		}
	}
	if starts < 7 || starts > 8 {
		t.Errorf("%d starts for 7 documents, of which one may be cut by the lanes", starts)
	}
	if fresh == 0 {
		t.Error("the case of a document that begins with a row did not occur: choose another seed")
	}
}

func TestBatchErrors(t *testing.T) {
	short := tokensOf(10, 12)
	for want, err := range map[string]error{
		"documents shorter than T_train only: train_length is 13 and the longest document is 13 tokens; choose train_length ≤ 12": second(NewWindows(short, 1, 13, 0)),
		"documents shorter than T_train only: train_length is 20":                                                                 second(NewLanes(short, 1, 20, 0, false)),
		"corpus is empty": second(NewWindows(&Tokens{}, 1, 1, 0)),
		"0 rows":          second(NewPacked(short, 0, 5, 0)),
		"the corpus has 24 tokens; choose train_length ≤ 23": second(NewPacked(short, 1, 24, 0)),
		"only 2 segments":           second(NewLanes(short, 3, 10, 0, false)),
		"gap is 0":                  second(RecallBatches{RecallStream{10, 10, 0, 0}, 1, 1, 1}.Batch(0)),
		"rows and tokens must be 1": second(RecallBatches{RecallStream{10, 10, 1, 0}, 0, 1, 1}.Batch(0)),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nwant %q", err, want)
		}
	}
	if b := must(must(NewWindows(short, 1, 12, 0)).Batch(0)); b.Targets[11] != 256 {
		t.Error("a window may be a whole document with its EOS")
	}
}

func second[T any](_ T, err error) error { return err }

func ExampleNewWindows() {
	tokens := tokensOf(100, 200)
	w, err := NewWindows(tokens, 2, 8, 1)
	if err != nil {
		panic(err)
	}
	b, err := w.Batch(1000)
	if err != nil {
		panic(err)
	}
	fmt.Println(b.B, b.T, len(b.Inputs), b.Inputs[1] == b.Targets[0])
	// Output: 2 8 16 true
}
