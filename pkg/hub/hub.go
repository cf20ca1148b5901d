// Package hub takes models by name from the Hugging Face hub into the cache on disk that Python's huggingface_hub uses,
// so that both programs share what either has fetched: blobs/ holds files by hash, snapshots/COMMIT/ links to them by name,
// refs/REVISION holds a commit (layout: huggingface_hub's guide “Understand caching”; protocol: its file_download.py 2.4).
//
// A file counts as fetched once its size and, where the hub states one, its hash are right. An interrupted download resumes where it
// stopped. The token is sent to the endpoint alone, never to where a redirect leads.
package hub

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Client is a way to the hub and a cache.
type Client struct {
	Endpoint string // address of the hub, such as that of a mirror
	Cache    string // folder of the cache
	Token    string // of an account, for gated and private models; may be empty
	Offline  bool   // use the cache alone

	// Progress, if not nil, is told of each download: its label and size in bytes, 0 where the hub does not say.
	Progress func(label string, total int64) Meter
	// Note, if not nil, is told what the user may want to know: a cache used for want of a network, say.
	Note func(text string)

	transport http.RoundTripper
	pause     time.Duration // before the second try of a request; doubled before each further one
	stall     time.Duration // without a byte, after which a transfer counts as broken off
}

// Meter shows how far a download is; that of package notebook is one.
type Meter interface {
	Set(done int64) // bytes so far
	Done()
}

const defaultEndpoint = "https://huggingface.co"

// FromEnvironment is the client that Python's variables describe: HF_ENDPOINT, HF_HUB_CACHE or HF_HOME (else
// ~/.cache/huggingface), HF_TOKEN (else the file that a login left), HF_HUB_OFFLINE.
func FromEnvironment() (*Client, error) {
	c := &Client{Endpoint: strings.TrimRight(first("HF_ENDPOINT"), "/"), Token: first("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
		Offline: isTrue(first("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")), Cache: expand(first("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"))}
	if c.Endpoint == "" {
		c.Endpoint = defaultEndpoint
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("HF_ENDPOINT is %q, must be an address such as %s", c.Endpoint, defaultEndpoint)
	}
	home := expand(first("HF_HOME"))
	if home == "" {
		cache, err := os.UserHomeDir()
		if err != nil && c.Cache == "" {
			return nil, fmt.Errorf("where to keep models is unknown: set HF_HOME to a folder (%w)", err)
		}
		if cache = filepath.Join(cache, ".cache"); os.Getenv("XDG_CACHE_HOME") != "" {
			cache = expand(os.Getenv("XDG_CACHE_HOME"))
		}
		home = filepath.Join(cache, "huggingface")
	}
	if c.Cache == "" {
		c.Cache = filepath.Join(home, "hub")
	}
	if c.Token == "" && !isTrue(first("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		path := expand(first("HF_TOKEN_PATH"))
		if path == "" {
			path = filepath.Join(home, "token")
		}
		if text, err := os.ReadFile(path); err == nil {
			c.Token = string(text)
		}
	}
	c.Token = strings.TrimSpace(c.Token)
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("HF_TOKEN has characters that no token has: copy it again")
	}
	return c, nil
}

// first is the first of the variables that is set.
func first(variables ...string) string {
	for _, v := range variables {
		if value := os.Getenv(v); value != "" {
			return value
		}
	}
	return ""
}

func isTrue(value string) bool {
	switch strings.ToUpper(value) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expand replaces variables and a leading ~ in a path.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		if home, err := os.UserHomeDir(); err == nil {
			return home + rest
		}
	}
	return path
}

// Name is that of a model on the hub: OWNER/MODEL, with @REVISION (a branch, a tag or a commit) and /FILE where they are given.
type Name struct {
	Repo     string // OWNER/MODEL
	Revision string // main where none is given
	File     string // one weight file of several, such as a .pth; else empty
}

var nameForm = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)(?:@([\w][\w./-]*?))?(?:/([\w.-]+\.(?:pth|pt|bin|safetensors)))?$`)

// ParseName reads OWNER/MODEL[@REVISION][/FILE]. ok is false for what cannot be a name on the hub, such as a path that begins with
// a dot or has other folders in it.
func ParseName(text string) (n Name, ok bool) {
	m := nameForm.FindStringSubmatch(text)
	if m == nil || len(text) > 256 || strings.Contains(text, "..") || strings.Contains(text, "--") || strings.HasSuffix(m[1], ".git") {
		return n, false
	}
	n = Name{Repo: m[1], Revision: m[2], File: m[3]}
	if n.Revision == "" {
		n.Revision = "main"
	}
	return n, true
}

func (n Name) String() string {
	text := n.Repo
	if n.Revision != "main" {
		text += "@" + n.Revision
	}
	if n.File != "" {
		text += "/" + n.File
	}
	return text
}
