package study

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Joined reports what Join did with the rows of other stores, as sorted lists.
type Joined struct {
	Taken     []string // hashes of rows that were copied
	Known     []string // already present with identical files
	Conflicts []string // rows produced more than once with different files: the version kept, and the files that differ
	Strange   []string // rows that are not in the plan
	Damaged   []string // rows that do not match their manifests; never copied
}

// version is one store's copy of a row.
type version struct {
	dir, digest string
	files       map[string]string // SHA-256 by name, including dropped files
}

// Join copies the finished rows of other stores, which it only reads, so that machines without a shared folder can work on one plan. Rows
// already in s are kept. If other stores hold different versions of a row, the one whose manifest has the smallest digest is copied, so the
// result does not depend on the order of the stores.
func (s *Store) Join(rows []Row, stores []string) (Joined, error) {
	var j Joined
	wanted := map[string]bool{}
	for _, r := range rows {
		wanted[r.Hash] = true
	}
	found := map[string][]version{}
	for _, dir := range stores {
		other := &Store{Dir: dir}
		done, err := other.done()
		if err != nil {
			return j, fmt.Errorf("%w; name the folder of a store, which holds rows", err)
		}
		for hash := range done {
			if !wanted[hash] {
				j.Strange = append(j.Strange, other.RowDir(hash))
				continue
			}
			v, err := readVersion(other.RowDir(hash), hash)
			if err != nil {
				j.Damaged = append(j.Damaged, err.Error())
				continue
			}
			found[hash] = append(found[hash], v)
		}
	}
	here, err := s.done()
	if err != nil {
		return j, err
	}
	for _, hash := range slices.Sorted(maps.Keys(found)) {
		if err := s.join(&j, hash, here[hash], found[hash]); err != nil {
			return j, err
		}
	}
	for _, list := range [][]string{j.Strange, j.Damaged, j.Conflicts} {
		slices.Sort(list)
	}
	return j, nil
}

// join resolves one row.
func (s *Store) join(j *Joined, hash string, here bool, found []version) error {
	slices.SortFunc(found, func(a, b version) int { return strings.Compare(a.digest+a.dir, b.digest+b.dir) })
	stays := found[0]
	if here {
		var err error
		if stays, err = readVersion(s.RowDir(hash), hash); err != nil {
			return err
		}
	} else if err := s.adopt(hash, stays.dir); err != nil {
		return err
	}
	to := &j.Taken
	if here {
		to = &j.Known
	}
	*to = append(*to, hash)
	for _, v := range found {
		if differ := difference(stays.files, v.files); len(differ) > 0 {
			j.Conflicts = append(j.Conflicts, fmt.Sprintf("%s was made twice: %s stays, %s is left out, which differs in %s", hash, stays.dir, v.dir, strings.Join(differ, ", ")))
		}
	}
	return nil
}

// readVersion verifies a row and reads its manifest.
func readVersion(dir, hash string) (v version, err error) {
	if err := verify(dir, hash); err != nil {
		return v, err
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return v, err
	}
	var m rowManifest
	if err := json.Unmarshal(data, &m); err != nil {
		return v, err
	}
	sum := sha256.Sum256(data)
	v = version{dir, hex.EncodeToString(sum[:]), map[string]string{}}
	maps.Copy(v.files, m.Files)
	maps.Copy(v.files, m.Dropped)
	return v, nil
}

// difference lists the files that are not the same in both versions of a row.
func difference(a, b map[string]string) (names []string) {
	for name, sum := range a {
		if b[name] != sum {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// adopt copies a finished row and verifies the copy before publishing it.
func (s *Store) adopt(hash, from string) error {
	dir := s.path("tmp", readyPrefix+hash+".0-"+token())
	defer os.RemoveAll(dir)
	err := os.CopyFS(dir, os.DirFS(from))
	if err != nil {
		err = s.unwritable(err)
	} else if err = verify(dir, hash); err != nil {
		err = fmt.Errorf("the copy of %s: %w", from, err)
	}
	if err != nil {
		if done, _ := s.done(); done[hash] { // a worker has finished the row in the meantime and cleaned up
			return nil
		}
		return err
	}
	return s.settle(dir, hash)
}
