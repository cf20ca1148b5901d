package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stuffed/pkg/hub/hubtest"
)

func noise(n int) []byte {
	b, r := make([]byte, n), rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

var weightBytes = noise(300_000)

// stored returns the requests for weights that the hub's store has seen since the last call.
func stored(s *hubtest.Server) []string {
	return slices.DeleteFunc(s.Requests(), func(r string) bool { return !strings.HasPrefix(r, "store GET") })
}

// tiny starts a hub with a model org/tiny and a client of it that does not wait.
func tiny(t *testing.T) (*hubtest.Server, *Client, Name) {
	s := hubtest.New(t)
	s.Add("org/tiny", map[string][]byte{"config.json": []byte("{}"), "model.safetensors": weightBytes, "README.md": []byte("no"), "tokenizer.json": []byte("{ }")})
	return s, client(t), Name{Repo: "org/tiny", Revision: "main"}
}

func client(t *testing.T) *Client {
	c, err := FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	c.pause = time.Millisecond
	return c
}

func fetch(t *testing.T, c *Client, name Name) string {
	t.Helper()
	path, err := c.Fetch(context.Background(), name, Whole)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func same(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !slices.Equal(got, want) {
		t.Fatalf("%s: %d bytes, %v, want %d", path, len(got), err, len(want))
	}
}

func TestCacheIsPythons(t *testing.T) {
	s, c, name := tiny(t)
	dir := fetch(t, c, name)
	list, err := c.List(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(os.Getenv("HF_HOME"), "hub", "models--org--tiny")
	if want := filepath.Join(root, "snapshots", list.Commit); dir != want {
		t.Errorf("folder %s, want %s", dir, want)
	}
	if got := Label(dir); got != "org/tiny@"+list.Commit || Label("a/b/") != "b" {
		t.Errorf("label %s", got)
	}
	same(t, filepath.Join(root, "refs", "main"), []byte(list.Commit))
	same(t, filepath.Join(dir, "model.safetensors"), weightBytes)
	for _, f := range list.Files {
		to, err := os.Readlink(filepath.Join(dir, f.Path))
		if f.Path == "README.md" {
			if err == nil {
				t.Error("README.md was fetched, which nothing needs")
			}
			continue
		}
		if want := filepath.Join("..", "..", "blobs", f.SHA256+f.Git); to != want || err != nil {
			t.Errorf("%s links to %q %v, want %q", f.Path, to, err, want)
		}
	}
	if blobs, err := os.ReadDir(filepath.Join(root, "blobs")); err != nil || len(blobs) != 3 {
		t.Errorf("blobs %v %v", blobs, err)
	}
	s.Requests()
	fetch(t, c, name)
	if r := s.Requests(); len(r) != 1 {
		t.Errorf("a second fetch asks %v, want the listing alone", r)
	}
}

// TestPlainListing: without sizes and hashes in the listing the answers to HEAD give them, and the cache comes out the same.
func TestPlainListing(t *testing.T) {
	s, c, name := tiny(t)
	want, err := c.List(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	s.Plain = true
	dir := fetch(t, c, name)
	f, _ := want.find("model.safetensors")
	if to, err := os.Readlink(filepath.Join(dir, "model.safetensors")); filepath.Base(to) != f.SHA256 {
		t.Errorf("links to %q %v", to, err)
	}
	f, _ = want.find("config.json")
	if to, err := os.Readlink(filepath.Join(dir, "config.json")); filepath.Base(to) != f.Git {
		t.Errorf("links to %q %v", to, err)
	}
}

func TestTokenStaysWithTheHub(t *testing.T) {
	s, _, name := tiny(t)
	s.Gated["org/tiny"] = true
	_, err := client(t).Fetch(context.Background(), name, Whole)
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != 401 || !strings.Contains(err.Error(), "HF_TOKEN") || !strings.Contains(err.Error(), s.URL+"/org/tiny") {
		t.Fatalf("gated without a token: %v", err)
	}
	t.Setenv("HF_TOKEN", "hf_wrong")
	if _, err := client(t).Fetch(context.Background(), name, Whole); err == nil || !strings.Contains(err.Error(), "HF_TOKEN is not accepted") || strings.Contains(err.Error(), "hf_wrong") {
		t.Fatalf("wrong token: %v", err)
	}
	t.Setenv("HF_TOKEN", s.Token)
	same(t, filepath.Join(fetch(t, client(t), name), "model.safetensors"), weightBytes)
	if leaks := s.Leaks(); len(leaks) > 0 {
		t.Errorf("the token went to the store: %v", leaks)
	}
}

func TestTokenOfALogin(t *testing.T) {
	s, _, name := tiny(t)
	s.Gated["org/tiny"] = true
	if err := os.WriteFile(filepath.Join(os.Getenv("HF_HOME"), "token"), []byte(s.Token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fetch(t, client(t), name)
}

func TestBrokenOffGoesOn(t *testing.T) {
	s, c, name := tiny(t)
	s.BreakAfter, s.Breaks = 100_000, 2
	same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
	var ranges []string
	for _, r := range stored(s) {
		_, after, _ := strings.Cut(r, "bytes")
		ranges = append(ranges, after)
	}
	if len(ranges) != 3 || ranges[0] != "" || ranges[1] == "" || ranges[2] <= ranges[1] {
		t.Errorf("asked for %q", ranges)
	}
}

// TestEndsTooSoon: a transfer that ends in good order, but before the file does, goes on from there too.
func TestEndsTooSoon(t *testing.T) {
	s, c, name := tiny(t)
	s.Short = 123_456
	same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
	if r := s.Requests(); !slices.ContainsFunc(r, func(r string) bool { return strings.HasSuffix(r, "bytes=123456-") }) {
		t.Errorf("asked %v", r)
	}
}

// TestBrokenOffForGood: the partial file is never taken for the whole one, and the next call goes on from it.
func TestBrokenOffForGood(t *testing.T) {
	s, c, name := tiny(t)
	s.BreakAfter, s.Breaks = 1, 1<<30
	if _, err := c.Fetch(context.Background(), name, Whole); err == nil || !strings.Contains(err.Error(), "stopped after") || !strings.Contains(err.Error(), "run again") {
		t.Fatalf("error %v", err)
	}
	c.Offline = true
	if _, err := c.Fetch(context.Background(), name, Whole); err == nil {
		t.Fatal("a model without weights was taken for whole")
	}
	c.Offline = false
	s.BreakAfter = 150_000
	s.Breaks = 1
	fetch(t, c, name)
	s.Requests()
	same(t, filepath.Join(c.Folder("org/tiny"), "snapshots", commit(t, c, name), "model.safetensors"), weightBytes)
}

func commit(t *testing.T, c *Client, name Name) string {
	l, err := c.List(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l.Commit
}

func incomplete(t *testing.T, c *Client, content []byte) {
	blobs := filepath.Join(c.Folder("org/tiny"), "blobs")
	l, err := c.List(context.Background(), Name{Repo: "org/tiny", Revision: "main"})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := l.find("model.safetensors")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(blobs, f.SHA256+".incomplete"), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestWhatAFormerProcessLeft: a good beginning is used, a damaged, too long or whole one is dealt with.
func TestWhatAFormerProcessLeft(t *testing.T) {
	for label, left := range map[string][]byte{"beginning": weightBytes[:123_456], "noise": noise(5000), "too long": noise(400_000),
		"whole": weightBytes, "whole but damaged": append([]byte{weightBytes[0] ^ 1}, weightBytes[1:]...), "empty": {}} {
		t.Run(label, func(t *testing.T) {
			s, c, name := tiny(t)
			incomplete(t, c, left)
			same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
			asked := slices.DeleteFunc(s.Requests(), func(r string) bool { return !strings.HasPrefix(r, "store") })
			if label == "beginning" && (len(asked) != 1 || !strings.HasSuffix(asked[0], "bytes=123456-")) || label == "whole" && len(asked) > 0 {
				t.Errorf("asked %v", asked)
			}
		})
	}
}

func TestServerWithoutRanges(t *testing.T) {
	s, c, name := tiny(t)
	s.NoRanges = true
	incomplete(t, c, weightBytes[:1000])
	same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
}

func TestDamagedBytes(t *testing.T) {
	s, c, name := tiny(t)
	s.Damaged = true
	_, err := c.Fetch(context.Background(), name, Whole)
	if err == nil || !strings.Contains(err.Error(), "org/tiny model.safetensors") || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("error %v", err)
	}
	s.Damaged = false
	same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
}

// TestCutBlobIsFetchedAgain: a file in the cache that is too short, as other programs may leave one, is not taken.
func TestCutBlobIsFetchedAgain(t *testing.T) {
	_, c, name := tiny(t)
	path := filepath.Join(fetch(t, c, name), "model.safetensors")
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	fetch(t, c, name)
	same(t, path, weightBytes)
	blob, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Verify(name); n != 1 || err != nil {
		t.Fatalf("checked %d, %v", n, err)
	}
	if err := os.WriteFile(blob, append([]byte{weightBytes[0] ^ 1}, weightBytes[1:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(name); err == nil || !strings.Contains(err.Error(), "model.safetensors: damaged in the cache") {
		t.Errorf("error %v", err)
	}
}

func TestOffline(t *testing.T) {
	s, c, name := tiny(t)
	want := fetch(t, c, name)
	s.Requests()
	t.Setenv("HF_HUB_OFFLINE", "yes")
	off := client(t)
	if got := fetch(t, off, name); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := fetch(t, off, Name{Repo: "org/tiny", Revision: filepath.Base(want)}); got != want {
		t.Errorf("by commit: %s, want %s", got, want)
	}
	for _, n := range []Name{{Repo: "org/other", Revision: "main"}, {Repo: "org/tiny", Revision: "v2"}} {
		if _, err := off.Fetch(context.Background(), n, Whole); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE is set") || !strings.Contains(err.Error(), n.String()) {
			t.Errorf("%s: %v", n, err)
		}
	}
	if r := s.Requests(); len(r) > 0 {
		t.Errorf("offline, and still asked %v", r)
	}
}

func TestWithoutNetwork(t *testing.T) {
	_, c, name := tiny(t)
	want := fetch(t, c, name)
	c.Endpoint = "http://127.0.0.1:9"
	told := ""
	c.Note = func(text string) { told = text }
	if got := fetch(t, c, name); got != want || !strings.Contains(told, "cannot be reached") {
		t.Errorf("%s, told %q", got, told)
	}
	_, err := c.Fetch(context.Background(), Name{Repo: "org/other", Revision: "main"}, Whole)
	for _, part := range []string{"org/other", "not in the cache", "http://127.0.0.1:9", "HF_ENDPOINT", "HF_HUB_OFFLINE"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v, want one that says %q", err, part)
		}
	}
}

func TestRefusals(t *testing.T) {
	s, c, _ := tiny(t)
	for text, want := range map[string]string{"org/none": "no model of that name", "org/tiny@v9": `no revision "v9"`, "org/tiny/absent.pth": "no file absent.pth"} {
		name, ok := ParseName(text)
		if !ok {
			t.Fatal(text)
		}
		if _, err := c.Fetch(context.Background(), name, Whole); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: error %v, want one that says %q", text, err, want)
		}
	}
	s.Fault, s.Faults = 503, 2
	fetch(t, c, Name{Repo: "org/tiny", Revision: "main"}) // the third try succeeds
	s.Fault, s.Faults = 500, 1000
	if _, err := c.Fetch(context.Background(), Name{Repo: "org/none", Revision: "main"}, Whole); err == nil || !strings.Contains(err.Error(), "500 Internal Server Error") {
		t.Errorf("error %v", err)
	}
}

func TestPinnedAndMoved(t *testing.T) {
	s, c, name := tiny(t)
	old := fetch(t, c, name)
	s.Add("org/tiny", map[string][]byte{"config.json": []byte(`{"new": 1}`), "model.safetensors": weightBytes})
	s.Requests()
	fresh := fetch(t, c, name)
	if fresh == old {
		t.Error("main did not move")
	}
	for _, r := range s.Requests() {
		if strings.HasPrefix(r, "store") {
			t.Errorf("%s: the weights are the same and were there", r)
		}
	}
	pinned := Name{Repo: "org/tiny", Revision: filepath.Base(old)}
	if got := fetch(t, c, pinned); got != old {
		t.Errorf("pinned %s, want %s", got, old)
	}
	s.Moved["org/former"] = "org/tiny"
	s.Gated["org/tiny"] = true
	c.Token = s.Token // a redirect within the hub keeps the token
	fetch(t, c, Name{Repo: "org/former", Revision: "main"})
}

func TestTwoAtOnce(t *testing.T) {
	s, c, name := tiny(t)
	s.Hold = make(chan struct{})
	waiting := make(chan struct{}, 8)
	c.Note = func(string) { waiting <- struct{}{} }
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			path, err := c.Fetch(context.Background(), name, Whole)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := os.ReadFile(filepath.Join(path, "model.safetensors")); err != nil || !slices.Equal(got, weightBytes) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	<-waiting
	close(s.Hold)
	group.Wait()
	if n := len(stored(s)); n != 1 {
		t.Errorf("the weights were asked for %d times", n)
	}
}

// TestTwoProcesses: of several processes that want the same model one fetches it, and all have it whole.
func TestTwoProcesses(t *testing.T) {
	if name, _ := ParseName(os.Getenv("STUFFED_TEST_FETCH")); name.Repo != "" { // this is one of those processes
		path := fetch(t, client(t), name)
		same(t, filepath.Join(path, "model.safetensors"), weightBytes)
		return
	}
	s, _, _ := tiny(t)
	s.Lock() // the race detector does not see that processes are started after this
	s.Hold = make(chan struct{})
	s.Unlock()
	t.Setenv("STUFFED_TEST_FETCH", "org/tiny")
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if out, err := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$").CombinedOutput(); err != nil {
				t.Errorf("%v %s", err, out)
			}
		})
	}
	time.AfterFunc(500*time.Millisecond, func() { close(s.Hold) })
	group.Wait()
	if n := len(stored(s)); n != 1 {
		t.Errorf("the weights were asked for %d times", n)
	}
}

func TestCancelled(t *testing.T) {
	s, c, name := tiny(t)
	s.Hold = make(chan struct{})
	defer close(s.Hold)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Fetch(ctx, name, Whole); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestStalled: a connection that brings nothing any more is left, and the download goes on with another.
func TestStalled(t *testing.T) {
	s, c, name := tiny(t)
	c.stall = 50 * time.Millisecond
	hold := make(chan struct{})
	s.Hold = hold
	time.AfterFunc(200*time.Millisecond, func() {
		s.Lock()
		s.Hold = nil
		s.Unlock()
		close(hold)
	})
	same(t, filepath.Join(fetch(t, c, name), "model.safetensors"), weightBytes)
}

func TestShards(t *testing.T) {
	s, c, name := tiny(t)
	index, err := json.Marshal(map[string]any{"weight_map": map[string]string{"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"config.json": []byte("{}"), "model.safetensors.index.json": index, "pytorch_model.bin": weightBytes, "consolidated.safetensors": weightBytes}
	for i := range 2 {
		files[fmt.Sprintf("model-%05d-of-00002.safetensors", i+1)] = noise(5000 + i)
	}
	s.Add("org/tiny", files)
	dir := fetch(t, c, name)
	same(t, filepath.Join(dir, "model-00002-of-00002.safetensors"), noise(5001))
	for _, absent := range []string{"pytorch_model.bin", "consolidated.safetensors"} {
		if _, err := os.Stat(filepath.Join(dir, absent)); err == nil {
			t.Errorf("%s was fetched beside safetensors", absent)
		}
	}
	if err := os.Remove(filepath.Join(dir, "model-00002-of-00002.safetensors")); err != nil {
		t.Fatal(err)
	}
	c.Offline = true
	if _, err := c.Fetch(context.Background(), name, Whole); err == nil || !strings.Contains(err.Error(), "model-00002-of-00002.safetensors") {
		t.Errorf("offline with a shard missing: %v", err)
	}
}

func TestOneOfSeveralFiles(t *testing.T) {
	s, c, _ := tiny(t)
	s.Add("BlinkDL/rwkv", map[string][]byte{"a-1B6.pth": noise(5000), "b-3B.pth": noise(5001)})
	name, ok := ParseName("BlinkDL/rwkv")
	if _, err := c.Fetch(context.Background(), name, Whole); !ok || err == nil || !strings.Contains(err.Error(), "a-1B6.pth, b-3B.pth") {
		t.Errorf("error %v", err)
	}
	if name, ok = ParseName("BlinkDL/rwkv@main/b-3B.pth"); !ok {
		t.Fatal("not a name")
	}
	same(t, fetch(t, c, name), noise(5001))
}

func TestHostileListings(t *testing.T) {
	for _, file := range []string{"../outside.json", "/etc/passwd", "a/../../b", `a\b`} {
		s, c, name := tiny(t)
		s.Add("org/tiny", map[string][]byte{"config.json": []byte("{}"), file: []byte("x"), "model.safetensors": weightBytes})
		if _, err := c.Fetch(context.Background(), name, Whole); err == nil || !strings.Contains(err.Error(), "leads out") {
			t.Errorf("%q: error %v", file, err)
		}
	}
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]Name{
		"state-spaces/mamba2-370m":               {"state-spaces/mamba2-370m", "main", ""},
		"a/b@v1.0":                               {"a/b", "v1.0", ""},
		"a/b@refs/pr/3":                          {"a/b", "refs/pr/3", ""},
		"BlinkDL/rwkv-6-world/RWKV-x060_1.6.pth": {"BlinkDL/rwkv-6-world", "main", "RWKV-x060_1.6.pth"},
	} {
		got, ok := ParseName(text)
		if !ok || got != want || got.String() != text {
			t.Errorf("%s: %+v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "a", "./a/b", "../a/b", "/a/b", "a/b/", "a/b/c", "a//b", "a/..", "a/b..c", "a b/c", "preset:byte", "a/b@", "out/run/snapshots/step-1", "a/b.git", "~/a", "C:/a"} {
		if n, ok := ParseName(text); ok {
			t.Errorf("%q was read as %+v", text, n)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("HOME", "/home/someone")
	for _, v := range []string{"HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_TOKEN", "HF_HUB_OFFLINE"} {
		t.Setenv(v, "")
	}
	for _, step := range []struct{ variable, value, cache string }{
		{"HF_ENDPOINT", "https://mirror.example/", "/home/someone/.cache/huggingface/hub"}, {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"},
		{"HF_HOME", "~/hf", "/home/someone/hf/hub"}, {"HF_HUB_CACHE", "/big/$HF_TOKEN", "/big/"},
	} {
		t.Setenv(step.variable, step.value)
		if c, err := FromEnvironment(); err != nil || filepath.ToSlash(c.Cache) != step.cache || c.Endpoint != "https://mirror.example" || c.Offline {
			t.Errorf("%s: %+v %v", step.variable, c, err)
		}
	}
	t.Setenv("HF_TOKEN", "a\nb")
	if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), "HF_TOKEN") {
		t.Errorf("error %v", err)
	}
	t.Setenv("HF_ENDPOINT", "mirror")
	if _, err := FromEnvironment(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
		t.Errorf("error %v", err)
	}
}
