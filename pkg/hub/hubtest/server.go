// Package hubtest is a hub on this machine for tests: a server that speaks the Hugging Face hub's protocol, and beside it, on an
// address of its own, the store to which it redirects for large files.
package hubtest

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server holds models. Its fields may be changed between requests, under Lock.
type Server struct {
	sync.Mutex
	URL string
	// Token that gated models ask for.
	Token string
	// Gated models by name.
	Gated map[string]bool
	// Moved sends on from one name to another, as the hub does for renamed models.
	Moved map[string]string
	// BreakAfter this many bytes of a large file the connection is cut, Breaks times.
	BreakAfter, Breaks int
	// Short ends the next large file after so many bytes without an error, as a proxy does that has lost its source.
	Short int
	// Damaged flips a bit of every large file that is sent.
	Damaged bool
	// NoRanges makes the store send files from the start whatever is asked for.
	NoRanges bool
	// Plain leaves sizes and hashes out of the listing, as some mirrors do.
	Plain bool
	// Fault is a status that the next Faults requests get.
	Fault, Faults int
	// Hold, if not nil, holds large files back until it is closed.
	Hold chan struct{}

	models   map[string]*model
	requests []string
	leaks    []string
	store    string
}

type model struct {
	commit string
	files  map[string][]byte
}

// Large is the size from which a file lies in the store.
const Large = 4096

// New starts a server, and points the environment of the test at it and at an empty cache.
func New(t testing.TB) *Server {
	s := &Server{Token: "hf_secret", Gated: map[string]bool{}, Moved: map[string]string{}, models: map[string]*model{}}
	api, files := http.NewServeMux(), http.NewServeMux()
	api.HandleFunc("GET /api/models/{owner}/{repo}/revision/{revision}", s.list)
	api.HandleFunc("GET /api/models/{owner}/{repo}/tree/{revision}", s.tree)
	api.HandleFunc("GET /api/resolve-cache/models/{owner}/{repo}/{revision}/{path...}", s.small)
	files.HandleFunc("GET /{owner}/{repo}/resolve/{revision}/{path...}", s.resolve)
	hub := httptest.NewServer(s.log("hub", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			api.ServeHTTP(w, r)
		} else {
			files.ServeHTTP(w, r)
		}
	})))
	store := httptest.NewServer(s.log("store", http.HandlerFunc(s.stored)))
	t.Cleanup(hub.Close)
	t.Cleanup(store.Close)
	s.URL, s.store = hub.URL, store.URL
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"} {
		t.Setenv(v, "") // puts the former value back in the end
		os.Unsetenv(v)
	}
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_HOME", t.TempDir())
	return s
}

// Add puts a model on the hub, or a new commit of one, and returns the commit.
func (s *Server) Add(name string, files map[string][]byte) (commit string) {
	s.Lock()
	defer s.Unlock()
	h := sha1.New()
	for _, f := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %x\n", f, sha256.Sum256(files[f]))
	}
	m := &model{fmt.Sprintf("%x", h.Sum(nil)), files}
	s.models[name], s.models[name+"@"+m.commit] = m, m
	return m.commit
}

// AddFolder is Add for the files that lie directly in a folder.
func (s *Server) AddFolder(t testing.TB, name, folder string) (commit string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return s.Add(name, files)
}

// Requests since the last call: server, method, path and range.
func (s *Server) Requests() []string {
	s.Lock()
	defer s.Unlock()
	r := s.requests
	s.requests = nil
	return r
}

// Leaks are requests that carried a token to the store.
func (s *Server) Leaks() []string {
	s.Lock()
	defer s.Unlock()
	return s.leaks
}

func (s *Server) log(server string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Lock()
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", server, r.Method, r.URL.Path, r.Header.Get("Range")))
		s.requests = append(s.requests, line)
		if server == "store" && r.Header.Get("Authorization") != "" {
			s.leaks = append(s.leaks, line)
		}
		fault := 0
		if s.Faults > 0 {
			s.Faults--
			fault = s.Fault
		}
		s.Unlock()
		if fault != 0 {
			w.WriteHeader(fault)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	w.WriteHeader(status)
}

// find looks a revision up: main or a commit.
func (s *Server) find(w http.ResponseWriter, r *http.Request, gate bool) *model {
	s.Lock()
	defer s.Unlock()
	name, revision := r.PathValue("owner")+"/"+r.PathValue("repo"), r.PathValue("revision")
	if to := s.Moved[name]; to != "" {
		w.Header().Set("Location", strings.Replace(r.URL.RequestURI(), name, to, 1))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	token := r.Header.Get("Authorization")
	m := s.models[name]
	switch {
	case token != "" && token != "Bearer "+s.Token:
		refuse(w, 401, "", "Invalid credentials in Authorization header")
		return nil
	case m == nil && token == "":
		refuse(w, 401, "RepoNotFound", "Repository not found")
		return nil
	case m == nil:
		refuse(w, 404, "RepoNotFound", "Repository not found")
		return nil
	case gate && s.Gated[name] && token == "":
		refuse(w, 401, "GatedRepo", "Access to model "+name+" is restricted.")
		return nil
	}
	if revision != "main" {
		if m = s.models[name+"@"+revision]; m == nil {
			refuse(w, 404, "RevisionNotFound", "Invalid rev id: "+revision)
		}
	}
	return m
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	m := s.find(w, r, false)
	if m == nil {
		return
	}
	name := r.PathValue("owner") + "/" + r.PathValue("repo")
	siblings := []map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		content, entry := m.files[path], map[string]any{"rfilename": path}
		if r.URL.Query().Get("blobs") == "true" && !s.Plain {
			entry["size"], entry["blobId"] = len(content), gitHash(content)
			if len(content) >= Large {
				entry["lfs"] = map[string]any{"sha256": fmt.Sprintf("%x", sha256.Sum256(content)), "size": len(content), "pointerSize": 134}
			}
		}
		siblings = append(siblings, entry)
	}
	gated := any(false)
	if s.Gated[name] {
		gated = "manual"
	}
	json.NewEncoder(w).Encode(map[string]any{"id": name, "sha": m.commit, "gated": gated, "cardData": map[string]any{"license": "apache-2.0"}, "siblings": siblings})
}

// tree is the listing that Python's snapshot_download asks for.
func (s *Server) tree(w http.ResponseWriter, r *http.Request) {
	m := s.find(w, r, false)
	if m == nil {
		return
	}
	entries := []map[string]any{}
	for _, path := range slices.Sorted(maps.Keys(m.files)) {
		content := m.files[path]
		entry := map[string]any{"type": "file", "path": path, "size": len(content), "oid": gitHash(content)}
		if len(content) >= Large {
			entry["lfs"] = map[string]any{"oid": fmt.Sprintf("%x", sha256.Sum256(content)), "size": len(content), "pointerSize": 134}
		}
		entries = append(entries, entry)
	}
	json.NewEncoder(w).Encode(entries)
}

func gitHash(content []byte) string {
	return fmt.Sprintf("%x", sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(content)), content...)))
}

func (s *Server) resolve(w http.ResponseWriter, r *http.Request) {
	m := s.find(w, r, true)
	if m == nil {
		return
	}
	content, ok := m.files[r.PathValue("path")]
	if !ok {
		refuse(w, 404, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", m.commit)
	if len(content) < Large {
		w.Header().Set("Location", fmt.Sprintf("/api/resolve-cache/models/%s/%s/%s/%s", r.PathValue("owner"), r.PathValue("repo"), m.commit, r.PathValue("path")))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	w.Header().Set("X-Linked-Etag", `"`+sum+`"`)
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(content)))
	w.Header().Set("Location", s.store+"/"+sum+"?signature=private")
	w.WriteHeader(http.StatusFound)
}

func (s *Server) small(w http.ResponseWriter, r *http.Request) {
	m := s.find(w, r, true)
	if m == nil {
		return
	}
	content := m.files[r.PathValue("path")]
	w.Header().Set("X-Repo-Commit", m.commit)
	w.Header().Set("ETag", `"`+gitHash(content)+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

func (s *Server) stored(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	var content []byte
	for _, m := range s.models {
		for _, c := range m.files {
			if fmt.Sprintf("/%x", sha256.Sum256(c)) == r.URL.Path {
				content = slices.Clone(c)
			}
		}
	}
	if s.Damaged {
		content[len(content)/2] ^= 1
	}
	cut := 0
	if s.Breaks > 0 {
		s.Breaks--
		cut = s.BreakAfter
	}
	short := s.Short
	s.Short = 0
	hold := s.Hold
	ranges := !s.NoRanges
	s.Unlock()
	if hold != nil {
		<-hold
	}
	if short > 0 {
		w.(http.Flusher).Flush() // no length then
		w.Write(content[:short])
		return
	}
	w.Header().Set("ETag", `"of the store"`)
	if !ranges {
		r.Header.Del("Range")
	}
	if cut > 0 {
		w = &cutter{w, cut}
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
}

// cutter ends the connection after so many bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b[:min(len(b), c.left)])
	if c.left -= n; c.left == 0 || err != nil {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}
