package datasets

import (
	"bufio"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stuffed/pkg/atomic"
)

// building writes a token cache: first KEY.part, with KEY.part.index written from time to time to say how far it goes; both are
// renamed at the end.
type building struct {
	corpus   *Corpus
	filter   Filter
	enc      Encoder
	base     string
	part     string // file
	progress []func(Report)

	file  *os.File
	to    *bufio.Writer
	sum   hash.Hash
	saved time.Time
}

// partIndex is KEY.part.index.
type partIndex struct {
	cacheIndex
	Place int    `json:"place"` // documents of the corpus that are finished
	Sum   []byte `json:"sum"`   // state of the hash
}

// saveEvery is the most work that an interruption can cost.
var saveEvery = 10 * time.Second

func (b *building) run() error {
	done, err := b.open()
	if err != nil || done {
		return err
	}
	defer b.file.Close()
	t, place, err := b.restore()
	if err != nil {
		return err
	}
	b.to, b.saved = bufio.NewWriterSize(b.file, 1<<18), time.Now()
	var raw []byte
	k := &tokenizing{corpus: b.corpus, filter: b.filter, enc: b.enc, tokens: t, place: place, put: func(ids []uint16) error {
		raw = raw[:0]
		for _, id := range ids {
			raw = binary.LittleEndian.AppendUint16(raw, id)
		}
		b.sum.Write(raw)
		_, err := b.to.Write(raw)
		return err
	}, after: func(place int) error {
		for _, show := range b.progress {
			show(t.Report)
		}
		if time.Since(b.saved) < saveEvery {
			return nil
		}
		return b.save(t, place)
	}}
	if err := k.run(); err != nil {
		if _, statErr := os.Stat(b.part + ".index"); errors.Is(statErr, fs.ErrNotExist) {
			_ = os.Remove(b.part) // nothing to resume
		}
		return err
	}
	return b.finish(t)
}

// open acquires the right to build; done reports that another process has finished meanwhile.
func (b *building) open() (done bool, err error) {
	for b.part = b.base + ".part"; ; {
		f, err := os.OpenFile(b.part, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return false, fmt.Errorf("token cache: %w", err)
		}
		locked, err := atomic.Lock(f)
		if err != nil {
			return false, errors.Join(fmt.Errorf("token cache: %s: %w", b.part, err), f.Close())
		}
		if !locked { // without locks each process builds for itself, and none resumes
			f.Close()
			b.file, err = os.CreateTemp(filepath.Dir(b.base), filepath.Base(b.base)+".*.part")
			if err == nil {
				b.part = b.file.Name()
				err = b.file.Chmod(0o644)
			}
			return false, err
		}
		mine, err := f.Stat()
		if err != nil {
			return false, errors.Join(err, f.Close())
		}
		if there, err := os.Stat(b.part); err != nil || !os.SameFile(mine, there) { // renamed or removed by the previous holder of the lock
			f.Close()
			if t, err := openCache(b.base); err == nil {
				return true, t.Close()
			}
			continue
		}
		b.file = f
		return false, nil
	}
}

// restore reads how far an interrupted build got.
func (b *building) restore() (t *Tokens, place int, err error) {
	t, b.sum = newTokens(b.enc), sha256.New()
	var index partIndex
	text, err := os.ReadFile(b.part + ".index")
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	size := int64(0)
	if info, statErr := b.file.Stat(); err == nil && statErr == nil && info.Size() >= 2*index.Report.Tokens && len(index.CuSeqlens) > 0 {
		if err = b.sum.(encoding.BinaryUnmarshaler).UnmarshalBinary(index.Sum); err == nil {
			t.CuSeqlens, t.Origins, t.Report, place, size = index.CuSeqlens, index.Origins, index.Report, index.Place, 2*index.Report.Tokens
		} else {
			b.sum = sha256.New()
		}
	}
	if size == 0 {
		_ = os.Remove(b.part + ".index")
	}
	if err := b.file.Truncate(size); err != nil {
		return nil, 0, fmt.Errorf("token cache: %w", err)
	}
	_, err = b.file.Seek(size, io.SeekStart)
	return t, place, err
}

// save flushes the finished part to disk.
func (b *building) save(t *Tokens, place int) error {
	if err := errors.Join(b.to.Flush(), b.file.Sync()); err != nil {
		return fmt.Errorf("token cache: %w", err)
	}
	sum, err := b.sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return err
	}
	body, err := json.Marshal(partIndex{b.index(t), place, sum})
	if err != nil {
		return err
	}
	b.saved = time.Now()
	return atomic.Bytes(b.part+".index", body)
}

func (b *building) index(t *Tokens) cacheIndex {
	return cacheIndex{hex.EncodeToString(b.sum.Sum(nil)), b.enc.Name(), b.enc.Vocab(), b.enc.EOS(), b.corpus.Hash, t.CuSeqlens, t.Origins, t.Report}
}

func (b *building) finish(t *Tokens) error {
	body, err := json.Marshal(b.index(t))
	if err != nil {
		return err
	}
	if err := errors.Join(b.to.Flush(), b.file.Sync()); err != nil {
		return fmt.Errorf("token cache: %w", err)
	}
	_ = os.Remove(b.part + ".index")
	if err := os.Rename(b.part, b.base+".tokens"); err != nil {
		return fmt.Errorf("token cache: %w", err)
	}
	return atomic.Write(b.base+".index", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%x\n%s\n", sha256.Sum256(body), body)
		return err
	})
}
