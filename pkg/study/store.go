package study

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"stuffed/pkg/atomic"
)

// Store is a folder of results:
//
//	rows/HASH/            a finished row: row.json, tables, models, manifest.json with the hash of every file
//	claims/HASH.G/        the G-th claim of a row, with the holder's heartbeat
//	failed/HASH.json      why a row failed
//	work/HASH.G/          training snapshots of the G-th claim, until the row is done; also if it failed
//	tmp/HASH.G-TOKEN/     a row in progress under the G-th claim
//	tmp/ready-…/          a complete row about to be moved to rows
//	jobs/                 jobs submitted to Slurm, and their logs
//
// Every change becomes visible through a single rename or mkdir, so the folder may be on a network file system.
type Store struct {
	Dir    string
	Beat   time.Duration // heartbeat interval
	Expiry time.Duration // silence after which a claim expires
}

// OpenStore opens a store and creates its folders as needed. It fails if the file system lacks an exclusive mkdir or an atomic rename.
func OpenStore(dir string) (*Store, error) {
	s := &Store{Dir: dir, Beat: 5 * time.Second, Expiry: 2 * time.Minute}
	for _, d := range []string{"rows", "claims", "failed", "tmp", "work"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return nil, s.unwritable(err)
		}
	}
	return s, s.try(os.Mkdir, syscall.Rename) // os.Rename checks for an existing folder itself, which would hide what the file system does
}

// tryPrefix is the name prefix of the folders with which a store tests its file system.
const tryPrefix = ".try-"

// try tests that the file system provides what a store needs: a mkdir that only one process can win, and an atomic rename of folders that
// never replaces an existing one.
func (s *Store) try(mkdir func(string, os.FileMode) error, rename func(from, to string) error) error {
	one, two := s.path("tmp", tryPrefix+token()), s.path("tmp", tryPrefix+token())
	defer os.RemoveAll(one)
	defer os.RemoveAll(two)
	cannot := func(what string, err error) error {
		return fmt.Errorf("store %s: its file system cannot %s (%w); put the store on a local disk, NFS or Lustre with --store, or give each machine a store of its own and put them together by stuffed study join", s.Dir, what, err)
	}
	if err := mkdir(one, 0o755); err != nil {
		return s.unwritable(err)
	}
	if err := mkdir(one, 0o755); !errors.Is(err, fs.ErrExist) {
		return cannot("tell that a folder is there already", cmp.Or(err, errors.New("it made it twice")))
	}
	if err := os.WriteFile(filepath.Join(one, "file"), nil, 0o644); err != nil {
		return s.unwritable(err)
	}
	if err := rename(one, two); err != nil {
		return cannot("rename a folder", err)
	}
	if err := mkdir(one, 0o755); err != nil {
		return s.unwritable(err)
	}
	if err := rename(one, two); err == nil {
		return cannot("refuse to rename a folder over one that holds files", errors.New("it did so"))
	}
	return nil
}

func (s *Store) unwritable(err error) error {
	return fmt.Errorf("store %s: %w; name a folder that you may write to, on a disk with room, with --store", s.Dir, err)
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// RowDir is the folder of a finished row.
func (s *Store) RowDir(hash string) string { return s.path("rows", hash) }

// done lists the folder, since a lookup of a single name may be answered from a network client's cache.
func (s *Store) done() (map[string]bool, error) { return s.entries("rows", "") }

func (s *Store) failures() (map[string]bool, error) { return s.entries("failed", ".json") }

func (s *Store) entries(dir, suffix string) (map[string]bool, error) {
	list, err := os.ReadDir(s.path(dir))
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	out := map[string]bool{}
	for _, e := range list {
		if name, found := strings.CutSuffix(e.Name(), suffix); found && !strings.HasPrefix(name, ".") {
			out[name] = true
		}
	}
	return out, nil
}

// rowManifest lists a row's files; it is written last.
type rowManifest struct {
	Hash    string            `json:"hash"`
	Seconds float64           `json:"seconds"`
	Run     any               `json:"run,omitempty"` // device and versions, from the runner
	Files   map[string]string `json:"files"`         // path → SHA-256

	Dropped map[string]string `json:"dropped,omitempty"` // weights that have been removed since, see DropWeights
}

// publish completes the folder dir and publishes it as the row. If the row exists already, the first version stays.
func (s *Store) publish(dir string, row Row, seconds float64, run any) error {
	data, err := json.MarshalIndent(row, "", "  ")
	if err != nil {
		return err
	}
	if err := atomic.Bytes(filepath.Join(dir, "row.json"), append(data, '\n')); err != nil {
		return err
	}
	m := rowManifest{Hash: row.Hash, Seconds: seconds, Run: run}
	if m.Files, err = hashes(dir); err != nil {
		return err
	}
	if data, err = json.MarshalIndent(m, "", "  "); err != nil {
		return err
	}
	if err := atomic.Bytes(filepath.Join(dir, "manifest.json"), append(data, '\n')); err != nil {
		return err
	}
	return s.settle(dir, row.Hash)
}

// settle publishes a complete folder as a row with a single rename.
func (s *Store) settle(dir, hash string) error {
	if err := syncTree(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, s.RowDir(hash)); err != nil {
		if done, _ := s.done(); done[hash] {
			return os.RemoveAll(dir)
		}
		return fmt.Errorf("store: %w", err)
	}
	_ = os.Remove(s.path("failed", hash+".json"))
	return syncTree(s.path("rows"))
}

// hashes returns the SHA-256 of every file below dir except the manifest.
func hashes(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == "manifest.json" {
			return err
		}
		out[filepath.ToSlash(name)], _, err = atomic.Hash(path)
		return err
	})
	return out, err
}

// syncTree syncs dir and everything below it; of the folder rows, only its own entries.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != dir && filepath.Base(dir) == "rows" {
			return filepath.SkipDir
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Sync(); err != nil && !d.IsDir() { // some network file systems cannot sync folders
			return err
		}
		return nil
	})
}

// Verify checks a finished row against its manifest.
func (s *Store) Verify(hash string) error { return verify(s.RowDir(hash), hash) }

func verify(dir, hash string) error {
	again := "remove this folder and run the plan again"
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return fmt.Errorf("row %s is damaged: %w; %s", hash, err, again)
	}
	var m rowManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: manifest.json: %w; %s", dir, err, again)
	}
	have, err := hashes(dir)
	if err != nil {
		return err
	}
	for name := range m.Dropped { // leftovers of an interrupted DropWeights are not damage
		delete(have, name)
	}
	for name, want := range m.Files {
		if have[name] != want {
			return fmt.Errorf("%s: %s is not what the manifest says; %s", dir, name, again)
		}
	}
	if m.Hash != hash || len(have) != len(m.Files) {
		return fmt.Errorf("%s: the manifest is of row %s with %d files, the folder has %d; %s", dir, m.Hash, len(m.Files), len(have), again)
	}
	return nil
}

// DropWeights removes the saved weights of a finished row, except those in the folders named by except, so that a store can be shipped
// without them. The manifest keeps their names and hashes.
func (s *Store) DropWeights(hash string, except ...string) (dropped int, err error) {
	if err := s.Verify(hash); err != nil {
		return 0, err
	}
	file := filepath.Join(s.RowDir(hash), "manifest.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	var m rowManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return 0, err
	}
	for name, sum := range m.Files {
		parts := strings.Split(name, "/")
		if len(parts) != 3 || parts[0] != "models" || slices.Contains(except, parts[1]) {
			continue
		}
		if m.Dropped == nil {
			m.Dropped = map[string]string{}
		}
		m.Dropped[name] = sum
		delete(m.Files, name)
		dropped++
	}
	if dropped == 0 {
		return 0, nil
	}
	if data, err = json.MarshalIndent(m, "", "  "); err != nil {
		return 0, err
	}
	if err := atomic.Bytes(file, append(data, '\n')); err != nil { // from here on the files are orphans, which a second call removes
		return 0, err
	}
	for name := range m.Dropped {
		if err := os.RemoveAll(filepath.Join(s.RowDir(hash), filepath.FromSlash(name))); err != nil {
			return 0, err
		}
		_ = os.Remove(filepath.Dir(filepath.Join(s.RowDir(hash), filepath.FromSlash(name)))) // the folder, once it is empty
	}
	_ = os.Remove(filepath.Join(s.RowDir(hash), "models"))
	return dropped, nil
}

func (s *Store) seconds(hash string) (float64, error) {
	var m rowManifest
	data, err := os.ReadFile(filepath.Join(s.RowDir(hash), "manifest.json"))
	if err != nil {
		return 0, err
	}
	return m.Seconds, errors.Join(json.Unmarshal(data, &m), nil)
}

// fail records why a row failed.
func (s *Store) fail(row Row, cause error) error {
	data, err := json.MarshalIndent(map[string]any{"row": row, "error": cause.Error()}, "", "  ")
	if err != nil {
		return err
	}
	return atomic.Bytes(s.path("failed", row.Hash+".json"), append(data, '\n'))
}

// readyPrefix is the name prefix of folders that hold a complete row. Nobody removes them before the row is done: a recursive removal would
// follow a folder that is renamed meanwhile, even into rows.
const readyPrefix = "ready-"

// sweep removes what earlier claims of a row left in tmp.
func (s *Store) sweep(hash string, claim int) {
	left, _ := filepath.Glob(s.path("tmp", hash+".*-*"))
	for _, dir := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), hash+"."), "-")
		if n, err := strconv.Atoi(number); err == nil && n < claim {
			_ = os.RemoveAll(dir)
		}
	}
}

func token() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
