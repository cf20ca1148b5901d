package study

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A row that takes its device down has failed; the worker ends before it touches another, and a new one goes on with those.
func TestFaultyDevice(t *testing.T) {
	s, rows := testStore(t, t.TempDir()), testRows(t, 3)
	dead := errors.New("CUDA_ERROR_ILLEGAL_ADDRESS")
	w := &Worker{Store: s, Runner: ends{err: dead}, Answers: func() error { return dead }}
	sum, err := w.Run(t.Context(), rows)
	if !errors.Is(err, ErrFault) || !strings.Contains(err.Error(), "ILLEGAL_ADDRESS") || sum.Failed != 1 || sum.Left != 2 {
		t.Fatalf("%+v, %v; want one failed and two left", sum, err)
	}
	w.Answers = func() error { return nil }
	if sum, err = w.Run(t.Context(), rows); err != nil || sum.Failed != 3 {
		t.Errorf("%+v, %v; a device that answers stays in use", sum, err)
	}
}

// TestFaultyWorker is the worker of TestFaultyWorkersAreStartedAgain: the first two end with Faulty.
func TestFaultyWorker(t *testing.T) {
	dir := os.Getenv("STUFFED_TEST_FAULT")
	if dir == "" {
		return
	}
	earlier, err := os.ReadDir(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, fmt.Sprint(os.Getpid())), nil, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(earlier) < 2 {
		os.Exit(Faulty)
	}
}

func TestFaultyWorkersAreStartedAgain(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STUFFED_TEST_FAULT", dir)
	if err := Launch(t.Context(), 1, nil, []string{"-test.run=^TestFaultyWorker$"}, time.Second); err != nil {
		t.Fatal(err)
	}
	if tries, err := os.ReadDir(dir); err != nil || len(tries) != 3 {
		t.Errorf("%d workers, %v; want three", len(tries), err)
	}
}
