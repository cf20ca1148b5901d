package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// damaged says that a file that came whole has the wrong bytes.
type damaged struct{ text string }

func (d *damaged) Error() string { return d.text }

// download fetches a file to blob by way of blob.incomplete, which it continues where there is one. progress is told the bytes that
// the file has so far.
func (c *Client) download(ctx context.Context, name Name, commit string, want File, blob string, progress func(int64)) error {
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(blob+".incomplete", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	resumed := size > 0
	for {
		if err := c.complete(ctx, name, commit, want, f, progress); err != nil {
			return err
		}
		err := check(f, want)
		var bad *damaged
		if errors.As(err, &bad) {
			if truncErr := f.Truncate(0); truncErr != nil {
				return truncErr
			}
			if resumed { // by a former process: what it left may have been damaged
				resumed = false
				continue
			}
			return fmt.Errorf("%s %s: %w; it was thrown away: try again, and if that repeats, distrust the proxy or HF_ENDPOINT", name, want.Path, err)
		}
		if err != nil {
			return err
		}
		break
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), blob)
}

// worthwhile is how many bytes a broken connection must have brought for its try not to count.
const worthwhile = 1 << 16

// complete appends to f until it has the size that the hub states, through broken connections.
func (c *Client) complete(ctx context.Context, name Name, commit string, want File, f *os.File, progress func(int64)) error {
	for try := 1; ; try++ {
		before, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		if want.Size >= 0 && before > want.Size {
			if err := f.Truncate(0); err != nil {
				return err
			}
			before = 0
		}
		if before == want.Size {
			return nil
		}
		err = c.transfer(ctx, name, commit, want, f, before, progress)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		yes, wait := again(err)
		var broken *brokenOff
		if errors.As(err, &broken) {
			yes = true
			if broken.got > before+worthwhile {
				try = 1
			}
		}
		if !yes || try == tries {
			return err
		}
		if err := c.sleep(ctx, try, wait); err != nil {
			return err
		}
	}
}

// brokenOff is a transfer that ended before the file did.
type brokenOff struct {
	name      string
	got, want int64
	cause     error
}

func (b *brokenOff) Error() string {
	whole := ""
	if b.want >= 0 {
		whole = fmt.Sprintf(" of %d", b.want)
	}
	return fmt.Sprintf("%s: the download stopped after %d%s bytes (%v): run again to continue from there", b.name, b.got, whole, b.cause)
}

func (b *brokenOff) Unwrap() error { return b.cause }

// transfer makes one request for the bytes from before on.
func (c *Client) transfer(ctx context.Context, name Name, commit string, want File, f *os.File, before int64, progress func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a, err := c.send(ctx, http.MethodGet, c.address(name, commit, want.Path), name, want.Path, before)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusRequestedRangeNotSatisfiable {
		if err := f.Truncate(0); err != nil {
			return err
		}
		return &brokenOff{name.String() + " " + want.Path, 0, want.Size, err}
	}
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if before > 0 && (a.StatusCode != http.StatusPartialContent || !strings.HasPrefix(a.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", before))) {
		if a.StatusCode == http.StatusPartialContent {
			return fmt.Errorf("%s %s: asked for the bytes from %d on, the hub sends %q", name, want.Path, before, a.Header.Get("Content-Range"))
		}
		before = 0 // the server starts over
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := f.Seek(before, io.SeekStart); err != nil {
		return err
	}
	stall := c.stall
	if stall == 0 {
		stall = time.Minute
	}
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no byte came for %v", stall)) })
	defer timer.Stop()
	got := before
	buffer := make([]byte, 1<<18)
	for {
		n, readErr := a.Body.Read(buffer)
		if n > 0 {
			timer.Reset(stall)
			if want.Size >= 0 && got+int64(n) > want.Size {
				return fmt.Errorf("%s %s: more than the %d bytes come that the hub states", name, want.Path, want.Size)
			}
			if _, err := f.Write(buffer[:n]); err != nil {
				return err
			}
			got += int64(n)
			progress(got)
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			if cause := context.Cause(ctx); cause != nil {
				readErr = cause
			}
			return &brokenOff{name.String() + " " + want.Path, got, want.Size, readErr}
		}
	}
	if want.Size >= 0 && got != want.Size {
		return &brokenOff{name.String() + " " + want.Path, got, want.Size, io.ErrUnexpectedEOF}
	}
	return nil
}

// check compares a whole file with the size and the hash that the hub states.
func check(f *os.File, want File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if want.Size >= 0 && size != want.Size {
		return &damaged{fmt.Sprintf("has %d bytes, the hub states %d", size, want.Size)}
	}
	var h hash.Hash
	stated := want.SHA256
	switch {
	case want.SHA256 != "":
		h = sha256.New()
	case want.Git != "":
		h, stated = sha1.New(), want.Git
		fmt.Fprintf(h, "blob %d\x00", size)
	default:
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != stated {
		return &damaged{fmt.Sprintf("is damaged: its hash is %s, the hub states %s", sum, stated)}
	}
	return nil
}
