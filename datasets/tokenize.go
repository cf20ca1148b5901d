package datasets

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
)

// Tokenize filters and tokenises a corpus in memory. Prepare does the same through a cache.
func Tokenize(c *Corpus, f Filter, enc Encoder) (*Tokens, error) {
	t := newTokens(enc)
	err := (&tokenizing{corpus: c, filter: f, enc: enc, tokens: t, put: func(ids []uint16) error {
		t.IDs = append(t.IDs, ids...)
		return nil
	}}).run()
	if err != nil {
		return nil, err
	}
	t.IDs = slices.Clip(t.IDs)
	return t, nil
}

func newTokens(enc Encoder) *Tokens {
	return &Tokens{Tokenizer: enc.Name(), Vocab: enc.Vocab(), EOS: enc.EOS(), CuSeqlens: []int64{0}}
}

// tokenizing fills everything of tokens but IDs, which it passes to put in runs. Documents are encoded in parallel and arrive in
// order; at most inFlight bytes of text, or one document, are in flight, so memory grows only with what is recorded per document.
type tokenizing struct {
	corpus *Corpus
	filter Filter
	enc    Encoder
	tokens *Tokens // result of earlier work when a build is resumed
	place  int     // number of documents read before
	put    func([]uint16) error
	after  func(place int) error // called after every document, may be nil
}

// inFlight limits the text being encoded, in bytes.
const inFlight = 4 << 20

// passage is a document being encoded.
type passage struct {
	Document
	place   int
	other   bool // of a split, domain or shard that was not asked for
	copied  *Copy
	ids     []uint16
	short   bool
	err     error
	encoded chan struct{}
}

func (k *tokenizing) run() error {
	if k.enc.Vocab() > math.MaxUint16+1 {
		return fmt.Errorf("tokenizer %s: %d ids do not fit into 16 bits (at most 65536)", k.enc.Name(), k.enc.Vocab())
	}
	drop, err := copies(k.corpus.forSplits(k.filter), k.filter)
	if err != nil {
		return err
	}
	if err := k.stream(drop); err != nil {
		return err
	}
	if r := &k.tokens.Report; r.Kept == 0 {
		return fmt.Errorf("corpus %s is empty after filtering: %s; ask for other splits or domains or a smaller min_tokens", k.corpus.Name, r)
	}
	return nil
}

// stream reads in one goroutine, encodes in several, and collects in order in this one.
func (k *tokenizing) stream(drop map[int]Copy) error {
	workers := runtime.GOMAXPROCS(0)
	work, queue := make(chan *passage), make(chan *passage, 4*workers)
	room := newRoom(inFlight)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for p := range work {
				k.encode(p)
				close(p.encoded)
			}
		})
	}
	var readErr error
	all.Go(func() {
		defer close(queue)
		defer close(work)
		readErr = k.read(drop, room, work, queue)
	})
	err := k.take(room, queue)
	if err != nil {
		room.end()
		for range queue { // lets the reader notice
		}
	}
	all.Wait()
	if errors.Is(readErr, errEnded) {
		readErr = nil
	}
	return errors.Join(err, readErr)
}

func (k *tokenizing) read(drop map[int]Copy, room *room, work, queue chan<- *passage) error {
	place := -1
	return k.corpus.forSplits(k.filter).Each(func(d Document) error {
		if place++; place < k.place {
			return nil
		}
		p := &passage{Document: d, place: place, encoded: make(chan struct{})}
		if p.other = !k.filter.wants(&d) || !k.filter.mine(place); !p.other {
			if copied, ok := drop[place]; ok {
				p.copied = &copied
			}
		}
		if !room.take(len(d.Text)) {
			return errEnded
		}
		queue <- p
		if p.other || p.copied != nil {
			close(p.encoded)
		} else {
			work <- p
		}
		return nil
	})
}

func (k *tokenizing) encode(p *passage) {
	ids, err := k.enc.Encode(p.Text)
	if err != nil {
		p.err = fmt.Errorf("document %s: %w", p.ID, err)
		return
	}
	if p.short = len(ids) < max(k.filter.MinTokens, 1); p.short {
		return
	}
	ids = document(k.enc, ids)
	p.ids = make([]uint16, len(ids))
	for i, id := range ids {
		if id < 0 || id >= k.enc.Vocab() {
			p.err = fmt.Errorf("document %s: tokenizer %s gave id %d, allowed is 0 to %d", p.ID, k.enc.Name(), id, k.enc.Vocab()-1)
			return
		}
		p.ids[i] = uint16(id)
	}
}

func (k *tokenizing) take(room *room, queue <-chan *passage) error {
	t, r := k.tokens, &k.tokens.Report
	for p := range queue {
		<-p.encoded
		room.give(len(p.Text))
		r.Read++
		switch {
		case p.other:
			r.OtherSplit++
		case p.copied != nil:
			r.Copies = append(r.Copies, *p.copied)
			if p.copied.Exact {
				r.ExactCopies++
			} else {
				r.NearCopies++
			}
		case p.err != nil:
			return p.err
		case p.short:
			r.Short++
		default:
			r.Kept++
			r.Bytes += int64(len(p.Text))
			r.Tokens += int64(len(p.ids))
			t.CuSeqlens = append(t.CuSeqlens, r.Tokens)
			t.Origins = append(t.Origins, Origin{p.ID, p.Domain, p.Split, p.Source, p.Title, p.Licence, int64(len(p.Text))})
			if err := k.put(p.ids); err != nil {
				return err
			}
		}
		if k.after != nil {
			if err := k.after(p.place + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

var errEnded = errors.New("tokenising has ended")

// room is a number of bytes shared by passages; one larger than all of it goes alone.
type room struct {
	mutex      sync.Mutex
	changed    *sync.Cond
	used, most int
	ended      bool
}

func newRoom(most int) *room {
	r := &room{most: most}
	r.changed = sync.NewCond(&r.mutex)
	return r
}

// take waits for room; false means that the work was ended first.
func (r *room) take(n int) bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for !r.ended && r.used > 0 && r.used+n > r.most {
		r.changed.Wait()
	}
	r.used += n
	return !r.ended
}

func (r *room) give(n int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.used -= n
	r.changed.Broadcast()
}

func (r *room) end() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.ended = true
	r.changed.Broadcast()
}
