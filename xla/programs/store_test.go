package programs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func store(t *testing.T, limit int64) *Store { return &Store{Folder: t.TempDir(), Limit: limit} }

func put(t *testing.T, s *Store, name string, program []byte) Entry {
	t.Helper()
	e := Entry{Key: Key([]byte(name)), Name: name, Device: "cpu", Compile: time.Second}
	if err := s.Put(e, program); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGetReturnsWhatWasPut(t *testing.T) {
	s := store(t, 1<<20)
	for _, program := range [][]byte{{}, []byte("code"), bytes.Repeat([]byte{7}, 1000)} {
		e := put(t, s, fmt.Sprint(len(program)), program)
		got, found, err := s.Get(e.Key)
		if err != nil || !bytes.Equal(got, program) || found.Name != e.Name || found.Compile != e.Compile {
			t.Errorf("%d bytes: got %d bytes, %+v, %v", len(program), len(got), found, err)
		}
	}
}

// Every cut, every flipped bit and every file under another name is passed over.
func TestGetRefusesDamagedAndForeignFiles(t *testing.T) {
	s := store(t, 1<<20)
	e := put(t, s, "a", []byte("machine code"))
	whole, err := os.ReadFile(s.path(e.Key))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(s.path(e.Key), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(e.Key); err == nil {
			t.Errorf("%s: read", what)
		}
	}
	for n := range whole {
		refused(fmt.Sprintf("cut after %d bytes", n), whole[:n])
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		refused(fmt.Sprintf("byte %d changed", n), changed)
	}
	other := put(t, s, "b", []byte("code of another program"))
	content, err := os.ReadFile(s.path(other.Key))
	if err != nil {
		t.Fatal(err)
	}
	refused("another program's file", content)
}

func TestLimitRemovesWhatWasNotUsedForLongest(t *testing.T) {
	s := store(t, 10_000)
	var entries []Entry
	for i := range 4 {
		e := put(t, s, fmt.Sprint(i), make([]byte, 2000))
		old := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(s.path(e.Key), old, old); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if _, _, err := s.Get(entries[0].Key); err != nil { // used: no longer the oldest
		t.Fatal(err)
	}
	put(t, s, "last", make([]byte, 2000))
	for i, there := range []bool{true, false, true, true} {
		if _, err := os.Stat(s.path(entries[i].Key)); (err == nil) != there {
			t.Errorf("program %d: %v, want there = %v", i, err, there)
		}
	}
	if err := s.Put(Entry{Key: Key()}, make([]byte, 10_000)); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("larger than the limit: %v", err)
	}
}

func TestListAndClearTouchProgramsOnly(t *testing.T) {
	s := store(t, 1<<20)
	put(t, s, "a", []byte("code"))
	own := filepath.Join(s.Folder, "notes.txt")
	for _, path := range []string{own, filepath.Join(s.Folder, "x"+suffix)} {
		if err := os.WriteFile(path, []byte("not a program"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Name != "a" || list[0].Bytes == 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if n, size, err := s.Clear(); n != 2 || size == 0 || err != nil {
		t.Errorf("cleared %d, %d bytes, %v", n, size, err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
	if list, err := (&Store{Folder: filepath.Join(s.Folder, "none")}).List(); len(list) != 0 || err != nil {
		t.Errorf("folder that is not there: %v, %v", list, err)
	}
}

func TestManyWritersAndReaders(t *testing.T) {
	s := store(t, 40_000)
	var wait sync.WaitGroup
	for w := range 8 {
		wait.Go(func() {
			for i := range 40 {
				name := fmt.Sprint((w + i) % 12)
				key := Key([]byte(name))
				want := bytes.Repeat([]byte(name), 3000)
				unlock := s.Lock(key)
				got, _, err := s.Get(key)
				if err == nil && !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes", name, len(got))
				}
				if err != nil {
					err = s.Put(Entry{Key: key}, want)
				}
				if err != nil {
					t.Error(err)
				}
				unlock()
				if w < 2 && i%8 == 0 {
					if _, _, err := s.Clear(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
	if left, _ := filepath.Glob(filepath.Join(s.Folder, "*.tmp")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTextLeavesOutTheName(t *testing.T) {
	a, name := Text([]byte("module @Exec_main_3 attributes {a} {\n body }"))
	b, _ := Text([]byte("module @Exec_4 attributes {a} {\n body }"))
	if !bytes.Equal(a, b) || name != "Exec_main_3" {
		t.Errorf("%s, %s, %s", a, b, name)
	}
	if c, _ := Text([]byte("module @Exec_4 attributes {a} {\n other }")); bytes.Equal(a, c) {
		t.Error("another body, the same text")
	}
	if c, _ := Text([]byte("no module")); string(c) != "no module" {
		t.Errorf("%s", c)
	}
}

func TestKeyTellsPartsApart(t *testing.T) {
	if Key([]byte("ab"), []byte("c")) == Key([]byte("a"), []byte("bc")) {
		t.Error("parts run together")
	}
}
