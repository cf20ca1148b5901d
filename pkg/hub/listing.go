package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// File is a file of a model on the hub.
type File struct {
	Path   string
	Size   int64  // −1 where the hub does not say
	SHA256 string // of a large file; else empty
	Git    string // SHA-1 as Git names a small file; else empty
}

// Listing is what a revision of a model holds.
type Listing struct {
	Commit  string
	Licence string // as the model's card says; may be empty
	Gated   bool
	Files   []File
}

var commitForm = regexp.MustCompile(`^[0-9a-f]{40}$`)
var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// List asks the hub for the commit and the files of a name's revision.
func (c *Client) List(ctx context.Context, name Name) (*Listing, error) {
	address := c.Endpoint + "/api/models/" + name.Repo + "/revision/" + url.PathEscape(name.Revision) + "?blobs=true"
	a, err := c.ask(ctx, http.MethodGet, address, name, "")
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	var answer struct {
		SHA      string          `json:"sha"`
		Gated    json.RawMessage `json:"gated"`
		CardData struct {
			License any `json:"license"`
		} `json:"cardData"`
		Siblings []struct {
			Name string `json:"rfilename"`
			Size *int64 `json:"size"`
			Blob string `json:"blobId"`
			LFS  *struct {
				SHA256 string `json:"sha256"`
				Size   int64  `json:"size"`
			} `json:"lfs"`
		} `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(a.Body, 64<<20)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("%s: the hub's list of files cannot be read (%w): is HF_ENDPOINT a hub?", name, err)
	}
	if !commitForm.MatchString(answer.SHA) {
		return nil, fmt.Errorf("%s: the hub names the commit %.60q, want 40 hexadecimal digits", name, answer.SHA)
	}
	l := &Listing{Commit: answer.SHA, Gated: len(answer.Gated) > 0 && string(answer.Gated) != "false" && string(answer.Gated) != "null"}
	l.Licence, _ = answer.CardData.License.(string)
	for _, s := range answer.Siblings {
		if !filepath.IsLocal(s.Name) || strings.ContainsAny(s.Name, "\\\x00") {
			return nil, fmt.Errorf("%s: the hub lists a file %.60q, whose name leads out of the model's folder", name, s.Name)
		}
		f := File{Path: s.Name, Size: -1}
		if s.Size != nil && *s.Size >= 0 {
			f.Size = *s.Size
		}
		if s.LFS != nil && hashForm.MatchString(s.LFS.SHA256) {
			f.SHA256 = s.LFS.SHA256
			if s.LFS.Size > 0 {
				f.Size = s.LFS.Size
			}
		} else if s.LFS == nil && commitForm.MatchString(s.Blob) {
			f.Git = s.Blob
		}
		l.Files = append(l.Files, f)
	}
	return l, nil
}

func (l *Listing) find(path string) (File, bool) {
	for _, f := range l.Files {
		if f.Path == path {
			return f, true
		}
	}
	return File{}, false
}

func (l *Listing) paths() (paths []string) {
	for _, f := range l.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// described is a file as the cache names it: the listing's hash where it has one, else what the hub answers to HEAD.
func (c *Client) described(ctx context.Context, name Name, commit string, f File) (etag string, _ File, err error) {
	switch {
	case f.SHA256 != "" && f.Size >= 0:
		return f.SHA256, f, nil
	case f.Git != "" && f.Size >= 0:
		return f.Git, f, nil
	}
	a, err := c.ask(ctx, http.MethodHead, c.address(name, commit, f.Path), name, f.Path)
	if err != nil {
		return "", f, err
	}
	a.Body.Close()
	etag, size := a.Header.Get("X-Linked-Etag"), a.Header.Get("X-Linked-Size")
	if etag == "" {
		etag = a.Header.Get("ETag")
	}
	if size == "" && a.StatusCode < 300 {
		size = a.Header.Get("Content-Length")
	}
	etag = strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
	if !etagForm.MatchString(etag) {
		return "", f, fmt.Errorf("%s %s: the hub answers with ETag %.80q, which names no file of the cache: is HF_ENDPOINT a hub?", name, f.Path, etag)
	}
	if n, err := strconv.ParseInt(size, 10, 64); err == nil && n >= 0 {
		f.Size = n
	}
	if hashForm.MatchString(etag) {
		f.SHA256 = etag
	}
	return etag, f, nil
}

var etagForm = regexp.MustCompile(`^[A-Za-z0-9][\w.-]{7,127}$`)

func (c *Client) address(name Name, commit, path string) string {
	return c.Endpoint + "/" + name.Repo + "/resolve/" + commit + "/" + (&url.URL{Path: path}).EscapedPath()
}
