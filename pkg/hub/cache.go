package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"stuffed/pkg/atomic"
)

// Folder is that of a model in the cache, whether it is there or not.
func (c *Client) Folder(repo string) string {
	return filepath.Join(c.Cache, "models--"+strings.ReplaceAll(repo, "/", "--"))
}

// Label names a model's folder in tables and manifests, without where it lies: OWNER/MODEL@COMMIT for a snapshot in a cache, else the
// folder's own name.
func Label(folder string) string {
	snapshots, commit := filepath.Split(filepath.Clean(folder))
	repo := filepath.Dir(filepath.Clean(snapshots))
	if owner, ok := strings.CutPrefix(filepath.Base(repo), "models--"); ok && commitForm.MatchString(commit) {
		return strings.ReplaceAll(owner, "--", "/") + "@" + commit
	}
	return commit
}

func (c *Client) snapshot(repo, commit string) string {
	return filepath.Join(c.Folder(repo), "snapshots", commit)
}

func (c *Client) reference(name Name) string {
	return filepath.Join(c.Folder(name.Repo), "refs", filepath.FromSlash(name.Revision))
}

// remember writes which commit a branch or tag is, as Python does.
func (c *Client) remember(name Name, commit string) error {
	if name.Revision == commit {
		return nil
	}
	path := c.reference(name)
	if old, err := os.ReadFile(path); err == nil && string(old) == commit {
		return nil
	}
	return atomic.Bytes(path, []byte(commit))
}

// cached finds the commit of a name in the cache and the files there, nil where there are none.
func (c *Client) cached(name Name) (commit string, files []string) {
	commit = name.Revision
	if text, err := os.ReadFile(c.reference(name)); err == nil {
		commit = strings.TrimSpace(string(text))
	}
	if !commitForm.MatchString(commit) {
		return "", nil
	}
	root := c.snapshot(name.Repo, commit)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, err := os.Stat(path); err != nil { // a link whose blob is gone
			return nil
		}
		relative, err := filepath.Rel(root, path)
		files = append(files, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return "", nil
	}
	return commit, files
}

// file puts a file of a commit into the cache where it is not there yet, whole, and returns its path in the snapshot.
func (c *Client) file(ctx context.Context, name Name, commit string, f File, progress func(int64)) (string, error) {
	path := filepath.Join(c.snapshot(name.Repo, commit), filepath.FromSlash(f.Path))
	if info, err := os.Stat(path); err == nil && (f.Size < 0 || info.Size() == f.Size) {
		progress(info.Size())
		return path, nil
	}
	etag, f, err := c.described(ctx, name, commit, f)
	if err != nil {
		return "", err
	}
	unlock, err := c.lock(ctx, name, etag)
	if err != nil {
		return "", err
	}
	defer unlock()
	blob := filepath.Join(c.Folder(name.Repo), "blobs", etag)
	if info, err := os.Stat(blob); err != nil || f.Size >= 0 && info.Size() != f.Size {
		if err := c.download(ctx, name, commit, f, blob, progress); err != nil {
			return "", err
		}
	}
	if info, err := os.Stat(blob); err == nil {
		progress(info.Size())
	}
	return path, link(blob, path)
}

// link makes path a relative link to the blob, or moves the blob there on a system without links.
func link(blob, path string) error {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	to, err := filepath.Rel(folder, blob)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(path); err == nil && old == to {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(to, path); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(blob, path)
}

// Verify hashes every cached file of a name's snapshot whose blob is named by its SHA-256, and names those that differ.
func (c *Client) Verify(name Name) (checked int, err error) {
	commit, files := c.cached(name)
	if commit == "" {
		return 0, c.absent(name)
	}
	var wrong []error
	for _, f := range files {
		path := filepath.Join(c.snapshot(name.Repo, commit), filepath.FromSlash(f))
		blob, err := filepath.EvalSymlinks(path)
		if err != nil {
			return checked, err
		}
		want := filepath.Base(blob)
		if !hashForm.MatchString(want) {
			continue
		}
		checked++
		sum, _, err := atomic.Hash(blob)
		if err != nil {
			return checked, err
		}
		if sum != want {
			wrong = append(wrong, fmt.Errorf("%s %s: damaged in the cache: its SHA-256 is %s, want %s; remove %s and fetch again", name, f, sum, want, blob))
		}
	}
	return checked, errors.Join(wrong...)
}

func (c *Client) absent(name Name) error {
	where := "set"
	if !c.Offline {
		where = "not set"
	}
	return fmt.Errorf("%s is not in the cache %s (HF_HUB_OFFLINE is %s): fetch it where there is a network, with stuffed fetch %s", name, c.Cache, where, name)
}
