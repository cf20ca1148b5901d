package train

import (
	"testing"

	"stuffed/datasets"
)

// A block holds, for every step, micro-batch and member, the rows of the member's batches in order.
func TestBlocksHoldTheBatches(t *testing.T) {
	c := tiny(t, "policy=zero,carried,passed", "seeds=1,2", "lr=0.002,0.001", "accumulate=2", "steps=12", "batch_tokens=96")
	c, data, err := Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFeed(c, data, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.block(2, 3)
	if err != nil {
		t.Fatal(err)
	}
	R, rows, T := len(f.members), 3, 16 // rows of a micro-batch
	for s := range 3 {
		for r, member := range f.members {
			stream := datasets.RecallBatches{Stream: c.Data.stream(member.Seed), B: 6, T: T, Chain: 1}
			if member.Policy == "carried" {
				stream.Chain = 3
			}
			want, err := stream.Batch(int64(2 + s))
			if err != nil {
				t.Fatal(err)
			}
			for row := range 6 {
				to := ((s*2+row/rows)*R+r)*rows + row%rows
				for i := range T {
					if b.tokens[to*T+i] != want.Inputs[row*T+i] || b.labels[to*T+i] != want.Targets[row*T+i] {
						t.Fatalf("step %d, %s, row %d, token %d differs", 2+s, member.Name(), row, i)
					}
				}
				keep := float32(1)
				if member.Policy == "zero" || (2+s)%3 == 0 { // chain = 3
					keep = 0
				}
				if b.keep[to] != keep {
					t.Errorf("step %d, %s: keep %g, want %g", 2+s, member.Name(), b.keep[to], keep)
				}
			}
			if got, want := b.rate[s*R+r], float32(member.LR*c.Rate(int64(2+s), 12)); got != want {
				t.Errorf("step %d: rate %g, want %g", 2+s, got, want)
			}
		}
	}
}

// Packed rows say where documents begin, and no loss is taken across them; with keep_across neither holds.
func TestBlocksOfPackedDocuments(t *testing.T) {
	var docs []datasets.Document
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		docs = append(docs, datasets.Document{ID: id, Split: "train", Text: "document " + id + "!"})
	}
	corpus, err := datasets.FromDocuments("test", docs)
	if err != nil {
		t.Fatal(err)
	}
	c := tiny(t, "data.kind=corpus", "data.order=packed", "batch_tokens=32", "data.cache="+t.TempDir())
	data, err := openOn(corpus, c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	f, err := newFeed(c, data, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.block(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ends := 0
	for row := range 2 {
		for i := range 16 {
			at := row*16 + i
			end := b.tokens[at] == 256 // the token of EOS
			if end != (b.labels[at] == -1) {
				t.Errorf("row %d, token %d: id %d, label %d", row, i, b.tokens[at], b.labels[at])
			}
			if i < 15 && (b.starts[at+1] != b.starts[at]) != end {
				t.Errorf("row %d, token %d: segments %d, %d", row, i, b.starts[at], b.starts[at+1])
			}
			if end {
				ends++
			}
		}
	}
	if ends < 2 {
		t.Errorf("%d ends of documents in two rows: the test sees too little", ends)
	}
	c.KeepAcross = true
	if f, err = newFeed(c, data, 0, 0); err != nil {
		t.Fatal(err)
	}
	if b, err = f.block(0, 1); err != nil {
		t.Fatal(err)
	}
	for _, l := range b.labels {
		if l < 0 || b.starts != nil {
			t.Fatal("keep_across must not cut")
		}
	}
}

func TestCorpusTooShort(t *testing.T) {
	corpus, err := datasets.FromDocuments("test", []datasets.Document{{ID: "a", Split: "train", Text: "short"}})
	if err != nil {
		t.Fatal(err)
	}
	c := tiny(t, "data.kind=corpus", "data.cache="+t.TempDir())
	data, err := openOn(corpus, c.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if _, err := newFeed(c, data, 0, 0); err == nil {
		t.Error("documents shorter than T_train were taken")
	}
	if c.Data.MinTokens = 100; true {
		if _, err := openOn(corpus, c.Data); err == nil {
			t.Error("an empty corpus was taken")
		}
	}
}
