package hub

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Fetch puts a part of a model into the cache, where it is not there already, and returns the folder of its snapshot, or the path of
// the file where the name has one. Without a network, or with Offline, it is what the cache has of that revision, if that is whole.
func (c *Client) Fetch(ctx context.Context, name Name, part Part) (path string, err error) {
	if c.Offline {
		return c.fromCache(name, part)
	}
	list, err := c.List(ctx, name)
	if err != nil {
		return c.orCache(name, part, err)
	}
	if err := c.fetch(ctx, name, part, list); err != nil {
		return "", err
	}
	return c.result(name, list.Commit), nil
}

func (c *Client) result(name Name, commit string) string {
	return filepath.Join(c.snapshot(name.Repo, commit), filepath.FromSlash(name.File))
}

// orCache uses what the cache has where the hub cannot be reached or has a fault.
func (c *Client) orCache(name Name, part Part, failure error) (string, error) {
	var lost *unreachable
	var refused *Error
	if !errors.As(failure, &lost) && !(errors.As(failure, &refused) && refused.Status >= 500) {
		return "", failure
	}
	path, err := c.fromCache(name, part)
	if err != nil {
		return "", fmt.Errorf("%s is not in the cache, and %w", name, failure)
	}
	c.note(fmt.Sprintf("%s: %v; the cache's copy is used", name, failure))
	return path, nil
}

// Cached is the folder or file of a name whose parts are all in the cache already.
func (c *Client) Cached(name Name) (path string, ok bool) {
	path, err := c.fromCache(name, Whole)
	return path, err == nil
}

func (c *Client) fromCache(name Name, part Part) (string, error) {
	commit, files := c.cached(name)
	if commit == "" {
		return "", c.absent(name)
	}
	chosen := small(part, name, files)
	if part == Whole {
		more, err := weights(name, files, func(f string) ([]byte, error) { return readIndex(filepath.Join(c.snapshot(name.Repo, commit), f)) })
		if err != nil {
			return "", fmt.Errorf("the cache's copy is not whole: %w; %w", err, c.absent(name))
		}
		chosen = append(chosen, more...)
	}
	if len(chosen) == 0 {
		return "", c.absent(name)
	}
	return c.result(name, commit), nil
}

// fetch takes small files first: where the weights are, the others are too.
func (c *Client) fetch(ctx context.Context, name Name, part Part, list *Listing) error {
	files := list.paths()
	chosen := small(part, name, files)
	if len(chosen) == 0 && part != Whole {
		return fmt.Errorf("%s: the model has no %s", name, map[Part]string{Config: "config.json", Tokenizer: "tokenizer"}[part])
	}
	if err := c.files(ctx, name, list, chosen); err != nil {
		return err
	}
	if part == Whole {
		chosen, err := weights(name, files, func(f string) ([]byte, error) {
			return readIndex(filepath.Join(c.snapshot(name.Repo, list.Commit), f))
		})
		if err != nil {
			return err
		}
		if err := c.files(ctx, name, list, chosen); err != nil {
			return err
		}
	}
	return c.remember(name, list.Commit)
}

func (c *Client) files(ctx context.Context, name Name, list *Listing, chosen []string) error {
	total, wanted := int64(0), []File{}
	for _, path := range chosen {
		f, ok := list.find(path)
		if !ok {
			return fmt.Errorf("%s: the model has no file %s", name, path)
		}
		wanted = append(wanted, f)
		total += max(f.Size, 0)
	}
	if slices.ContainsFunc(wanted, func(f File) bool { return f.Size < 0 }) {
		total = 0
	}
	var meter Meter
	if c.Progress != nil && len(wanted) > 0 {
		meter = c.Progress("fetching "+name.String(), total)
		defer meter.Done()
	}
	before := int64(0)
	for _, f := range wanted {
		size := int64(0)
		_, err := c.file(ctx, name, list.Commit, f, func(done int64) {
			if size = done; meter != nil {
				meter.Set(before + done)
			}
		})
		if err != nil {
			return err
		}
		before += size
	}
	return nil
}

func (c *Client) note(text string) {
	if c.Note != nil {
		c.Note(text)
	}
}
